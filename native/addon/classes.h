// The addon's classes, one file each. Those that come back as arguments carry a type tag: `instanceof` can be
// forged with setPrototypeOf, and unwrapping another class's object would read foreign memory.
#pragma once

#include <napi.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "addon/handle.h"
#include "addon/work.h"
#include "drive/executor.h"
#include "realtime/stalls.h"
#include "session/session.h"

namespace tendon::addon {

class GraphObject : public Napi::ObjectWrap<GraphObject> {
 public:
  static Napi::Function define(Napi::Env env);
  static constexpr napi_type_tag tag{0x74656e646f6e0001, 0x9d2f6c1b5a7e4d01};
  explicit GraphObject(const Napi::CallbackInfo& info);
  const Graph& graph() const { return graph_; }

 private:
  Napi::Value input(const Napi::CallbackInfo& info);
  Napi::Value weight(const Napi::CallbackInfo& info);
  Napi::Value constant(const Napi::CallbackInfo& info);
  Napi::Value add(const Napi::CallbackInfo& info);
  void output(const Napi::CallbackInfo& info);
  Napi::Value print(const Napi::CallbackInfo& info);
  Napi::Value describe(Napi::Env env, int node) const;

  Graph graph_;
  std::map<std::string, std::shared_ptr<WeightFile>> files_;
};

class PoolObject : public Napi::ObjectWrap<PoolObject> {
 public:
  static Napi::Function define(Napi::Env env);
  static constexpr napi_type_tag tag{0x74656e646f6e0002, 0x9d2f6c1b5a7e4d02};
  explicit PoolObject(const Napi::CallbackInfo& info);
  const std::shared_ptr<Pool>& pool() const { return pool_; }
  const std::shared_ptr<Line>& line() const { return line_; }

 private:
  Napi::Value size(const Napi::CallbackInfo& info);
  Napi::Value cores(const Napi::CallbackInfo& info);
  Napi::Value refused(const Napi::CallbackInfo& info);
  std::shared_ptr<Pool> pool_;
  std::shared_ptr<Line> line_ = std::make_shared<Line>();
};

class CancelObject : public Napi::ObjectWrap<CancelObject> {
 public:
  static Napi::Function define(Napi::Env env);
  static constexpr napi_type_tag tag{0x74656e646f6e0003, 0x9d2f6c1b5a7e4d03};
  explicit CancelObject(const Napi::CallbackInfo& info);
  const std::shared_ptr<std::atomic<bool>>& flag() const { return flag_; }

 private:
  void cancel(const Napi::CallbackInfo&) { flag_->store(true, std::memory_order_relaxed); }
  Napi::Value cancelled(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), flag_->load(std::memory_order_relaxed));
  }
  std::shared_ptr<std::atomic<bool>> flag_;
};

// A model and the line of the pool that its sessions run on; none on a device, where each session has a queue
// of its own.
struct SharedModel {
  std::shared_ptr<Model> model;
  std::shared_ptr<Line> pool;
};

// The lines that calls of one session, planner or tree stand in. What runs the network stands in both; what
// prepares it only in its own, so that other sessions go on meanwhile.
struct Turns {
  explicit Turns(const std::shared_ptr<Line>& pool) : own{std::make_shared<Line>()}, all(own) {
    if (pool) all.push_back(pool);
  }
  Lines own, all;
};

class ModelObject : public Napi::ObjectWrap<ModelObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit ModelObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value report(const Napi::CallbackInfo& info);
  Napi::Value open_session(const Napi::CallbackInfo& info);
  Napi::Value open_planner(const Napi::CallbackInfo& info);
  Napi::Value open_tree(const Napi::CallbackInfo& info);
  std::shared_ptr<SharedModel> shared_;
};

// A session, the line of calls to it, and what may be asked of it while a call is inside: its ports, which no
// call changes, and the facts of its present plan.
struct SharedSession {
  explicit SharedSession(const SharedModel& model) : turns(model.pool) {}
  struct Facts {
    std::vector<StageReport> stages;
    std::string text;
    size_t arena_bytes = 0;
  };
  // Called by whoever is inside, after the plan has changed.
  void note() {
    Facts fresh{session->stages(), session->print(), session->arena_bytes()};
    std::lock_guard<std::mutex> lock(facts_lock);
    facts = std::move(fresh);
  }
  Facts known() {
    std::lock_guard<std::mutex> lock(facts_lock);
    return facts;
  }

  std::unique_ptr<Session> session;
  std::vector<Port> inputs, outputs;
  const Turns turns;

 private:
  std::mutex facts_lock;
  Facts facts;
};

class SessionObject : public Napi::ObjectWrap<SessionObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit SessionObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value inputs(const Napi::CallbackInfo& info);
  Napi::Value outputs(const Napi::CallbackInfo& info);
  Napi::Value stages(const Napi::CallbackInfo& info);
  Napi::Value print(const Napi::CallbackInfo& info);
  Napi::Value profile(const Napi::CallbackInfo& info);
  Napi::Value arena_bytes(const Napi::CallbackInfo& info);
  Napi::Value set_table(const Napi::CallbackInfo& info);
  Napi::Value denoise(const Napi::CallbackInfo& info);
  Napi::Value run(const Napi::CallbackInfo& info);
  std::shared_ptr<SharedSession> shared_;
};

// A planner and the line of calls to it.
struct SharedPlanner {
  explicit SharedPlanner(const SharedModel& model) : turns(model.pool) {}
  std::unique_ptr<Planner> planner;
  const Turns turns;
};

