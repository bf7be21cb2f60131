// Planning: whoever gives the critics, however many threads run it, on whatever kernels, the plan is the
// same.
#include <cmath>
#include <limits>

#include "search/search.h"
#include "session/session.h"
#include "test/check.h"
#include "test/networks.h"

namespace tendon {
namespace {

PlannerTable small_table() {
  PlannerTable t;
  t.horizon = 3, t.action_dim = 3;
  t.samples = 90, t.prior = 10, t.iterations = 3, t.elites = 12;
  t.initial_std = 1, t.min_std = 0.05f, t.max_std = 2;
  t.temperature = 0.5f;
  t.critics = 4, t.drawn = 2;
  t.pick = Pick::sampled;
  return t;
}

std::unique_ptr<Planner> planner(bool members, int threads, const char* isa, const PlannerTable& table,
                                 bool stochastic = false) {
  test::WorldShape shape;
  shape.stochastic = stochastic;
  shape.members = members;
  ModelOptions options;
  options.pool = std::make_shared<Pool>(threads);
  options.isa = isa;
  return Planner::open(Model::make(test::make_world_model(shape, 3), options), table);
}

std::vector<float> two_plans(Planner& p) {
  std::vector<float> latent(24), out(2 * 9);
  fill_normal(8, 0, 0, latent.data(), 24);
  PlanArgs args;
  args.inputs = {{0, latent.data()}};
  p.reset(5);
  CHECK(p.plan(args, out.data(), nullptr) == Status::ok);
  CHECK(p.plan(args, out.data() + 9, nullptr) == Status::ok);
  return out;
}

TEST("plan: threads, and critics asked apart or together, do not change a plan") {
  const std::vector<float> want = two_plans(*planner(false, 1, "", small_table()));
  for (const int threads : {2, 3}) CHECK(two_plans(*planner(false, threads, "", small_table())) == want);
  CHECK(two_plans(*planner(true, 2, "", small_table())) == want);
}

TEST("plan: a model that draws its next state draws the same on any threads, or what it is given") {
  const PlannerTable t = small_table();
  const std::vector<float> want = two_plans(*planner(false, 1, "", t, true));
  CHECK(two_plans(*planner(false, 3, "", t, true)) == want);
  CHECK(two_plans(*planner(false, 1, "", t)) != want);

  auto p = planner(false, 2, "", t, true);
  CHECK(p->model_draws() == 3 * 24);
  std::vector<float> latent(24), out(9), drawn(9), zeros(t.iterations * t.rows() * 72);
  std::vector<float> prior_zeros(t.prior * 72);
  fill_normal(8, 0, 0, latent.data(), 24);
  PlanArgs args;
  args.inputs = {{0, latent.data()}};
  args.tape.model = zeros.data();
  args.tape.prior_model = prior_zeros.data();
  p->reset(5);
  CHECK(p->plan(args, drawn.data(), nullptr) == Status::ok);
  auto calm = planner(false, 2, "", t);
  calm->reset(5);
  args.tape = {};
  CHECK(calm->plan(args, out.data(), nullptr) == Status::ok);
  CHECK(out == drawn);
}

TEST("plan: the fast kernels plan as the plain loops do") {
  // A plan is a choice among candidates: it differs by rounding alone, or by a whole candidate.
  const std::vector<float> want = two_plans(*planner(false, 1, "reference", small_table()));
  const std::vector<float> got = two_plans(*planner(false, 2, "", small_table()));
  CHECK_NEAR("plans", got.data(), want.data(), 18, 1e-4, 1.0);
}

TEST("plan: what the table asks for and the model lacks is named") {
  PlannerTable table = small_table();
  table.critics = 5;
  CHECK_THROWS(planner(false, 1, "", table), "input_invalid");
  table = small_table();
  table.action_dim = 2;
  CHECK_THROWS(planner(false, 1, "", table), "graph_invalid");
  table = small_table();
  table.keep = 50;
  CHECK_THROWS(planner(false, 1, "", table), "config_invalid");
}

TEST("plan: a cancelled plan says so, and the next one is whole") {
  auto p = planner(false, 2, "", small_table());
  std::vector<float> latent(24, 0.1f), out(9);
  std::atomic<bool> cancel{true};
  PlanArgs args;
  args.inputs = {{0, latent.data()}};
  args.cancel = &cancel;
  CHECK(p->plan(args, out.data(), nullptr) == Status::cancelled);
  args.cancel = nullptr;
  CHECK(p->plan(args, out.data(), nullptr) == Status::ok);
  latent[3] = std::numeric_limits<float>::quiet_NaN();
  PlanStats stats;
  CHECK(p->plan(args, out.data(), &stats) == Status::not_finite);
  CHECK(stats.worst_count == 300);
}

TEST("tree: a model that draws its next state draws the same on any threads") {
  const auto planned = [](int threads, int batch, const std::vector<float>& model_draws) {
    test::WorldShape shape;
    shape.stochastic = true;
    ModelOptions options;
    options.pool = std::make_shared<Pool>(threads);
    TreeTable table;
    table.horizon = table.action_dim = 3, table.simulations = 40, table.actions = 7, table.batch = batch;
    auto tree = TreePlanner::open(Model::make(test::make_world_model(shape, 3), options), table);
    CHECK(tree->model_draws() == 24);
    const std::vector<float> latent(24, 0.1f);
    std::vector<float> out(9);
    TreeArgs args;
    args.inputs = {{0, latent.data()}};
    args.tape.model = model_draws.empty() ? nullptr : model_draws.data();
    tree->reset(5);
    CHECK(tree->plan(args, out.data(), nullptr) == Status::ok);
    for (int k = 0; k < 7; ++k) out.push_back(static_cast<float>(tree->tree().visits(k)));
    return out;
  };
  const std::vector<float> want = planned(1, 1, {});
  CHECK(planned(3, 1, {}) == want);
  CHECK(planned(2, 4, {}) == planned(1, 4, {}));
  CHECK(planned(1, 1, std::vector<float>(40 * 24, 0.0f)) != want);
}

TEST("search: draws are functions of the seed, whoever makes them") {
  PlannerTable t = small_table();
  t.prior = t.critics = t.drawn = 0;
  std::vector<float> first;
  for (const int members : {1, 2, 5}) {
    Search search(t);
    search.reset(11);
    search.begin({});
    Pool pool(members);
    pool.run([&](const Team& team) { search.propose(1, team); });
    const std::vector<float> rows(search.actions(), search.actions() + t.rows() * t.row());
    if (first.empty()) first = rows;
    CHECK(rows == first);
  }
  t.critics = 5, t.drawn = 2;
  Search search(t);
  search.reset(1);
  search.begin({});
  int asked[5] = {};
  for (int i = 0; i < 200; ++i) {
    int drawn[2];
    search.draw_critics(i, drawn);
    CHECK(drawn[0] != drawn[1]);
    for (const int d : drawn) {
      CHECK(d >= 0 && d < 5);
      ++asked[d];
    }
  }
  // 80 each are expected; five standard deviations are 35.
  for (const int count : asked) CHECK(std::abs(count - 80) < 35);
}

}  // namespace
}  // namespace tendon
