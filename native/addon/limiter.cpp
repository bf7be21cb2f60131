// The limits and the interpolation that the executor applies, for control's own loop: calls that return at
// once.
#include <cmath>

#include "addon/classes.h"
#include "addon/convert.h"
#include "addon/drive_args.h"

namespace tendon::addon {

namespace {

// Seconds between two commands.
double period_of(const Napi::Value& value) {
  const double dt = number_of(value, "dt");
  if (!(dt > 0)) throw BuildError("input_invalid", format("dt: expected seconds above 0, got %g", dt));
  return dt;
}

}  // namespace

Napi::Function LimiterObject::define(Napi::Env env) {
  return DefineClass(
      env, "Limiter",
      {InstanceAccessor<&LimiterObject::moving>("moving"), InstanceMethod<&LimiterObject::restart>("restart"),
       InstanceMethod<&LimiterObject::rest>("rest"), InstanceMethod<&LimiterObject::copy>("copy"),
       InstanceMethod<&LimiterObject::limit>("limit")});
}

// new Limiter(limits, joints)
LimiterObject::LimiterObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<LimiterObject>(info) {
  guarded(info.Env(), [&] {
    const auto joints = static_cast<size_t>(integer_of(info[1], "joints", 1, 1024));
    limiter_ = std::make_unique<Limiter>(limits_of(info[0]), joints);
    info.This().As<Napi::Object>().TypeTag(&tag);
  });
}

double* LimiterObject::joints_of(const Napi::Value& value, const char* what) const {
  auto array = doubles_in(value, what);
  if (array.ElementLength() != limiter_->joints())
    throw BuildError("input_invalid", format("%s: expected %zu numbers, got %zu", what, limiter_->joints(),
                                             array.ElementLength()));
  return array.Data();
}

Napi::Value LimiterObject::moving(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), limiter_->moving());
}

// restart(measured)
void LimiterObject::restart(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    const double* measured = joints_of(info[0], "measured");
    for (size_t i = 0; i < limiter_->joints(); ++i)
      if (!std::isfinite(measured[i]))
        throw BuildError("input_invalid",
                         format("measured: expected finite positions, got %g for joint %zu", measured[i], i));
    limiter_->restart(measured);
  });
}

void LimiterObject::rest(const Napi::CallbackInfo&) { limiter_->rest(); }

// copy(other)
void LimiterObject::copy(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    const Limiter& other = *unwrap<LimiterObject>(info[0], "another Limiter").limiter_;
    if (other.joints() != limiter_->joints())
      throw BuildError("input_invalid", format("copy: expected a limiter of %zu joints, got %zu",
                                               limiter_->joints(), other.joints()));
    limiter_->copy(other);
  });
}

// limit(desired, dt, out) → bits
Napi::Value LimiterObject::limit(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const double* desired = joints_of(info[0], "desired");
    const double dt = period_of(info[1]);
    return Napi::Number::New(info.Env(), limiter_->limit(desired, dt, joints_of(info[2], "out")));
  });
}

// interpolate(actions, rows, position, how, out): rows as long as `out`
void interpolate_js(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    const auto actions = floats_in(info[0], "actions");
    const int64_t rows = integer_of(info[1], "rows", 1, 1 << 24);
    const double position = number_of(info[2], "position");
    auto out = doubles_in(info[4], "out");
    const size_t joints = out.ElementLength();
    if (joints == 0 || static_cast<size_t>(rows) > actions.ElementLength() / joints || !(position >= 0) ||
        !(position < static_cast<double>(rows)))
      throw BuildError(
          "input_invalid",
          format("interpolate: expected %lld rows of %zu numbers and a position within them, got %zu "
                 "numbers and %g",
                 static_cast<long long>(rows), joints, actions.ElementLength(), position));
    interpolate(actions.Data(), static_cast<int>(rows), joints, position, interpolation_of(info[3]),
                out.Data());
  });
}

}  // namespace tendon::addon
