// Planners: a search whose candidates a model scores off the event loop, and the bare search for candidates
// that JavaScript has scored (a simulation).
#include <optional>

#include "addon/calls.h"
#include "addon/classes.h"
#include "addon/convert.h"
#include "addon/fields.h"
#include "addon/work.h"

namespace tendon::addon {

namespace {

using T = PlannerTable;
const Field<T> fields[] = {
    {"horizon", &T::horizon},
    {"action_dim", &T::action_dim},
    {"samples", &T::samples},
    {"prior", &T::prior},
    {"keep", &T::keep},
    {"iterations", &T::iterations},
    {"elites", &T::elites},
    {"critics", &T::critics},
    {"drawn", &T::drawn},
    {"initial_std", &T::initial_std},
    {"min_std", &T::min_std},
    {"max_std", &T::max_std},
    {"temperature", &T::temperature},
    {"momentum", &T::momentum},
    {"control_cost", &T::control_cost},
    {"centre_std", &T::centre_std},
    {"ask_min", &T::ask_min},
    {"ask_mean", &T::ask_mean},
    {"ask_std", &T::ask_std},
    {"fixed_std", &T::fixed_std},
    {"with_replacement", &T::with_replacement},
    {"warm_start", &T::warm_start},
    {"mix", &T::mix},
    {"ask", Choice<T>{{"mean", "minimum", "weighted"}, [](T& t, int i) { t.ask = static_cast<Ask>(i); }}},
    {"pick", Choice<T>{{"mean", "sampled", "best"}, [](T& t, int i) { t.pick = static_cast<Pick>(i); }}},
};

struct Tape {
  std::vector<float> samples, tail, prior, model, prior_model, pick, explore;
  std::vector<int32_t> critics;

  // A tape that is given must be whole: a shorter one would be read past its end.
  PlanTape read(const Napi::Value& value, const PlannerTable& t, int64_t model_draws) {
    PlanTape tape;
    if (value.IsUndefined()) return tape;
    if (!value.IsObject()) throw BuildError("input_invalid", "tape: expected an object of draws");
    const auto given = value.As<Napi::Object>();
    tape.samples = numbers_of(given, "samples", samples, t.iterations * t.samples * t.row(), "tape.");
    tape.tail = numbers_of(given, "tail", tail, static_cast<int64_t>(t.iterations) * t.rows() * t.action_dim,
                           "tape.");
    tape.prior = numbers_of(given, "prior", prior, t.prior * t.row(), "tape.");
    tape.model = numbers_of(given, "model", model,
                            static_cast<int64_t>(t.iterations) * t.rows() * model_draws, "tape.");
    tape.prior_model = numbers_of(given, "prior_model", prior_model, t.prior * model_draws, "tape.");
    tape.pick = numbers_of(given, "pick", pick, t.elites, "tape.");
    tape.explore = numbers_of(given, "explore", explore, t.action_dim, "tape.");
    std::vector<float> indices;
    if (numbers_of(given, "critics", indices, static_cast<int64_t>(t.iterations) * t.drawn, "tape.") !=
        nullptr) {
      for (const float index : indices) {
        if (!(index >= 0 && index < static_cast<float>(t.critics)))
          throw BuildError("input_invalid", format("tape.critics: expected 0 to %d, got %g", t.critics - 1,
                                                   static_cast<double>(index)));
        critics.push_back(static_cast<int32_t>(index));
      }
      tape.critics = critics.data();
    }
    return tape;
  }
};

// A sequence of actions that a search starts around, or null.
const float* centre_of(const Napi::Value& value, std::vector<float>& into, const PlannerTable& table) {
  if (value.IsUndefined()) return nullptr;
  into = floats_of(value, "centre");
  if (static_cast<int64_t>(into.size()) != table.row())
    throw BuildError("input_invalid", format("centre: expected %lld numbers (horizon × action_dim), got %zu",
                                             static_cast<long long>(table.row()), into.size()));
  for (const float action : into)
    if (!(action >= -1 && action <= 1))
      throw BuildError("input_invalid",
                       format("centre: expected actions from −1 to 1, got %g", static_cast<double>(action)));
  return into.data();
}

// What the search knows after a plan: mean and spread, and the elites, best first. Copied where the planner
// is held: the next plan in line may be running when JavaScript is told.
struct Found {
  std::vector<float> mean, std, elites, elite_scores;

