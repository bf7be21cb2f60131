// Work off the event loop: `run` on a libuv thread, then `settle` on the JS thread makes the value a promise
// resolves with. Whatever `run` throws rejects the promise.
#pragma once

#include <napi.h>

#include <functional>
#include <string>
#include <utility>

#include "base/error.h"

namespace tendon::addon {

class Work : public Napi::AsyncWorker {
 public:
  static Napi::Promise start(Napi::Env env, std::function<void()> run,
                             std::function<Napi::Value(Napi::Env)> settle) {
    auto* work = new Work(env, std::move(run), std::move(settle));
    Napi::Promise promise = work->deferred_.Promise();
    work->Queue();
    return promise;
  }

 protected:
  void Execute() override {
    try {
      run_();
    } catch (const BuildError& e) {
      code_ = e.code();
      SetError(e.what());
    } catch (const std::exception& e) {
      SetError(e.what());
    }
  }
  void OnOK() override { deferred_.Resolve(settle_(Env())); }
  void OnError(const Napi::Error& error) override {
    error.Value().Set("code", Napi::String::New(Env(), code_));
    deferred_.Reject(error.Value());
  }

 private:
  Work(Napi::Env env, std::function<void()> run, std::function<Napi::Value(Napi::Env)> settle)
      : Napi::AsyncWorker(env),
        deferred_(Napi::Promise::Deferred::New(env)),
        run_(std::move(run)),
        settle_(std::move(settle)) {}

  Napi::Promise::Deferred deferred_;
  std::function<void()> run_;
  std::function<Napi::Value(Napi::Env)> settle_;
  std::string code_ = "internal";
};

}  // namespace tendon::addon
