// The executor for JavaScript: every call returns at once, none waits for its thread.
#include "drive/executor.h"

#include <algorithm>
#include <cmath>

#include "addon/classes.h"
#include "addon/convert.h"
#include "addon/drive_args.h"

namespace tendon::addon {

namespace {

constexpr double most_ns = 9007199254740992.0;  // 2^53

int64_t ns_of(const Napi::Value& value, const char* what) {
  const double number = number_of(value, what);
  if (!(std::fabs(number) <= most_ns))
    throw BuildError("input_invalid", format("%s: expected a time in ns, got %g", what, number));
  return static_cast<int64_t>(number);
}

ExecutorOptions options_of(const Napi::Value& value) {
  if (!value.IsObject()) throw BuildError("input_invalid", "executor: expected an object of options");
  const auto given = value.As<Napi::Object>();
  const auto has = [](const Napi::Object& object, const char* name) {
    return object.Has(name) && !property(object, name).IsUndefined();
  };
  const auto ms = [&](const char* name, int64_t& field) {
    if (!has(given, name)) return;
    const double number = number_of(property(given, name), name);
    if (!(number > 0 && number <= 1e9))
      throw BuildError("config_invalid", format("%s: expected milliseconds, got %g", name, number));
    field = static_cast<int64_t>(number * 1e6);
  };
  ExecutorOptions options;
  StepperOptions& step = options.step;
  step.joints = static_cast<int>(integer_of(property(given, "joints"), "joints", 1, 1024));
  const double rate_hz = number_of(property(given, "rate_hz"), "rate_hz");
  if (!(rate_hz >= 1 && rate_hz <= 1000))
    throw BuildError("config_invalid", format("rate_hz: expected 1 to 1000, got %g", rate_hz));
  step.period_ns = std::llround(1e9 / rate_hz);
  if (has(given, "most_rows"))
    step.most_rows = static_cast<int>(integer_of(property(given, "most_rows"), "most_rows", 1, 1 << 16));
  ms("heartbeat_ms", step.heartbeat_ns);
  ms("lifetime_ms", options.lifetime_ns);
  // A drive whose last command has expired does not follow it any more.
  step.gap_ns = std::max(2 * step.period_ns,
                         std::min(options.lifetime_ns, std::max<int64_t>(5 * step.period_ns, 50'000'000)));
  ms("gap_ms", step.gap_ns);
  if (has(given, "interpolation")) step.interpolation = interpolation_of(property(given, "interpolation"));
  if (step.interpolation == Interpolation::hold)
    throw BuildError("config_invalid", "interpolation: expected linear, cubic or quintic, got hold");
  step.limits = limits_of(property(given, "limits"));
  if (has(given, "ring_rows"))
    options.ring_rows = static_cast<int>(integer_of(property(given, "ring_rows"), "ring_rows", 1, 1 << 20));
  if (has(given, "udp")) {
    const Napi::Value udp = property(given, "udp");
    if (!udp.IsObject()) throw BuildError("config_invalid", "udp: expected a host and a port");
    options.udp_host = text_of(property(udp.As<Napi::Object>(), "host"), "udp.host");
    options.udp_port =
        static_cast<int>(integer_of(property(udp.As<Napi::Object>(), "port"), "udp.port", 1, 65535));
  }
  if (has(given, "fifo_priority"))
    options.fifo_priority =
        static_cast<int>(integer_of(property(given, "fifo_priority"), "fifo_priority", 0, 99));
  if (has(given, "lock_memory")) options.lock_memory = property(given, "lock_memory").ToBoolean();
  return options;
}

}  // namespace

Napi::Function ExecutorObject::define(Napi::Env env) {
  return DefineClass(
      env, "Executor",
      {InstanceAccessor<&ExecutorObject::joints>("joints"), InstanceAccessor<&ExecutorObject::row>("row"),
       InstanceAccessor<&ExecutorObject::phase>("phase"), InstanceMethod<&ExecutorObject::now_ns>("nowNs"),
       InstanceMethod<&ExecutorObject::start>("start"), InstanceMethod<&ExecutorObject::tick>("tick"),
       InstanceMethod<&ExecutorObject::begin>("begin"), InstanceMethod<&ExecutorObject::feed>("feed"),
       InstanceMethod<&ExecutorObject::hold>("hold"), InstanceMethod<&ExecutorObject::beat>("beat"),
       InstanceMethod<&ExecutorObject::stop>("stop"), InstanceMethod<&ExecutorObject::drain>("drain"),
       InstanceMethod<&ExecutorObject::stats>("stats"), InstanceMethod<&ExecutorObject::close>("close")});
}

// new Executor(options)
ExecutorObject::ExecutorObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ExecutorObject>(info) {
  guarded(info.Env(), [&] { executor_ = std::make_unique<Executor>(options_of(info[0])); });
}

Napi::Value ExecutorObject::joints(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), executor_->options().step.joints);
}

