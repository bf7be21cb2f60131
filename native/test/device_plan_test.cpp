// Planning on a device: the search alone against the CPU's, fed the same scores, and whole plans through a
// world model, untaped and taped.
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "backend/search.h"
#include "base/philox.h"
#include "test/check.h"
#include "test/devices.h"
#include "test/networks.h"

namespace tendon {
namespace {

using test::model_on;
using test::reference;
using test::Target;
using test::targets;

struct Planning {
  const char* name;
  PlannerTable table;
};

// A row of the table for each kind of search there is.
std::vector<Planning> plannings() {
  PlannerTable base;
  base.horizon = 4, base.action_dim = 3;
  base.samples = 61, base.prior = 0, base.iterations = 3, base.elites = 9;
  base.initial_std = 1, base.min_std = 0.05f, base.max_std = 2;
  PlannerTable mppi = base;
  mppi.prior = 6, mppi.temperature = 0.5f, mppi.pick = Pick::sampled;
  PlannerTable cem = base;
  cem.momentum = 0.1f;
  PlannerTable icem = base;
  icem.keep = 4, icem.pick = Pick::best;
  icem.mix.resize(16);
  fill_normal(3, 3, 0, icem.mix.data(), 16);
  PlannerTable information = base;
  information.elites = 61, information.temperature = 2, information.fixed_std = true;
  information.control_cost = 0.1f;
  PlannerTable shooting = base;
  shooting.iterations = 1, shooting.elites = 1, shooting.pick = Pick::best, shooting.warm_start = false;
  return {{"mppi", mppi}, {"cem", cem}, {"icem", icem}, {"information", information}, {"shooting", shooting}};
}

void copy(Stream& stream, void* to, const void* from, size_t floats) {
  stream.copy(to, from, floats * sizeof(float));
  stream.wait();
}

// What a candidate is worth: the nearer to 0.3 the better; some are no number, one has exploded.
std::vector<float> scores_of(const float* actions, const PlannerTable& t, bool all_fail) {
  std::vector<float> scores(static_cast<size_t>(t.rows()));
  for (int i = 0; i < t.rows(); ++i) {
    float sum = 0;
    for (int64_t j = 0; j < t.row(); ++j)
      sum -= (actions[i * t.row() + j] - 0.3f) * (actions[i * t.row() + j] - 0.3f);
    scores[static_cast<size_t>(i)] = all_fail || i % 17 == 5 ? std::numeric_limits<float>::quiet_NaN() : sum;
  }
  scores[3] = 1e31f;
  return scores;
}

TEST("cuda: every kind of search finds on a device what it finds on the CPU") {
  // Six plans in a row: cold, warm, one whose rollouts all fail, after it, around a centre, of another seed.
  constexpr int plans = 6;
  const std::vector<Planning> all = plannings();
  for (const Target& target : targets(static_cast<int>(all.size()))) {
    if (!target.is_device) continue;
    const auto stream = open_cuda(target.name)->open_stream();
    for (const auto& [name, table] : all) {
      const auto floats = static_cast<size_t>(table.rows() * table.row());
      const Memory actions = stream->allocate(floats * sizeof(float)),
                   returns = stream->allocate(static_cast<size_t>(table.rows()) * sizeof(float));
      SearchPorts ports;
      ports.actions = actions.floats();
      ports.returns = returns.floats();
      Search here(table), told(table);
      const auto there = stream->open_search(told, ports, {}, nullptr);
      std::vector<float> prior(static_cast<size_t>(table.prior * table.row())), candidates(floats);
      fill_uniform(9, 9, 0, prior.data(), static_cast<int64_t>(prior.size()));
      std::copy(prior.begin(), prior.end(), here.actions());
      copy(*stream, actions.data(), prior.data(), prior.size());
      const std::vector<float> centre(static_cast<size_t>(table.row()), 0.25f);
      for (int plan = 0; plan < plans; ++plan) {
        if (plan == 0 || plan == 5) {
          here.reset(7 + plan);
          there->reset(7 + plan);
        }
        const float* around = plan == 4 ? centre.data() : nullptr;
        const bool explore = plan == 1;
        here.begin({}, around);
        there->give({}, around, explore);
        there->enqueue_begin();
        const std::string label = target.name + " " + name + " plan " + std::to_string(plan);
        for (int i = 0; i < table.iterations; ++i) {
          here.propose(i, Team());
          there->enqueue_propose(i);
          copy(*stream, candidates.data(), actions.data(), floats);
          // Equal in the emulator. A device fuses multiply-adds and has its own exp, log and cosine: units in
          // the last place of numbers up to 1, which the next iterations carry on.
          CHECK_NEAR(label.c_str(), candidates.data(), here.actions(), static_cast<int64_t>(floats), 2e-6,
                     1.0);
          std::vector<float> scores = scores_of(here.actions(), table, plan == 2);
          copy(*stream, returns.data(), scores.data(), scores.size());
          there->enqueue_update(i);
          here.update(scores.data());
        }
        there->enqueue_answer();
        stream->wait();
        std::vector<float> want(static_cast<size_t>(table.row())), got(want);
        CHECK(here.finish(explore, want.data()) == there->answer(got.data()));
        CHECK_NEAR(label.c_str(), got.data(), want.data(), table.row(), 2e-6, 1.0);
        CHECK_NEAR(label.c_str(), told.mean().data(), here.mean().data(), table.row(), 2e-6, 1.0);
        CHECK_NEAR(label.c_str(), told.std().data(), here.std().data(), table.row(), 2e-6, 1.0);
        CHECK_NEAR(label.c_str(), told.weights().data(), here.weights().data(), table.elites, 2e-6, 1e-3);
        CHECK(std::equal(told.elites().begin(), told.elites().begin() + table.elites, here.elites().begin()));
        CHECK(told.worst_count() == here.worst_count() && here.worst_count() > 0);
        CHECK_NEAR(label.c_str(), std::vector{told.best_score()}.data(),
                   std::vector{here.best_score()}.data(), 1, 2e-6, 1.0);
      }
    }
  }
}

struct ModelCase {
  bool members, stochastic, with_replacement;
  Ask ask;
  Pick pick;
};

struct Planned {
  std::vector<float> numbers;
  int64_t worst;
};

// Two plans in a row, the second warm and exploring: answers, mean and spread. Draws of the seed, or the same
// ones taped.
Planned planned(const Target& target, const ModelCase& c, bool taped) {
  test::WorldShape shape;
  shape.members = c.members, shape.stochastic = c.stochastic;
  PlannerTable t;
  t.horizon = 3, t.action_dim = 3;
  t.samples = 90, t.prior = 10, t.iterations = 3, t.elites = 12;
  t.initial_std = 1, t.min_std = 0.05f, t.max_std = 2, t.temperature = 0.5f;
  t.critics = 4, t.drawn = 2, t.with_replacement = c.with_replacement;
  t.ask = c.ask, t.ask_min = 0.3f, t.ask_mean = 0.7f, t.ask_std = -0.2f;
  t.pick = c.pick;
  const auto planner = Planner::open(model_on(target, test::make_world_model(shape, 3), Precision::f32), t);
  CHECK(planner->model_draws() == (c.stochastic ? 72 : 0));
  std::vector<float> latent(24), tape;
  fill_normal(8, 0, 0, latent.data(), 24);
  PlanArgs args;
  args.inputs = {{0, latent.data()}};
  Planned out{{}, 0};
  planner->reset(5);
  for (uint64_t plan = 0; plan < 2; ++plan) {
    std::vector<std::vector<float>> kept;
    const auto draws = [&](PlanDraw kind, int64_t count) {
      kept.emplace_back(static_cast<size_t>(count));
      fill_normal(5, plan_stream(plan, kind), 0, kept.back().data(), count);
      return static_cast<const float*>(kept.back().data());
    };
    std::vector<int32_t> critics(static_cast<size_t>(t.iterations * t.drawn));
    if (taped) {
      args.tape.samples = draws(PlanDraw::samples, t.iterations * t.samples * t.row());
      args.tape.tail = draws(PlanDraw::tail, static_cast<int64_t>(t.iterations) * t.rows() * t.action_dim);
      args.tape.prior = draws(PlanDraw::prior, t.prior * t.row());
      args.tape.explore = draws(PlanDraw::explore, t.action_dim);
      if (c.stochastic) {
        args.tape.model = draws(PlanDraw::model, static_cast<int64_t>(t.iterations) * t.rows() * 72);
        args.tape.prior_model = draws(PlanDraw::prior_model, t.prior * 72);
      }
      for (int i = 0; i < t.iterations; ++i)
        draw_plan_critics(5, plan_stream(plan, PlanDraw::critics), static_cast<uint64_t>(i) * 2, 4, 2,
                          c.with_replacement, critics.data() + i * 2);
      args.tape.critics = critics.data();
    }
    args.explore = plan == 1;
    std::vector<float> answer(9);
    PlanStats stats;
    CHECK(planner->plan(args, answer.data(), &stats) == Status::ok);
    const Search& search = planner->search();
    for (const std::vector<float>& more : {answer, search.mean(), search.std()})
      out.numbers.insert(out.numbers.end(), more.begin(), more.end());
    out.worst += stats.worst_count;
  }
  return out;
}

TEST("cuda: plans through a model on every device") {
  const ModelCase cases[] = {{false, false, false, Ask::mean, Pick::mean},
                             {true, false, false, Ask::minimum, Pick::mean},
                             {false, true, true, Ask::weighted, Pick::mean},
                             {false, false, true, Ask::minimum, Pick::sampled},
                             {true, true, false, Ask::weighted, Pick::best}};
  for (const Target& target : targets(2 * static_cast<int>(std::size(cases))))
    for (const ModelCase& c : cases) {
      const Planned want = planned(reference, c, false);
      for (const bool taped : {false, true}) {
        const Planned got = planned(target, c, taped);
        // Scores are sums in another order: in their last places they differ, by which elites may change
        // places but hardly the mean.
        CHECK_NEAR((target.name + (taped ? " taped plan" : " plan")).c_str(), got.numbers.data(),
                   want.numbers.data(), static_cast<int64_t>(want.numbers.size()), 1e-4, 1.0);
        CHECK(got.worst == want.worst);
      }
    }
}

TEST("cuda: a plan on a device fails, is cancelled and goes on as on the CPU") {
  for (const Target& target : targets(1)) {
    if (!target.is_device) continue;
    test::WorldShape shape;
    PlannerTable t;
    t.horizon = 3, t.action_dim = 3, t.samples = 40, t.iterations = 2, t.elites = 8;
    t.critics = 4, t.drawn = 1;
    const auto planner = Planner::open(model_on(target, test::make_world_model(shape, 3), Precision::f32), t);
    std::vector<float> latent(24, 0.1f), out(9);
    std::atomic<bool> cancel{true};
    PlanArgs args;
    args.inputs = {{0, latent.data()}};
    args.cancel = &cancel;
    CHECK(planner->plan(args, out.data(), nullptr) == Status::cancelled);
    args.cancel = nullptr;
    CHECK(planner->plan(args, out.data(), nullptr) == Status::ok);
    latent[3] = std::numeric_limits<float>::quiet_NaN();
    PlanStats stats;
    CHECK(planner->plan(args, out.data(), &stats) == Status::not_finite);
    CHECK(stats.worst_count == 80);
    args.inputs.clear();
    CHECK(planner->plan(args, out.data(), nullptr) == Status::bad_argument);
    t.drawn = 33, t.with_replacement = true;
    CHECK_THROWS(Planner::open(model_on(target, test::make_world_model(shape, 3), Precision::f32), t),
                 "unsupported");
    TreeTable tree;
    tree.horizon = tree.action_dim = 3;
    CHECK_THROWS(TreePlanner::open(model_on(target, test::make_world_model(shape, 3), Precision::f32), tree),
                 "unsupported");
  }
}

TEST("cuda: critics that are not alike are refused") {
  for (const Target& target : targets(1)) {
    if (!target.is_device) continue;
    test::WorldShape shape;
    shape.uneven = true;
    PlannerTable t;
    t.horizon = 3, t.action_dim = 3, t.samples = 40, t.elites = 8;
    t.critics = 4, t.drawn = 2;
    CHECK_THROWS(Planner::open(model_on(target, test::make_world_model(shape, 3), Precision::f32), t),
                 "unsupported");
    t.critics = 0, t.drawn = 0;
    CHECK(Planner::open(model_on(target, test::make_world_model(shape, 3), Precision::f32), t) != nullptr);
  }
}

}  // namespace
}  // namespace tendon
