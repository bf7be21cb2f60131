// A session's calls. Arguments are copied on the JS thread; lengths are checked where the session is held.
#include <cstring>
#include <optional>

#include "addon/calls.h"
#include "addon/classes.h"
#include "addon/convert.h"
#include "addon/work.h"

namespace tendon::addon {

namespace {

void set_stats(Napi::Object& out, Status status, const InferStats& stats) {
  out.Set("status", status_name(status));
  out.Set("observe_ns", static_cast<double>(stats.observe_ns));
  out.Set("denoise_ns", static_cast<double>(stats.denoise_ns));
  out.Set("calls", stats.calls);
}

void need_count(const char* what, int64_t got, int64_t wanted) {
  if (got != wanted)
    throw BuildError("input_invalid", format("%s: expected %lld values, got %lld", what,
                                             static_cast<long long>(wanted), static_cast<long long>(got)));
}
void need_count(const char* what, const std::vector<float>& got, int64_t wanted) {
  need_count(what, static_cast<int64_t>(got.size()), wanted);
}

// Numbers, or {seed, stream, first, count, scale?} of what draws them.
struct NoiseGiven {
  std::vector<float> numbers;
  std::optional<Draws> draws;
  int64_t count = 0;

  Noise checked(const char* what, int64_t wanted) const {
    need_count(what, count, wanted);
    return draws ? Noise(*draws) : Noise(numbers.data());
  }
};

NoiseGiven noise_of(const Napi::Value& value, const char* what) {
  if (!value.IsObject() || value.IsTypedArray()) {
    NoiseGiven noise;
    noise.numbers = floats_of(value, what);
    noise.count = static_cast<int64_t>(noise.numbers.size());
    return noise;
  }
  const auto given = value.As<Napi::Object>();
  Draws draws;
  draws.seed = word_of(property(given, "seed"), "seed");
  draws.stream = word_of(property(given, "stream"), "stream");
  draws.first = word_of(property(given, "first"), "first");
  if (const Napi::Value scale = property(given, "scale"); !scale.IsUndefined())
    draws.scale = number_of(scale, "scale");
  return {{}, draws, integer_of(property(given, "count"), "count", 0, int64_t{1} << 40)};
}

}  // namespace

Napi::Function SessionObject::define(Napi::Env env) {
  return DefineClass(
      env, "Session",
      {InstanceAccessor<&SessionObject::inputs>("inputs"),
       InstanceAccessor<&SessionObject::outputs>("outputs"), InstanceMethod<&SessionObject::stages>("stages"),
       InstanceMethod<&SessionObject::print>("print"), InstanceMethod<&SessionObject::profile>("profile"),
       InstanceAccessor<&SessionObject::arena_bytes>("arena_bytes"),
       InstanceMethod<&SessionObject::set_table>("setTable"),
       InstanceMethod<&SessionObject::denoise>("denoise"), InstanceMethod<&SessionObject::run>("run")});
}

SessionObject::SessionObject(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<SessionObject>(info),
      shared_(Handle<SharedSession>::take(info, "a Session is made by model.openSession()")) {}

Napi::Value SessionObject::inputs(const Napi::CallbackInfo& info) {
  return ports_to_js(info.Env(), shared_->inputs);
}
Napi::Value SessionObject::outputs(const Napi::CallbackInfo& info) {
  return ports_to_js(info.Env(), shared_->outputs);
}
Napi::Value SessionObject::profile(const Napi::CallbackInfo& info) {
  return profile_of(info, shared_->turns.all,
                    [shared = shared_](int rounds) { return shared->session->profile(rounds); });
}

Napi::Value SessionObject::print(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), shared_->known().text);
}
Napi::Value SessionObject::arena_bytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(shared_->known().arena_bytes));
}

Napi::Value SessionObject::stages(const Napi::CallbackInfo& info) {
  const auto reports = shared_->known().stages;
  Napi::Array array = Napi::Array::New(info.Env(), reports.size());
  for (size_t i = 0; i < reports.size(); ++i) {
    Napi::Object stage = Napi::Object::New(info.Env());
    stage.Set("name", reports[i].name);
    stage.Set("instructions", reports[i].instructions);
    stage.Set("matrix_products", reports[i].matrix_products);
    stage.Set("flops", reports[i].flops);
    stage.Set("weight_bytes", reports[i].weight_bytes);
    array.Set(static_cast<uint32_t>(i), stage);
  }
  return array;
}

