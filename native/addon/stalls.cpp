// The watch over the machine's own stalls, for JavaScript.
#include "realtime/stalls.h"

#include "addon/classes.h"
#include "addon/convert.h"
#include "realtime/clock.h"

namespace tendon::addon {

Napi::Function StallsObject::define(Napi::Env env) {
  return DefineClass(
      env, "Stalls",
      {InstanceAccessor<&StallsObject::refused>("refused"), InstanceMethod<&StallsObject::now_ns>("nowNs"),
       InstanceMethod<&StallsObject::drain>("drain"), InstanceMethod<&StallsObject::close>("close")});
}

// new Stalls(least_ms)
StallsObject::StallsObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<StallsObject>(info) {
  guarded(info.Env(), [&] {
    const double least_ms = number_of(info[0], "least_ms");
    if (!(least_ms >= 0 && least_ms <= 1e6))
      throw BuildError("config_invalid", format("least_ms: expected milliseconds, got %g", least_ms));
    stalls_ = std::make_unique<Stalls>(static_cast<int64_t>(least_ms * 1e6));
    refused_ = stalls_->refused();
  });
}

Napi::Value StallsObject::refused(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), refused_);
}

Napi::Value StallsObject::now_ns(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(monotonic_ns()));
}

// drain() → [{from_ns, to_ns, processor}], each processor's oldest first
Napi::Value StallsObject::drain(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    Napi::Array out = Napi::Array::New(info.Env());
    double row[stall_row];
    while (stalls_ && stalls_->drain(row, 1) == 1) {
      Napi::Object stall = Napi::Object::New(info.Env());
      stall.Set("from_ns", row[0]);
      stall.Set("to_ns", row[1]);
      stall.Set("processor", row[2]);
      out.Set(out.Length(), stall);
    }
    return out;
  });
}

void StallsObject::close(const Napi::CallbackInfo&) { stalls_.reset(); }

}  // namespace tendon::addon
