// Planners: a search whose candidates a model scores off the event loop, and the bare search for candidates
// that JavaScript has scored (a simulation).
#include <optional>

#include "addon/calls.h"
#include "addon/classes.h"
#include "addon/convert.h"
#include "addon/work.h"

namespace tendon::addon {

namespace {

PlannerTable table_of(const Napi::Value& value) {
  if (!value.IsObject()) throw BuildError("input_invalid", "planner: expected an object of its numbers");
  const auto given = value.As<Napi::Object>();
  PlannerTable table;
  const auto has = [&](const char* name) { return given.Has(name) && !property(given, name).IsUndefined(); };
  const auto integer = [&](const char* name, int& field) {
    if (has(name)) field = static_cast<int>(integer_of(property(given, name), name, 0, 1 << 20));
  };
  const auto number = [&](const char* name, float& field) {
    if (has(name)) field = static_cast<float>(number_of(property(given, name), name));
  };
  const auto flag = [&](const char* name, bool& field) {
    if (has(name)) field = property(given, name).ToBoolean();
  };
  integer("horizon", table.horizon);
  integer("action_dim", table.action_dim);
  integer("samples", table.samples);
  integer("prior", table.prior);
  integer("keep", table.keep);
  integer("iterations", table.iterations);
  integer("elites", table.elites);
  integer("critics", table.critics);
  integer("drawn", table.drawn);
  number("initial_std", table.initial_std);
  number("min_std", table.min_std);
  number("max_std", table.max_std);
  number("temperature", table.temperature);
  number("momentum", table.momentum);
  number("control_cost", table.control_cost);
  number("centre_std", table.centre_std);
  number("ask_min", table.ask_min);
  number("ask_mean", table.ask_mean);
  number("ask_std", table.ask_std);
  flag("fixed_std", table.fixed_std);
  flag("with_replacement", table.with_replacement);
  flag("warm_start", table.warm_start);
  if (has("mix")) table.mix = floats_of(property(given, "mix"), "mix");
  const auto choice = [&](const char* name, std::initializer_list<const char*> names) {
    if (!has(name)) return 0;
    const std::string wanted = text_of(property(given, name), name);
    int i = 0;
    for (const char* n : names) {
      if (wanted == n) return i;
      ++i;
    }
    throw BuildError("config_invalid", std::string("planner ") + name + ": there is no " + wanted);
  };
  table.ask = static_cast<Ask>(choice("ask", {"mean", "minimum", "weighted"}));
  table.pick = static_cast<Pick>(choice("pick", {"mean", "sampled", "best"}));
  table.check();
  return table;
}

struct Tape {
  std::vector<float> samples, tail, prior, model, prior_model, pick, explore;
  std::vector<int32_t> critics;

  // A tape that is given must be whole: a shorter one would be read past its end.
  PlanTape read(const Napi::Value& value, const PlannerTable& t, int64_t model_draws) {
    PlanTape tape;
    if (value.IsUndefined()) return tape;
    if (!value.IsObject()) throw BuildError("input_invalid", "tape: expected an object of draws");
    const auto given = value.As<Napi::Object>();
    const auto take = [&](const char* name, std::vector<float>& into, int64_t count) -> const float* {
      if (property(given, name).IsUndefined()) return nullptr;
      into = floats_of(property(given, name), name);
      if (static_cast<int64_t>(into.size()) != count)
        throw BuildError("input_invalid", format("tape.%s: expected %lld draws, got %zu", name,
                                                 static_cast<long long>(count), into.size()));
      return into.data();
    };
    tape.samples = take("samples", samples, t.iterations * t.samples * t.row());
    tape.tail = take("tail", tail, static_cast<int64_t>(t.iterations) * t.rows() * t.action_dim);
    tape.prior = take("prior", prior, t.prior * t.row());
    tape.model = take("model", model, static_cast<int64_t>(t.iterations) * t.rows() * model_draws);
    tape.prior_model = take("prior_model", prior_model, t.prior * model_draws);
    tape.pick = take("pick", pick, t.elites);
    tape.explore = take("explore", explore, t.action_dim);
    std::vector<float> indices;
    if (take("critics", indices, static_cast<int64_t>(t.iterations) * t.drawn) != nullptr) {
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

uint64_t seed_of(const Napi::Value& value) {
  return static_cast<uint64_t>(integer_of(value, "seed", 0, int64_t{1} << 53));
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

PlannerObject::PlannerObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<PlannerObject>(info) {
  if (!info[0].IsExternal())
    throw_js(info.Env(), "input_invalid", "a Planner is made by model.openPlanner()");
  shared_ = *info[0].As<Napi::External<std::shared_ptr<SharedPlanner>>>().Data();
}

Napi::Value PlannerObject::inputs(const Napi::CallbackInfo& info) {
  return ports_to_js(info.Env(), shared_->planner->inputs());
}

Napi::Value PlannerObject::profile(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const int rounds = static_cast<int>(integer_of(info[0], "rounds", 1, 10000));
    auto reports = std::make_shared<std::vector<InstructionReport>>();
    return Work::start(
        info.Env(), [shared = shared_, rounds, reports] { *reports = shared->planner->profile(rounds); },
        [reports](Napi::Env env) { return profile_to_js(env, *reports); }, shared_->turns.all);
  });
}

Napi::Value PlannerObject::print(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), shared_->planner->print());
}

// reset(seed) → Promise<void>, in line with the plans asked for before it
Napi::Value PlannerObject::reset(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const uint64_t seed = seed_of(info[0]);
    return Work::start(
        info.Env(), [shared = shared_, seed] { shared->planner->reset(seed); },
        [](Napi::Env env) { return env.Undefined(); }, shared_->turns.own);
  });
}