class PlannerObject : public Napi::ObjectWrap<PlannerObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit PlannerObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value inputs(const Napi::CallbackInfo& info);
  Napi::Value print(const Napi::CallbackInfo& info);
  Napi::Value profile(const Napi::CallbackInfo& info);
  Napi::Value reset(const Napi::CallbackInfo& info);
  Napi::Value plan(const Napi::CallbackInfo& info);
  std::shared_ptr<SharedPlanner> shared_;
};

// Small enough to run where it is called.
class SearchObject : public Napi::ObjectWrap<SearchObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit SearchObject(const Napi::CallbackInfo& info);

 private:
  void reset(const Napi::CallbackInfo& info);
  void begin(const Napi::CallbackInfo& info);
  Napi::Value propose(const Napi::CallbackInfo& info);
  void update(const Napi::CallbackInfo& info);
  Napi::Value finish(const Napi::CallbackInfo& info);
  std::unique_ptr<Search> search_;
  int iteration_ = 0;
};

// A tree search through a model, and the line of calls to it.
struct SharedTree {
  explicit SharedTree(const SharedModel& model) : turns(model.pool) {}
  std::unique_ptr<TreePlanner> planner;
  const Turns turns;
};

class TreePlannerObject : public Napi::ObjectWrap<TreePlannerObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit TreePlannerObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value inputs(const Napi::CallbackInfo& info);
  Napi::Value print(const Napi::CallbackInfo& info);
  Napi::Value reset(const Napi::CallbackInfo& info);
  Napi::Value plan(const Napi::CallbackInfo& info);
  std::shared_ptr<SharedTree> shared_;
};

// The tree alone; small enough to run where it is called.
class TreeObject : public Napi::ObjectWrap<TreeObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit TreeObject(const Napi::CallbackInfo& info);

 private:
  void begin(const Napi::CallbackInfo& info);
  Napi::Value select(const Napi::CallbackInfo& info);
  Napi::Value expand(const Napi::CallbackInfo& info);
  Napi::Value finish(const Napi::CallbackInfo& info);
  std::unique_ptr<Tree> tree_;
  int waiting_ = 0;  // leaves selected and not expanded
  bool begun_ = false;
};

// A thread of its own; see native/drive/executor.h.
class ExecutorObject : public Napi::ObjectWrap<ExecutorObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit ExecutorObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value joints(const Napi::CallbackInfo& info);
  Napi::Value row(const Napi::CallbackInfo& info);
  Napi::Value phase(const Napi::CallbackInfo& info);
  Napi::Value now_ns(const Napi::CallbackInfo& info);
  void start(const Napi::CallbackInfo& info);
  void tick(const Napi::CallbackInfo& info);
  void begin(const Napi::CallbackInfo& info);
  void feed(const Napi::CallbackInfo& info);
  void hold(const Napi::CallbackInfo& info);
  void beat(const Napi::CallbackInfo& info);
  void stop(const Napi::CallbackInfo& info);
  Napi::Value drain(const Napi::CallbackInfo& info);
  Napi::Value stats(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);
  std::unique_ptr<Executor> executor_;
};

// The executor's limits for control's own loop.
class LimiterObject : public Napi::ObjectWrap<LimiterObject> {
 public:
  static Napi::Function define(Napi::Env env);
  static constexpr napi_type_tag tag{0x74656e646f6e0004, 0x9d2f6c1b5a7e4d04};
  explicit LimiterObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value moving(const Napi::CallbackInfo& info);
  void restart(const Napi::CallbackInfo& info);
  void rest(const Napi::CallbackInfo& info);
  void copy(const Napi::CallbackInfo& info);
  Napi::Value limit(const Napi::CallbackInfo& info);
  double* joints_of(const Napi::Value& value, const char* what) const;
  std::unique_ptr<Limiter> limiter_;
};
void interpolate_js(const Napi::CallbackInfo& info);

class StallsObject : public Napi::ObjectWrap<StallsObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit StallsObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value refused(const Napi::CallbackInfo& info);
  Napi::Value now_ns(const Napi::CallbackInfo& info);
  Napi::Value drain(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);
  std::unique_ptr<Stalls> stalls_;
  std::string refused_;
};

// Constructors by class, kept per environment so that worker threads have their own.
struct Classes {
  Napi::FunctionReference graph, pool, cancel, model, session, planner, search, tree_planner, tree, executor,
      limiter, stalls;
  static Classes& of(Napi::Env env) { return *env.GetInstanceData<Classes>(); }
};

// The C++ object behind an argument of class `Wrapped`; anything else is `what: expected a …`.
template <class Wrapped>
Wrapped& unwrap(const Napi::Value& value, const char* expected) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&Wrapped::tag))
    throw BuildError("input_invalid", std::string("expected ") + expected);
  return *Wrapped::Unwrap(value.As<Napi::Object>());
}

Napi::Value compile_model(const Napi::CallbackInfo& info);
Napi::Value open_planner(const Napi::CallbackInfo& info, const SharedModel& model);
Napi::Value open_tree(const Napi::CallbackInfo& info, const SharedModel& model);
// The names of what their tables hold.
Napi::Value planner_fields(const Napi::CallbackInfo& info);
Napi::Value tree_fields(const Napi::CallbackInfo& info);

}  // namespace tendon::addon
