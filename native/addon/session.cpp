// A session's calls. Arguments are copied on the JS thread; lengths are checked where the session is held.
#include <cstring>

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

SessionObject::SessionObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<SessionObject>(info) {
  if (!info[0].IsExternal())
    throw_js(info.Env(), "input_invalid", "a Session is made by model.openSession()");
  shared_ = *info[0].As<Napi::External<std::shared_ptr<SharedSession>>>().Data();
}

Napi::Value SessionObject::inputs(const Napi::CallbackInfo& info) {
  return ports_to_js(info.Env(), shared_->inputs);
}
Napi::Value SessionObject::outputs(const Napi::CallbackInfo& info) {
  return ports_to_js(info.Env(), shared_->outputs);
}
Napi::Value SessionObject::profile(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const int rounds = static_cast<int>(integer_of(info[0], "rounds", 1, 10000));
    auto reports = std::make_shared<std::vector<InstructionReport>>();
    return Work::start(
        info.Env(), [shared = shared_, rounds, reports] { *reports = shared->session->profile(rounds); },
        [reports](Napi::Env env) { return profile_to_js(env, *reports); }, shared_->turns.all);
  });
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
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::vector<float> numbers = floats_of(info[0], "rows");
    constexpr size_t width = sizeof(SamplerRow) / sizeof(float);
    if (numbers.empty() || numbers.size() % width != 0 || numbers.size() / width > 4096)
      throw BuildError(
          "input_invalid",
          format("rows: expected 1 to 4096 rows of %zu numbers, got %zu numbers", width, numbers.size()));
    SamplerTable table;
    table.rows.resize(numbers.size() / width);
    std::memcpy(static_cast<void*>(table.rows.data()), numbers.data(), numbers.size() * sizeof(float));
    Named schedule = named_of(info[1], "schedule");
    float tolerance = 0;
    if (!info[2].IsUndefined()) {
      tolerance = static_cast<float>(number_of(info[2], "parallel_tolerance"));
      if (!(tolerance >= 0)) throw BuildError("config_invalid", "parallel_tolerance: expected 0 or more");
    }
    return Work::start(
        info.Env(),
        [shared = shared_, table = std::move(table), schedule = std::move(schedule), tolerance] {
          shared->session->set_table(table, schedule, tolerance);
          shared->note();
        },
        [](Napi::Env env) { return env.Undefined(); }, shared_->turns.own);
  });
}

// denoise({inputs, start, noise?, guidance?, prefix?, prefix_weights?, cancel?}) → Promise<{x, status, …}>
Napi::Value SessionObject::denoise(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    if (!info[0].IsObject()) throw BuildError("input_invalid", "denoise: expected an object");
    const auto given = info[0].As<Napi::Object>();
    struct Job {
      Inputs inputs;
      std::vector<float> start, noise, prefix, prefix_weights, x;
      float guidance = 1;
      std::shared_ptr<std::atomic<bool>> cancel;
      Status status = Status::ok;
      InferStats stats;
    };
    auto job = std::make_shared<Job>();
    job->inputs = inputs_of(property(given, "inputs"), "inputs");
    job->start = floats_of(property(given, "start"), "start");
    if (!property(given, "noise").IsUndefined()) job->noise = floats_of(property(given, "noise"), "noise");
    if (!property(given, "guidance").IsUndefined())
      job->guidance = static_cast<float>(number_of(property(given, "guidance"), "guidance"));
    if (!property(given, "prefix").IsUndefined()) {
      job->prefix = floats_of(property(given, "prefix"), "prefix");
      job->prefix_weights = floats_of(property(given, "prefix_weights"), "prefix_weights");
    }
    const Napi::Value cancel = property(given, "cancel");
    if (!cancel.IsUndefined()) {
      job->cancel = unwrap<CancelObject>(cancel, "a CancelToken as `cancel`").flag();
    }
    return Work::start(
        info.Env(),
        [shared = shared_, job] {
          Session& session = *shared->session;
          DenoiseArgs args;
          args.inputs = match(job->inputs, session.inputs(), stage_observation);
          const SampleShape shape = session.sample_shape();
          const auto need = [](const char* what, const std::vector<float>& v, int64_t count) {
            if (static_cast<int64_t>(v.size()) != count)
              throw BuildError("input_invalid", format("%s: expected %lld values, got %zu", what,
                                                       static_cast<long long>(count), v.size()));
          };
          need("start", job->start, shape.count);
          need("noise", job->noise, shape.count * shape.noise_draws);
          if (!job->prefix.empty() || !job->prefix_weights.empty()) {
            need("prefix", job->prefix, shape.horizon * shape.action_dim);
            need("prefix_weights", job->prefix_weights, shape.horizon);
            args.prefix = job->prefix.data();
            args.prefix_weights = job->prefix_weights.data();
          }
          job->x.resize(job->start.size());
          args.start = job->start.data();
          args.noise = job->noise.data();
          args.guidance = job->guidance;
          args.out = job->x.data();
          args.cancel = job->cancel.get();
          job->status = session.denoise(args, &job->stats);
          require(job->status);
        },
        [job](Napi::Env env) -> Napi::Value {
          Napi::Object out = Napi::Object::New(env);
          out.Set("x", to_js(env, job->x));
          set_stats(out, job->status, job->stats);
          return out;
        },
        shared_->turns.all);
  });
}

// run({name: Float32Array | frames}) → Promise<{outputs: {name: Float32Array}, status, …}>
Napi::Value SessionObject::run(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    struct Job {
      Inputs inputs;
      std::vector<std::pair<std::string, std::vector<float>>> outputs;
      Status status = Status::ok;
      InferStats stats;
    };
    auto job = std::make_shared<Job>();
    job->inputs = inputs_of(info[0], "inputs");
    return Work::start(
        info.Env(),
        [shared = shared_, job] {
          Session& session = *shared->session;
          const auto given =
              match(job->inputs, session.inputs(), stage_schedule | stage_observation | stage_step);
          std::vector<Wanted> wanted;
          for (const Port& port : session.outputs())
            job->outputs.emplace_back(port.name, std::vector<float>(static_cast<size_t>(port.shape.count())));
          for (size_t i = 0; i < job->outputs.size(); ++i)
            wanted.push_back({static_cast<int>(i), job->outputs[i].second.data()});
          job->status = session.run(given, wanted, &job->stats);
          require(job->status);
        },
        [job](Napi::Env env) -> Napi::Value {
          Napi::Object outputs = Napi::Object::New(env);
          for (const auto& [name, values] : job->outputs) outputs.Set(name, to_js(env, values));
          Napi::Object out = Napi::Object::New(env);
          out.Set("outputs", outputs);
          set_stats(out, job->status, job->stats);
          return out;
        },
        shared_->turns.all);
  });
}

}  // namespace tendon::addon
