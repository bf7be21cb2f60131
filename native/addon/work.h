// Work off the event loop: `run` on a libuv thread, then `settle` on the JS thread makes the value a promise
// resolves with. Whatever `run` throws rejects the promise. Calls wait for their turn in lines on the JS
// thread, so that they run in the order they were made and waiting ones hold no libuv thread.
#pragma once

#include <napi.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "addon/convert.h"
#include "base/error.h"
#include "base/pool.h"

namespace tendon::addon {

class Work;

// What one call at a time may have: a session, whose calls keep their order, or a pool, whose threads serve
// one job at a time. Touched on the JS thread only.
struct Line {
  std::shared_ptr<Pool> pool;  // of a pool's line: woken for the call that is on its way
  bool busy = false;
  std::deque<Work*> waiting;
};

// In the order in which they are stood in: a session's line before its pool's, always.
using Lines = std::vector<std::shared_ptr<Line>>;

class Work : public Napi::AsyncWorker {
 public:
  static Napi::Promise start(Napi::Env env, std::function<void()> run,
                             std::function<Napi::Value(Napi::Env)> settle, Lines lines = {}) {
    auto* work = new Work(env, std::move(run), std::move(settle), std::move(lines));
    Napi::Promise promise = work->deferred_.Promise();
    work->advance();
    return promise;
  }

  // An environment that goes away settles nothing: whoever waits for what this call held goes with it.
  ~Work() override {
    if (settled_) return;
    for (size_t i = 0; i < held_; ++i)
      for (Work* next : std::exchange(lines_[i]->waiting, {})) delete next;
  }

 protected:
  void Execute() override {
    try {
      run_();
    } catch (const BuildError& e) {
      code_ = e.code();
      SetError(e.what());
    } catch (const std::bad_alloc&) {
      code_ = "out_of_resources";
      SetError("this process cannot have the memory that this needs");
    } catch (const std::exception& e) {
      SetError(e.what());
    }
  }
  void OnOK() override {
    leave();
    try {
      deferred_.Resolve(settle_(Env()));
    } catch (const Napi::Error& e) {
      reject(e);
    }
  }
  void OnError(const Napi::Error& error) override {
    leave();
    reject(error);
  }

 private:
  Work(Napi::Env env, std::function<void()> run, std::function<Napi::Value(Napi::Env)> settle, Lines lines)
      : Napi::AsyncWorker(env),
        deferred_(Napi::Promise::Deferred::New(env)),
        run_(std::move(run)),
        settle_(std::move(settle)),
        lines_(std::move(lines)) {}

  // Takes one line after the other, waiting where another call has it; runs when it has all.
  void advance() {
    for (; held_ < lines_.size(); ++held_) {
      Line& line = *lines_[held_];
      if (line.busy) {
        line.waiting.push_back(this);
        return;
      }
      line.busy = true;
    }
    for (const std::shared_ptr<Line>& line : lines_)
      if (line->pool) line->pool->expect();
    Queue();
  }

  // Hands every line to whoever is first in it.
  void leave() {
    settled_ = true;
    for (size_t i = lines_.size(); i-- > 0;) {
      Line& line = *lines_[i];
      line.busy = !line.waiting.empty();
      if (!line.busy) continue;
      Work* next = line.waiting.front();
      line.waiting.pop_front();
      ++next->held_;
      next->advance();
    }
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
  Lines lines_;
  size_t held_ = 0;  // lines that are this call's
  bool settled_ = false;
  std::string code_ = "internal";
};

// A method that answers with a promise: `parse(job)` reads the arguments at once, `run(job)` works when it is
// the call's turn, `settle(env, job)` makes the answer.
template <class Job, class Parse, class Run, class Settle>
Napi::Value promise_of(const Napi::CallbackInfo& info, const Lines& lines, Parse parse, Run run,
                       Settle settle) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto job = std::make_shared<Job>();
    parse(*job);
    return Work::start(
        info.Env(), [job, run = std::move(run)] { run(*job); },
        [job, settle = std::move(settle)](Napi::Env env) -> Napi::Value { return settle(env, *job); }, lines);
  });
}

// The answer of a method that only does something.
inline Napi::Value nothing(Napi::Env env) { return env.Undefined(); }

}  // namespace tendon::addon