  explicit Found(Search& search)
      : mean(search.mean()), std(search.std()), elite_scores(search.elite_scores()) {
    const PlannerTable& table = search.table();
    for (int k = 0; k < table.elites; ++k) {
      const float* row = search.actions() + search.elites()[k] * table.row();
      elites.insert(elites.end(), row, row + table.row());
    }
  }

  void set(Napi::Env env, Napi::Object& out) const {
    out.Set("mean", to_js(env, mean));
    out.Set("std", to_js(env, std));
    out.Set("elites", to_js(env, elites));
    out.Set("elite_scores", to_js(env, elite_scores));
  }
};

}  // namespace

Napi::Function PlannerObject::define(Napi::Env env) {
  return DefineClass(
      env, "Planner",
      {InstanceAccessor<&PlannerObject::inputs>("inputs"), InstanceMethod<&PlannerObject::print>("print"),
       InstanceMethod<&PlannerObject::profile>("profile"), InstanceMethod<&PlannerObject::reset>("reset"),
       InstanceMethod<&PlannerObject::plan>("plan")});
}

PlannerObject::PlannerObject(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<PlannerObject>(info),
      shared_(Handle<SharedPlanner>::take(info, "a Planner is made by model.openPlanner()")) {}

Napi::Value PlannerObject::inputs(const Napi::CallbackInfo& info) {
  return ports_to_js(info.Env(), shared_->planner->inputs());
}

Napi::Value PlannerObject::profile(const Napi::CallbackInfo& info) {
  return profile_of(info, shared_->turns.all,
                    [shared = shared_](int rounds) { return shared->planner->profile(rounds); });
}

Napi::Value PlannerObject::print(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), shared_->planner->print());
}

// reset(seed) → Promise<void>, in line with the plans asked for before it
Napi::Value PlannerObject::reset(const Napi::CallbackInfo& info) {
  return promise_of<uint64_t>(
      info, shared_->turns.own, [&](uint64_t& seed) { seed = seed_of(info[0]); },
      [shared = shared_](uint64_t& seed) { shared->planner->reset(seed); },
      [](Napi::Env env, uint64_t&) { return nothing(env); });
}

// plan({inputs, tape?, centre?, explore?, cancel?}) → Promise<{actions, mean, std, elites, elite_scores,
// status, …}>
Napi::Value PlannerObject::plan(const Napi::CallbackInfo& info) {
  struct Job {
    Inputs inputs;
    Tape tape;
    PlanArgs args;
    std::vector<float> actions, centre;
    Cancel cancel;
    Status status = Status::ok;
    PlanStats stats;
    std::optional<Found> found;
  };
  return promise_of<Job>(
      info, shared_->turns.all,
      [&](Job& job) {
        if (!info[0].IsObject()) throw BuildError("input_invalid", "plan: expected an object");
        const auto given = info[0].As<Napi::Object>();
        const PlannerTable& table = shared_->planner->search().table();
        job.inputs = inputs_of(property(given, "inputs"), "inputs");
        job.args.tape = job.tape.read(property(given, "tape"), table, shared_->planner->model_draws());
        job.args.centre = centre_of(property(given, "centre"), job.centre, table);
        job.args.explore = property(given, "explore").ToBoolean();
        job.cancel = cancel_of(given);
        job.args.cancel = job.cancel.get();
        job.args.inputs = match(job.inputs, shared_->planner->inputs(), stage_observation);
        job.actions.resize(static_cast<size_t>(table.row()));
      },
      [shared = shared_](Job& job) {
        job.status = shared->planner->plan(job.args, job.actions.data(), &job.stats);
        require(job.status);
        job.found.emplace(shared->planner->search());
      },
      [](Napi::Env env, Job& job) -> Napi::Value {
        Napi::Object out = Napi::Object::New(env);
        set_plan(env, out, job.actions, job.status, job.stats.worst_count);
        job.found->set(env, out);
        out.Set("total_ns", static_cast<double>(job.stats.total_ns));
        out.Set("best_score", job.stats.best_score);
        return out;
      });
}