// plan({inputs, tape?, centre?, explore?, cancel?}) → Promise<{actions, mean, std, elites, elite_scores,
// status, …}>
Napi::Value PlannerObject::plan(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    if (!info[0].IsObject()) throw BuildError("input_invalid", "plan: expected an object");
    const auto given = info[0].As<Napi::Object>();
    struct Job {
      Inputs inputs;
      Tape tape;
      PlanArgs args;
      std::vector<float> actions, centre;
      std::shared_ptr<std::atomic<bool>> cancel;
      Status status = Status::ok;
      PlanStats stats;
      std::optional<Found> found;
    };
    auto job = std::make_shared<Job>();
    const PlannerTable& table = shared_->planner->search().table();
    job->inputs = inputs_of(property(given, "inputs"), "inputs");
    job->args.tape = job->tape.read(property(given, "tape"), table, shared_->planner->model_draws());
    job->args.centre = centre_of(property(given, "centre"), job->centre, table);
    job->args.explore = property(given, "explore").ToBoolean();
    const Napi::Value cancel = property(given, "cancel");
    if (!cancel.IsUndefined()) {
      job->cancel = unwrap<CancelObject>(cancel, "a CancelToken as `cancel`").flag();
      job->args.cancel = job->cancel.get();
    }
    job->args.inputs = match(job->inputs, shared_->planner->inputs(), stage_observation);
    job->actions.resize(static_cast<size_t>(table.row()));
    return Work::start(
        info.Env(),
        [shared = shared_, job] {
          job->status = shared->planner->plan(job->args, job->actions.data(), &job->stats);
          require(job->status);
          job->found.emplace(shared->planner->search());
        },
        [job](Napi::Env env) -> Napi::Value {
          Napi::Object out = Napi::Object::New(env);
          out.Set("actions", to_js(env, job->actions));
          job->found->set(env, out);
          out.Set("status", status_name(job->status));
          out.Set("total_ns", static_cast<double>(job->stats.total_ns));
          out.Set("worst_count", static_cast<double>(job->stats.worst_count));
          out.Set("best_score", job->stats.best_score);
          return out;
        },
        shared_->turns.all);
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
    const PlannerTable table = table_of(info[0]);
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
  search_->propose(iteration_, Team{0, 1, nullptr});
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
  out.Set("actions", to_js(info.Env(), actions));
  Found(*search_).set(info.Env(), out);
  out.Set("status", found ? "ok" : "not_finite");
  out.Set("worst_count", static_cast<double>(search_->worst_count()));
  out.Set("best_score", search_->best_score());
  return out;
}

// openPlanner(table) → Promise<Planner>
Napi::Value open_planner(Napi::Env env, const SharedModel& model, const Napi::Value& given) {
  return guarded(env, [&]() -> Napi::Value {
    const PlannerTable table = table_of(given);
    auto shared = std::make_shared<SharedPlanner>(model);
    return Work::start(
        env, [model = model.model, table, shared] { shared->planner = Planner::open(model, table); },
        [shared](Napi::Env e) -> Napi::Value {
          auto copy = shared;
          return Classes::of(e).planner.New({Napi::External<std::shared_ptr<SharedPlanner>>::New(e, &copy)});
        });
  });
}

}  // namespace tendon::addon
