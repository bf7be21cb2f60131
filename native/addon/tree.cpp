// Tree search: a tree that a model grows off the event loop, and the bare tree for leaves that JavaScript
// values.
#include <optional>

#include "addon/calls.h"
#include "addon/classes.h"
#include "addon/convert.h"
#include "addon/fields.h"
#include "addon/work.h"

namespace tendon::addon {

namespace {

using T = TreeTable;
const Field<T> fields[] = {
    {"horizon", &T::horizon},
    {"action_dim", &T::action_dim},
    {"actions", &T::actions},
    {"simulations", &T::simulations},
    {"batch", &T::batch},
    {"discount", &T::discount},
    {"c1", &T::c1},
    {"c2", &T::c2},
    {"spread", &T::spread},
    {"noise_weight", &T::noise_weight},
    {"temperature", &T::temperature},
    {"untried", Choice<T>{{"zero", "mean"}, [](T& t, int i) { t.untried = static_cast<Untried>(i); }}},
};

const float* need(const Napi::Object& given, const char* name, std::vector<float>& into, int64_t count) {
  const float* taken = numbers_of(given, name, into, count);
  if (taken == nullptr) throw BuildError("input_invalid", std::string(name) + ": expected a Float32Array");
  return taken;
}

// Dirichlet noise for the root's priors, or null.
const float* noise_of(const Napi::Object& given, std::vector<float>& into, const TreeTable& table) {
  const float* noise = numbers_of(given, "noise", into, table.actions);
  for (const float share : into)
    if (!(share >= 0 && share <= 1))
      throw BuildError("input_invalid",
                       format("noise: expected shares from 0 to 1, got %g", static_cast<double>(share)));
  return noise;
}

// What the tree knows after a plan, copied where the tree is held.
struct Grown {
  std::vector<float> actions, visits, values;
  int chosen, nodes, depth;

  explicit Grown(const Tree& tree) : chosen(tree.chosen()), nodes(tree.nodes()), depth(tree.depth()) {
    const TreeTable& t = tree.table();
    actions.assign(tree.root_actions(), tree.root_actions() + t.row());
    for (int k = 0; k < t.actions; ++k) {
      visits.push_back(static_cast<float>(tree.visits(k)));
      values.push_back(static_cast<float>(tree.value(k)));
    }
  }

  void set(Napi::Env env, Napi::Object& out) const {
    out.Set("root_actions", to_js(env, actions));
    out.Set("visits", to_js(env, visits));
    out.Set("values", to_js(env, values));
    out.Set("chosen", chosen);
    out.Set("nodes", nodes);
    out.Set("depth", depth);
  }
};

}  // namespace

Napi::Function TreePlannerObject::define(Napi::Env env) {
  return DefineClass(
      env, "TreePlanner",
      {InstanceAccessor<&TreePlannerObject::inputs>("inputs"),
       InstanceMethod<&TreePlannerObject::print>("print"), InstanceMethod<&TreePlannerObject::reset>("reset"),
       InstanceMethod<&TreePlannerObject::plan>("plan")});
}

TreePlannerObject::TreePlannerObject(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<TreePlannerObject>(info),
      shared_(Handle<SharedTree>::take(info, "a TreePlanner is made by model.openTree()")) {}

Napi::Value TreePlannerObject::inputs(const Napi::CallbackInfo& info) {
  return ports_to_js(info.Env(), shared_->planner->inputs());
}

Napi::Value TreePlannerObject::print(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), shared_->planner->print());
}

// reset(seed) → Promise<void>, in line with the plans asked for before it
Napi::Value TreePlannerObject::reset(const Napi::CallbackInfo& info) {
  return promise_of<uint64_t>(
      info, shared_->turns.own, [&](uint64_t& seed) { seed = seed_of(info[0]); },
      [shared = shared_](uint64_t& seed) { shared->planner->reset(seed); },
      [](Napi::Env env, uint64_t&) { return nothing(env); });
}

// plan({inputs, noise?, tape?, cancel?}) → Promise<{actions, root_actions, visits, values, status, …}>
Napi::Value TreePlannerObject::plan(const Napi::CallbackInfo& info) {
  struct Job {
    Inputs inputs;
    std::vector<float> noise, draws, model, pick, actions;
    TreeArgs args;
    Cancel cancel;
    Status status = Status::ok;
    PlanStats stats;
    std::optional<Grown> grown;
  };
  return promise_of<Job>(
      info, shared_->turns.all,
      [&](Job& job) {
        if (!info[0].IsObject()) throw BuildError("input_invalid", "plan: expected an object");
        const auto given = info[0].As<Napi::Object>();
        const TreeTable& t = shared_->planner->tree().table();
        job.inputs = inputs_of(property(given, "inputs"), "inputs");
        job.args.noise = noise_of(given, job.noise, t);
        if (!property(given, "tape").IsUndefined()) {
          if (!property(given, "tape").IsObject())
            throw BuildError("input_invalid", "tape: expected an object of draws");
          const auto tape = property(given, "tape").As<Napi::Object>();
          job.args.tape.actions =
              numbers_of(tape, "actions", job.draws, (t.simulations + 1) * t.row(), "tape.");
          job.args.tape.model =
              numbers_of(tape, "model", job.model, t.simulations * shared_->planner->model_draws(), "tape.");
          job.args.tape.pick = numbers_of(tape, "pick", job.pick, t.actions, "tape.");
        }
        job.cancel = cancel_of(given);
        job.args.cancel = job.cancel.get();
        job.args.inputs = match(job.inputs, shared_->planner->inputs(), stage_observation);
        job.actions.resize(static_cast<size_t>(t.horizon) * t.action_dim);
      },
      [shared = shared_](Job& job) {
        job.status = shared->planner->plan(job.args, job.actions.data(), &job.stats);
        require(job.status);
        job.grown.emplace(shared->planner->tree());
      },
      [](Napi::Env env, Job& job) -> Napi::Value {
        Napi::Object out = Napi::Object::New(env);
        set_plan(env, out, job.actions, job.status, job.stats.worst_count);
        job.grown->set(env, out);
        out.Set("total_ns", static_cast<double>(job.stats.total_ns));
        out.Set("best_score", job.stats.best_score);
        return out;
      });
}

