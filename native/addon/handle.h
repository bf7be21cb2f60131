// Objects of JavaScript that stand for something in the core which only the core makes: a model, a session.
// What they stand for is left here while their constructor runs; called from JavaScript it finds nothing, and
// refuses.
#pragma once

#include <napi.h>

#include <memory>
#include <utility>

#include "addon/convert.h"

namespace tendon::addon {

template <class Shared>
class Handle {
 public:
  // A new object of that class around `shared`.
  static Napi::Value make(const Napi::FunctionReference& constructor, std::shared_ptr<Shared> shared) {
    struct Left {
      ~Left() { left().reset(); }
    } const only_here;
    left() = std::move(shared);
    return constructor.New({});
  }
  // For the constructor; `refusal` says who makes such objects.
  static std::shared_ptr<Shared> take(const Napi::CallbackInfo& info, const char* refusal) {
    if (!left()) throw_js(info.Env(), "input_invalid", refusal);
    return std::move(left());
  }

 private:
  static std::shared_ptr<Shared>& left() {
    static thread_local std::shared_ptr<Shared> shared;
    return shared;
  }
};

}  // namespace tendon::addon