Napi::Function SearchObject::define(Napi::Env env) {
  return DefineClass(
      env, "Search",
      {InstanceMethod<&SearchObject::reset>("reset"), InstanceMethod<&SearchObject::begin>("begin"),
       InstanceMethod<&SearchObject::propose>("propose"), InstanceMethod<&SearchObject::update>("update"),
       InstanceMethod<&SearchObject::finish>("finish")});
}

// new Search(table)
SearchObject::SearchObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<SearchObject>(info) {
  guarded(info.Env(), [&] {
    const auto table = table_of(info[0], fields, "planner");
    if (table.prior > 0 || table.critics > 0)
      throw BuildError("config_invalid", "planner prior and critics need a model that has them");
    search_ = std::make_unique<Search>(table);
  });
}

void SearchObject::reset(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] { search_->reset(seed_of(info[0])); });
}

// begin(centre?)
void SearchObject::begin(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    std::vector<float> centre;
    search_->begin({}, centre_of(info[0], centre, search_->table()));
    iteration_ = 0;
  });
}

// propose() → (samples · horizon · action_dim), undefined after the last iteration
Napi::Value SearchObject::propose(const Napi::CallbackInfo& info) {
  if (iteration_ >= search_->table().iterations) return info.Env().Undefined();
  search_->propose(iteration_, Team());
  const int64_t count = search_->table().rows() * search_->table().row();
  return to_js(info.Env(), std::vector<float>(search_->actions(), search_->actions() + count));
}

void SearchObject::update(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    std::vector<float> scores = floats_of(info[0], "scores");
    if (static_cast<int>(scores.size()) != search_->table().rows())
      throw BuildError("input_invalid", format("scores: expected one for each of %d candidates, got %zu",
                                               search_->table().rows(), scores.size()));
    if (iteration_ >= search_->table().iterations)
      throw BuildError("input_invalid", "update: this plan has had all its iterations; begin another");
    search_->update(scores.data());
    ++iteration_;
  });
}

Napi::Value SearchObject::finish(const Napi::CallbackInfo& info) {
  std::vector<float> actions(static_cast<size_t>(search_->table().row()));
  const bool found = iteration_ > 0 && search_->finish(info[0].ToBoolean(), actions.data());
  Napi::Object out = Napi::Object::New(info.Env());
  set_plan(info.Env(), out, actions, found ? Status::ok : Status::not_finite, search_->worst_count());
  Found(*search_).set(info.Env(), out);
  out.Set("best_score", search_->best_score());
  return out;
}

// openPlanner(table) → Promise<Planner>
Napi::Value open_planner(const Napi::CallbackInfo& info, const SharedModel& model) {
  struct Job {
    PlannerTable table;
    std::shared_ptr<SharedPlanner> made;
  };
  return promise_of<Job>(
      info, {}, [&](Job& job) { job.table = table_of(info[0], fields, "planner"); },
      [model](Job& job) {
        job.made = std::make_shared<SharedPlanner>(model);
        job.made->planner = Planner::open(model.model, job.table);
      },
      [](Napi::Env env, Job& job) {
        return Handle<SharedPlanner>::make(Classes::of(env).planner, std::move(job.made));
      });
}

Napi::Value planner_fields(const Napi::CallbackInfo& info) { return names_of(info.Env(), fields); }

}  // namespace tendon::addon
