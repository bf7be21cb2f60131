// Work off the event loop: `run` on a libuv thread, then `settle` on the JS thread makes the value a promise
// resolves with. Whatever `run` throws rejects the promise. Calls of one session stand in a line on the JS
// thread, so they run in the order they were made and waiting ones hold no libuv thread.
#pragma once

#include <napi.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "base/error.h"

namespace tendon::addon {

class Work;

// Touched on the JS thread only.
struct Line {
  bool busy = false;
  std::deque<Work*> waiting;
};

class Work : public Napi::AsyncWorker {
 public:
  static Napi::Promise start(Napi::Env env, std::function<void()> run,
                             std::function<Napi::Value(Napi::Env)> settle,
                             std::shared_ptr<Line> line = nullptr) {
    auto* work = new Work(env, std::move(run), std::move(settle), std::move(line));
    Napi::Promise promise = work->deferred_.Promise();
    if (work->line_ && std::exchange(work->line_->busy, true)) {
      work->line_->waiting.push_back(work);
    } else {
      work->Queue();
    }
    return promise;
  }

  // An environment that goes away settles nothing: whoever still waits in line goes with it.
  ~Work() override {
    if (!line_ || settled_) return;
    for (Work* next : std::exchange(line_->waiting, {})) delete next;
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
  void OnOK() override {
    call_next();
    try {
      deferred_.Resolve(settle_(Env()));
    } catch (const Napi::Error& e) {
      reject(e);
    }
  }
  void OnError(const Napi::Error& error) override {
    call_next();
    reject(error);
  }

 private:
  Work(Napi::Env env, std::function<void()> run, std::function<Napi::Value(Napi::Env)> settle,
       std::shared_ptr<Line> line)
      : Napi::AsyncWorker(env),
        deferred_(Napi::Promise::Deferred::New(env)),
        run_(std::move(run)),
        settle_(std::move(settle)),
        line_(std::move(line)) {}

  void call_next() {
    settled_ = true;
    if (!line_) return;
    line_->busy = !line_->waiting.empty();
    if (!line_->busy) return;
    Work* next = line_->waiting.front();
    line_->waiting.pop_front();
    next->Queue();
  }

  // A terminating environment takes no more calls; nobody is left there to be told.
  void reject(const Napi::Error& error) {
    try {
      error.Value().Set("code", Napi::String::New(Env(), code_));
      deferred_.Reject(error.Value());
    } catch (const Napi::Error&) {
    }
  }

  Napi::Promise::Deferred deferred_;
  std::function<void()> run_;
  std::function<Napi::Value(Napi::Env)> settle_;
  std::shared_ptr<Line> line_;
  bool settled_ = false;
  std::string code_ = "internal";
};

}  // namespace tendon::addon
