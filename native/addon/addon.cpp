// The module: classes and free functions. src/native/addon.ts types all of it.
#include <algorithm>
#include <utility>

#include "addon/calls.h"
#include "addon/classes.h"
#include "addon/convert.h"
#include "addon/notify.h"
#include "base/cores.h"
#include "base/philox.h"
#include "kernels/kernels.h"
#include "measure/peak.h"

namespace tendon::addon {

namespace {

// philoxNormal, philoxUniform(seed, stream, first, count) → Float32Array
template <void fill(uint64_t, uint64_t, uint64_t, float*, int64_t)>
Napi::Value philox(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const uint64_t seed = word_of(info[0], "seed"), stream = word_of(info[1], "stream");
    const uint64_t first = word_of(info[2], "first");
    std::vector<float> values(static_cast<size_t>(integer_of(info[3], "count", 0, 1 << 28)));
    fill(seed, stream, first, values.data(), static_cast<int64_t>(values.size()));
    return to_js(info.Env(), values);
  });
}

Napi::Value op_names_of(const Napi::CallbackInfo& info) {
  const auto names = op_names();
  Napi::Array array = Napi::Array::New(info.Env(), names.size());
  for (size_t i = 0; i < names.size(); ++i) array.Set(static_cast<uint32_t>(i), names[i]);
  return array;
}

Napi::Value sampler_fields(const Napi::CallbackInfo& info) {
  constexpr size_t count = sizeof sampler_row_fields / sizeof *sampler_row_fields;
  Napi::Array array = Napi::Array::New(info.Env(), count);
  for (size_t i = 0; i < count; ++i) array.Set(static_cast<uint32_t>(i), sampler_row_fields[i]);
  return array;
}

// isa(limit?) → the instruction set that would be chosen
Napi::Value isa(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    std::string limit = info[0].IsUndefined() ? "" : text_of(info[0], "isa");
    if (limit.empty()) limit = said_outside("TENDON_ISA");
    return Napi::String::New(info.Env(), select_kernels(limit.c_str()).isa);
  });
}

// threadCount() → threads that a pool has by default
Napi::Value thread_count(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), default_threads());
}

// notifyManager(address, text) → why it was not sent, or empty
Napi::Value notify_manager_js(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::String::New(info.Env(),
                             notify_manager(text_of(info[0], "address"), text_of(info[1], "text")));
  });
}

struct Rate {
  std::shared_ptr<Pool> pool;
  const KernelTable* kernels = nullptr;
  WeightFormat format = WeightFormat::f32;
  size_t bytes = 0;
  double per_s = 0;
};
Napi::Value rate_to_js(Napi::Env env, const Rate& rate) { return Napi::Number::New(env, rate.per_s); }

// measureArithmetic(pool, "f32" | "bf16" | "int8") → Promise<operations per second>
Napi::Value measure_arithmetic_js(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const PoolObject& pool = unwrap<PoolObject>(info[0], "a Pool to measure");
    return promise_of<Rate>(
        info, {pool.line()},
        [&](Rate& rate) {
          rate.pool = pool.pool();
          const std::string name = text_of(info[1], "format");
          constexpr const char* names[] = {"f32", "bf16", "int8"};
          constexpr WeightFormat formats[] = {WeightFormat::f32, WeightFormat::bf16, WeightFormat::i8};
          const auto* found = std::find(std::begin(names), std::end(names), name);
          if (found == std::end(names))
            throw BuildError("input_invalid", "format: expected f32, bf16 or int8, got " + name);
          rate.format = formats[found - names];
          rate.kernels = &select_kernels(said_outside("TENDON_ISA").c_str());
        },
        [](Rate& rate) { rate.per_s = measure_arithmetic(*rate.pool, *rate.kernels, rate.format); },
        rate_to_js);
  });
}

// measureReading(pool, bytes) → Promise<bytes per second>
Napi::Value measure_reading_js(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const PoolObject& pool = unwrap<PoolObject>(info[0], "a Pool to measure");
    return promise_of<Rate>(
        info, {pool.line()},
        [&](Rate& rate) {
          rate.pool = pool.pool();
          rate.bytes = static_cast<size_t>(integer_of(info[1], "bytes", 1, int64_t{1} << 32));
        },
        [](Rate& rate) { rate.per_s = measure_reading(*rate.pool, rate.bytes); }, rate_to_js);
  });
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* classes = new Classes();
  env.SetInstanceData(classes);
  const auto expose = [&](const char* name, Napi::Function constructor, Napi::FunctionReference& kept) {
    kept = Napi::Persistent(constructor);
    exports.Set(name, constructor);
  };
  expose("Graph", GraphObject::define(env), classes->graph);
  expose("Pool", PoolObject::define(env), classes->pool);
  expose("CancelToken", CancelObject::define(env), classes->cancel);
  expose("Model", ModelObject::define(env), classes->model);
  expose("Session", SessionObject::define(env), classes->session);
  expose("Planner", PlannerObject::define(env), classes->planner);
  expose("Search", SearchObject::define(env), classes->search);
  expose("TreePlanner", TreePlannerObject::define(env), classes->tree_planner);
  expose("Tree", TreeObject::define(env), classes->tree);
  expose("Executor", ExecutorObject::define(env), classes->executor);
  expose("Limiter", LimiterObject::define(env), classes->limiter);
  expose("Stalls", StallsObject::define(env), classes->stalls);
  exports.Set("compileModel", Napi::Function::New<compile_model>(env));
  exports.Set("interpolate", Napi::Function::New<interpolate_js>(env));
  exports.Set("philoxNormal", Napi::Function::New<philox<fill_normal>>(env));
  exports.Set("philoxUniform", Napi::Function::New<philox<fill_uniform>>(env));
  exports.Set("notifyManager", Napi::Function::New<notify_manager_js>(env));
  exports.Set("measureArithmetic", Napi::Function::New<measure_arithmetic_js>(env));
  exports.Set("measureReading", Napi::Function::New<measure_reading_js>(env));
  exports.Set("opNames", Napi::Function::New<op_names_of>(env));
  exports.Set("plannerFields", Napi::Function::New<planner_fields>(env));
  exports.Set("treeFields", Napi::Function::New<tree_fields>(env));
  exports.Set("samplerFields", Napi::Function::New<sampler_fields>(env));
  exports.Set("threadCount", Napi::Function::New<thread_count>(env));
  exports.Set("isa", Napi::Function::New<isa>(env));
  return exports;
}

}  // namespace

NODE_API_MODULE(tendon, init)

}  // namespace tendon::addon
