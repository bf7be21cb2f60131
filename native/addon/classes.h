// The addon's classes, one file each.
#pragma once

#include <napi.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "session/session.h"

namespace tendon::addon {

class GraphObject : public Napi::ObjectWrap<GraphObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit GraphObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<GraphObject>(info) {}
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
  std::map<std::string, std::shared_ptr<MappedFile>> files_;
};

class PoolObject : public Napi::ObjectWrap<PoolObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit PoolObject(const Napi::CallbackInfo& info);
  const std::shared_ptr<Pool>& pool() const { return pool_; }

 private:
  Napi::Value size(const Napi::CallbackInfo& info);
  std::shared_ptr<Pool> pool_;
};

class CancelObject : public Napi::ObjectWrap<CancelObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit CancelObject(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<CancelObject>(info), flag_(std::make_shared<std::atomic<bool>>(false)) {}
  const std::shared_ptr<std::atomic<bool>>& flag() const { return flag_; }

 private:
  void cancel(const Napi::CallbackInfo&) { flag_->store(true, std::memory_order_relaxed); }
  std::shared_ptr<std::atomic<bool>> flag_;
};

class ModelObject : public Napi::ObjectWrap<ModelObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit ModelObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value report(const Napi::CallbackInfo& info);
  Napi::Value open_session(const Napi::CallbackInfo& info);
  std::shared_ptr<Model> model_;
};

// A session and the lock that lets one call at a time into it.
struct SharedSession {
  std::unique_ptr<Session> session;
  std::mutex turn;
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
  Napi::Value arena_bytes(const Napi::CallbackInfo& info);
  Napi::Value set_table(const Napi::CallbackInfo& info);
  Napi::Value denoise(const Napi::CallbackInfo& info);
  Napi::Value run(const Napi::CallbackInfo& info);
  std::shared_ptr<SharedSession> shared_;
};

// Constructors by class, kept per environment so that worker threads have their own.
struct Classes {
  Napi::FunctionReference graph, pool, cancel, model, session;
  static Classes& of(Napi::Env env) { return *env.GetInstanceData<Classes>(); }
};

Napi::Value compile_model(const Napi::CallbackInfo& info);

}  // namespace tendon::addon