Napi::Value ExecutorObject::row(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(executor_->ring().width()));
}

Napi::Value ExecutorObject::phase(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), phase_name(executor_->stepper().phase()));
}

Napi::Value ExecutorObject::now_ns(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(monotonic_ns()));
}

// A running executor is not forgotten with the last reference to it: it may be holding an arm up.
void ExecutorObject::start(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    if (executor_->running()) return;
    executor_->start();
    Ref();
  });
}

void ExecutorObject::close(const Napi::CallbackInfo&) {
  if (!executor_->running()) return;
  executor_->close();
  Unref();
}

void ExecutorObject::tick(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    if (executor_->running())
      throw BuildError("input_invalid", "tick: the executor's own thread is running; close it first");
    executor_->tick(ns_of(info[0], "at_ns"));
  });
}

// begin(position)
void ExecutorObject::begin(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    const auto position = doubles_in(info[0], "position");
    const auto joints = static_cast<size_t>(executor_->options().step.joints);
    if (position.ElementLength() != joints)
      throw BuildError("input_invalid",
                       format("begin: expected %zu positions, got %zu", joints, position.ElementLength()));
    for (size_t i = 0; i < joints; ++i)
      if (!std::isfinite(position[i]))
        throw BuildError("input_invalid", format("begin: position %zu is not finite", i));
    executor_->begin(position.Data());
  });
}

// feed(stamp_ns, period_ns, actions)
void ExecutorObject::feed(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    const int64_t stamp_ns = ns_of(info[0], "stamp_ns"), period_ns = ns_of(info[1], "period_ns");
    const auto actions = floats_in(info[2], "actions");
    const StepperOptions& step = executor_->options().step;
    const size_t joints = static_cast<size_t>(step.joints), count = actions.ElementLength();
    if (count == 0 || count % joints != 0 || count / joints > static_cast<size_t>(step.most_rows) ||
        period_ns <= 0 || period_ns > 3'600'000'000'000)
      throw BuildError("input_invalid",
                       format("feed: expected 1 to %d rows of %zu joints and a period, got %zu numbers and "
                              "%lld ns",
                              step.most_rows, joints, count, static_cast<long long>(period_ns)));
    executor_->stepper().feed(stamp_ns, period_ns, static_cast<int>(count / joints), actions.Data(),
                              monotonic_ns());
  });
}

void ExecutorObject::hold(const Napi::CallbackInfo&) { executor_->stepper().hold(); }
void ExecutorObject::beat(const Napi::CallbackInfo&) { executor_->stepper().beat(monotonic_ns()); }
void ExecutorObject::stop(const Napi::CallbackInfo&) { executor_->stepper().stop(); }

// drain(out) → rows
Napi::Value ExecutorObject::drain(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto out = doubles_in(info[0], "rows");
    Ring& ring = executor_->ring();
    return Napi::Number::New(info.Env(),
                             static_cast<double>(ring.drain(out.Data(), out.ElementLength() / ring.width())));
  });
}

Napi::Value ExecutorObject::stats(const Napi::CallbackInfo& info) {
  Napi::Object out = Napi::Object::New(info.Env());
  const auto count = [&](const char* name, uint64_t value) { out.Set(name, static_cast<double>(value)); };
  const Stepper& stepper = executor_->stepper();
  const Histogram& late = executor_->lateness();
  out.Set("phase", phase_name(stepper.phase()));
  count("ticks", late.total());
  count("missed_ticks", executor_->missed());
  count("late_p50_ns", late.quantile(0.5));
  count("late_p99_ns", late.quantile(0.99));
  count("late_p999_ns", late.quantile(0.999));
  count("late_max_ns", late.most());
  count("commands", stepper.steps().commands);
  count("limited", stepper.steps().limited);
  count("used_up", stepper.steps().used_up);
  count("heartbeats_lost", stepper.steps().heartbeats_lost);
  count("missed_holds", stepper.steps().missed_holds);
  count("interruptions", stepper.steps().interruptions);
  count("ring_full", executor_->ring_full());
  count("unsent", executor_->unsent());
  out.Set("refused", executor_->refused());
  return out;
}

}  // namespace tendon::addon