Napi::Function TreeObject::define(Napi::Env env) {
  return DefineClass(
      env, "Tree",
      {InstanceMethod<&TreeObject::begin>("begin"), InstanceMethod<&TreeObject::select>("select"),
       InstanceMethod<&TreeObject::expand>("expand"), InstanceMethod<&TreeObject::finish>("finish")});
}

// new Tree(table)
TreeObject::TreeObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<TreeObject>(info) {
  guarded(info.Env(), [&] { tree_ = std::make_unique<Tree>(table_of(info[0], fields, "tree")); });
}

// begin({actions, draws, noise?})
void TreeObject::begin(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    if (!info[0].IsObject()) throw BuildError("input_invalid", "begin: expected an object");
    const auto given = info[0].As<Napi::Object>();
    const int64_t row = tree_->table().row();
    std::vector<float> actions, draws, noise;
    const float* a = need(given, "actions", actions, row);
    const float* d = need(given, "draws", draws, row);
    tree_->begin(a, d, noise_of(given, noise, tree_->table()));
    waiting_ = 0;
    begun_ = true;
  });
}

// select() → {node, action} of every leaf of the next wave; empty when the search is over
Napi::Value TreeObject::select(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    if (!begun_ || waiting_ > 0)
      throw BuildError("input_invalid", "select: begin() comes first, and expand() after every select()");
    Napi::Array out = Napi::Array::New(info.Env());
    for (Tree::Edge edge; tree_->select(&edge); ++waiting_) {
      Napi::Object leaf = Napi::Object::New(info.Env());
      leaf.Set("node", edge.node);
      const float* action = tree_->action(edge);
      leaf.Set("action", to_js(info.Env(), std::vector<float>(action, action + tree_->table().action_dim)));
      out.Set(static_cast<uint32_t>(waiting_), leaf);
    }
    return out;
  });
}

// expand([{reward, alive, value, actions, draws}]) → the node that each has made, −1 for none
Napi::Value TreeObject::expand(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    if (!info[0].IsArray() || static_cast<int>(info[0].As<Napi::Array>().Length()) != waiting_)
      throw BuildError("input_invalid",
                       format("expand: expected an array of the %d selected leaves", waiting_));
    const auto leaves = info[0].As<Napi::Array>();
    const int64_t row = tree_->table().row();
    struct Read {
      float reward, alive, value;
      std::vector<float> actions, draws;
    };
    // All are read before one is used: a mistake leaves the tree as it was.
    std::vector<Read> read(static_cast<size_t>(waiting_));
    for (int i = 0; i < waiting_; ++i) {
      const Napi::Value at = leaves.Get(static_cast<uint32_t>(i));
      if (!at.IsObject()) throw BuildError("input_invalid", "expand: expected objects");
      const auto leaf = at.As<Napi::Object>();
      const auto number = [&](const char* name) {
        const Napi::Value v = property(leaf, name);
        if (!v.IsNumber())
          throw BuildError("input_invalid", std::string("leaf ") + name + ": expected a number");
        return v.As<Napi::Number>().FloatValue();
      };
      read[i].reward = number("reward"), read[i].alive = number("alive"), read[i].value = number("value");
      need(leaf, "actions", read[i].actions, row);
      need(leaf, "draws", read[i].draws, row);
    }
    Napi::Array out = Napi::Array::New(info.Env());
    for (int i = 0; i < waiting_; ++i) {
      const Read& r = read[i];
      out.Set(static_cast<uint32_t>(i),
              tree_->expand(i, {r.reward, r.alive, r.value, r.actions.data(), r.draws.data()}));
    }
    waiting_ = 0;
    return out;
  });
}

// finish({pick?}) → {actions, root_actions, visits, values, chosen, nodes, depth, status, worst_count}
Napi::Value TreeObject::finish(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    if (!begun_) throw BuildError("input_invalid", "finish: begin() comes first");
    const TreeTable& t = tree_->table();
    std::vector<float> pick, actions(static_cast<size_t>(t.horizon) * t.action_dim);
    const float* draws =
        info[0].IsObject() ? numbers_of(info[0].As<Napi::Object>(), "pick", pick, t.actions) : nullptr;
    const bool found = tree_->finish(draws, actions.data());
    Napi::Object out = Napi::Object::New(info.Env());
    set_plan(info.Env(), out, actions, found ? Status::ok : Status::not_finite, tree_->worst_count());
    Grown(*tree_).set(info.Env(), out);
    return out;
  });
}

// openTree(table) → Promise<TreePlanner>
Napi::Value open_tree(const Napi::CallbackInfo& info, const SharedModel& model) {
  struct Job {
    TreeTable table;
    std::shared_ptr<SharedTree> made;
  };
  return promise_of<Job>(
      info, {}, [&](Job& job) { job.table = table_of(info[0], fields, "tree"); },
      [model](Job& job) {
        job.made = std::make_shared<SharedTree>(model);
        job.made->planner = TreePlanner::open(model.model, job.table);
      },
      [](Napi::Env env, Job& job) {
        return Handle<SharedTree>::make(Classes::of(env).tree_planner, std::move(job.made));
      });
}

Napi::Value tree_fields(const Napi::CallbackInfo& info) { return names_of(info.Env(), fields); }

}  // namespace tendon::addon