// setTable(rows: Float32Array of whole SamplerRows, schedule: {name: Float32Array}, tolerance?) →
// Promise<void>
Napi::Value SessionObject::set_table(const Napi::CallbackInfo& info) {
  struct Job {
    SamplerTable table;
    Named schedule;
    float tolerance = 0;
  };
  return promise_of<Job>(
      info, shared_->turns.own,
      [&](Job& job) {
        const std::vector<float> numbers = floats_of(info[0], "rows");
        constexpr size_t width = sizeof(SamplerRow) / sizeof(float);
        if (numbers.empty() || numbers.size() % width != 0 || numbers.size() / width > 4096)
          throw BuildError(
              "input_invalid",
              format("rows: expected 1 to 4096 rows of %zu numbers, got %zu numbers", width, numbers.size()));
        job.table.rows.resize(numbers.size() / width);
        std::memcpy(static_cast<void*>(job.table.rows.data()), numbers.data(),
                    numbers.size() * sizeof(float));
        job.schedule = named_of(info[1], "schedule");
        if (info[2].IsUndefined()) return;
        job.tolerance = static_cast<float>(number_of(info[2], "parallel_tolerance"));
        if (!(job.tolerance >= 0))
          throw BuildError("config_invalid", "parallel_tolerance: expected 0 or more");
      },
      [shared = shared_](Job& job) {
        shared->session->set_table(job.table, job.schedule, job.tolerance);
        shared->note();
      },
      [](Napi::Env env, Job&) { return nothing(env); });
}

// denoise({inputs, start, noise?, guidance?, prefix?, prefix_weights?, cancel?}) → Promise<{x, status, …}>,
// where start and noise are numbers or what draws them
Napi::Value SessionObject::denoise(const Napi::CallbackInfo& info) {
  // The request, and what its pointers point into.
  struct Job {
    DenoiseRequest request;
    Inputs inputs;
    NoiseGiven start, noise;
    std::vector<float> prefix, prefix_weights, x;
    Cancel cancel;
    Status status = Status::ok;
    InferStats stats;
  };
  return promise_of<Job>(
      info, shared_->turns.all,
      [&](Job& job) {
        if (!info[0].IsObject()) throw BuildError("input_invalid", "denoise: expected an object");
        const auto given = info[0].As<Napi::Object>();
        job.inputs = inputs_of(property(given, "inputs"), "inputs");
        job.start = noise_of(property(given, "start"), "start");
        if (const Napi::Value noise = property(given, "noise"); !noise.IsUndefined())
          job.noise = noise_of(noise, "noise");
        if (const Napi::Value guidance = property(given, "guidance"); !guidance.IsUndefined())
          job.request.guidance = static_cast<float>(number_of(guidance, "guidance"));
        if (const Napi::Value prefix = property(given, "prefix"); !prefix.IsUndefined()) {
          job.prefix = floats_of(prefix, "prefix");
          job.prefix_weights = floats_of(property(given, "prefix_weights"), "prefix_weights");
        }
        job.cancel = cancel_of(given);
        job.request.cancel = job.cancel.get();
      },
      [shared = shared_](Job& job) {
        Session& session = *shared->session;
        DenoiseRequest& request = job.request;
        request.inputs = match(job.inputs, session.inputs(), stage_observation);
        const SampleShape shape = session.sample_shape();
        request.start = job.start.checked("start", shape.count);
        request.noise = job.noise.checked("noise", shape.count * shape.noise_draws);
        if (!job.prefix.empty() || !job.prefix_weights.empty()) {
          need_count("prefix", job.prefix, shape.horizon * shape.action_dim);
          need_count("prefix_weights", job.prefix_weights, shape.horizon);
          request.prefix = job.prefix.data();
          request.prefix_weights = job.prefix_weights.data();
        }
        job.x.resize(static_cast<size_t>(shape.count));
        request.out = job.x.data();
        job.status = session.denoise(request, &job.stats);
        require(job.status);
      },
      [](Napi::Env env, Job& job) -> Napi::Value {
        Napi::Object out = Napi::Object::New(env);
        out.Set("x", to_js(env, job.x));
        set_stats(out, job.status, job.stats);
        return out;
      });
}

// run({name: Float32Array | frames}) → Promise<{outputs: {name: Float32Array}, status, …}>
Napi::Value SessionObject::run(const Napi::CallbackInfo& info) {
  struct Job {
    Inputs inputs;
    std::vector<std::pair<std::string, std::vector<float>>> outputs;
    Status status = Status::ok;
    InferStats stats;
  };
  return promise_of<Job>(
      info, shared_->turns.all, [&](Job& job) { job.inputs = inputs_of(info[0], "inputs"); },
      [shared = shared_](Job& job) {
        Session& session = *shared->session;
        const auto given =
            match(job.inputs, session.inputs(), stage_schedule | stage_observation | stage_step);
        std::vector<Wanted> wanted;
        for (const Port& port : session.outputs())
          job.outputs.emplace_back(port.name, std::vector<float>(static_cast<size_t>(port.shape.count())));
        for (size_t i = 0; i < job.outputs.size(); ++i)
          wanted.push_back({static_cast<int>(i), job.outputs[i].second.data()});
        job.status = session.run(given, wanted, &job.stats);
        require(job.status);
      },
      [](Napi::Env env, Job& job) -> Napi::Value {
        Napi::Object outputs = Napi::Object::New(env);
        for (const auto& [name, values] : job.outputs) outputs.Set(name, to_js(env, values));
        Napi::Object out = Napi::Object::New(env);
        out.Set("outputs", outputs);
        set_stats(out, job.status, job.stats);
        return out;
      });
}

}  // namespace tendon::addon
