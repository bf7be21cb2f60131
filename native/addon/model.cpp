// Pools, cancel tokens and models: what exists before a session does.
#include <optional>

#include "addon/classes.h"
#include "addon/convert.h"
#include "addon/work.h"
#include "base/cores.h"

namespace tendon::addon {

namespace {

constexpr const char* precision_names[] = {"f32", "bf16", "int8", "auto"};

Precision precision_of(const Napi::Value& value) {
  if (value.IsUndefined()) return Precision::f32;
  const std::string name = text_of(value, "precision");
  for (int i = 0; i < 4; ++i)
    if (name == precision_names[i]) return static_cast<Precision>(i);
  throw BuildError("config_invalid", "precision: expected f32, bf16, int8 or auto, got " + name);
}

}  // namespace

Napi::Function PoolObject::define(Napi::Env env) {
  return DefineClass(
      env, "Pool",
      {InstanceAccessor<&PoolObject::size>("size"), InstanceAccessor<&PoolObject::cores>("cores"),
       InstanceAccessor<&PoolObject::refused>("refused")});
}

namespace {
// The cores to bind `threads` members to: those that are named, or else the first this process may use.
std::optional<std::vector<int>> cores_of(const Napi::Value& pin, int threads) {
  if (!pin.IsArray()) {
    if (!pin.IsBoolean()) throw BuildError("input_invalid", "pin: expected true or an array of cores");
    if (!pin.ToBoolean()) return std::nullopt;
    std::vector<int> cores = allowed_cores();
    if (threads > static_cast<int>(cores.size()))
      throw BuildError("config_invalid", format("pin: expected at most %zu threads, one for each core that "
                                                "this process may use, got %d",
                                                cores.size(), threads));
    if (threads > 0) cores.resize(static_cast<size_t>(threads));
    return cores;
  }
  const auto array = pin.As<Napi::Array>();
  std::vector<int> cores;
  for (uint32_t i = 0; i < array.Length(); ++i)
    cores.push_back(static_cast<int>(integer_of(array.Get(i), "pin", 0, 1023)));
  if (threads > 0 && threads != static_cast<int>(cores.size()))
    throw BuildError("config_invalid",
                     format("pin: expected a core for each of %d threads, got %zu", threads, cores.size()));
  return cores;
}

// {nice: −20 … 19} or {round_robin: 1 … 99}
Priority priority_of(const Napi::Value& value) {
  if (!value.IsObject())
    throw BuildError("input_invalid", "priority: expected {nice: -20 to 19} or {round_robin: 1 to 99}");
  const auto given = value.As<Napi::Object>();
  const Napi::Value nice = property(given, "nice"), round_robin = property(given, "round_robin");
  if (nice.IsUndefined() == round_robin.IsUndefined())
    throw BuildError("input_invalid", "priority: expected one of nice and round_robin");
  if (nice.IsUndefined())
    return {Priority::Kind::round_robin,
            static_cast<int>(integer_of(round_robin, "priority.round_robin", 1, 99))};
  return {Priority::Kind::nice, static_cast<int>(integer_of(nice, "priority.nice", -20, 19))};
}
}  // namespace

// new Pool({threads, pin, priority})
PoolObject::PoolObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<PoolObject>(info) {
  guarded(info.Env(), [&] {
    int threads = 0;
    std::optional<std::vector<int>> cores;
    if (info[0].IsObject()) {
      const auto options = info[0].As<Napi::Object>();
      if (const Napi::Value given = property(options, "threads"); !given.IsUndefined())
        threads = static_cast<int>(integer_of(given, "threads", 0, 256));
      if (const Napi::Value pin = property(options, "pin"); !pin.IsUndefined())
        cores = cores_of(pin, threads);
    }
    Priority priority;
    if (info[0].IsObject())
      if (const Napi::Value given = property(info[0].As<Napi::Object>(), "priority"); !given.IsUndefined())
        priority = priority_of(given);
    pool_ = cores ? std::make_shared<Pool>(*cores, priority) : std::make_shared<Pool>(threads, priority);
    line_->pool = pool_;
    info.This().As<Napi::Object>().TypeTag(&tag);
  });
}

Napi::Value PoolObject::size(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), pool_->size());
}

Napi::Value PoolObject::cores(const Napi::CallbackInfo& info) {
  Napi::Array array = Napi::Array::New(info.Env());
  for (const int core : pool_->cores()) array.Set(array.Length(), Napi::Number::New(info.Env(), core));
  return array;
}

Napi::Value PoolObject::refused(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), pool_->refused());
}

Napi::Function CancelObject::define(Napi::Env env) {
  return DefineClass(env, "CancelToken",
                     {InstanceMethod<&CancelObject::cancel>("cancel"),
                      InstanceAccessor<&CancelObject::cancelled>("cancelled")});
}

CancelObject::CancelObject(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<CancelObject>(info), flag_(std::make_shared<std::atomic<bool>>(false)) {
  info.This().As<Napi::Object>().TypeTag(&tag);
}

Napi::Function ModelObject::define(Napi::Env env) {
  return DefineClass(env, "Model",
                     {InstanceMethod<&ModelObject::report>("report"),
                      InstanceMethod<&ModelObject::open_session>("openSession"),
                      InstanceMethod<&ModelObject::open_planner>("openPlanner"),
                      InstanceMethod<&ModelObject::open_tree>("openTree")});
}

Napi::Value ModelObject::open_planner(const Napi::CallbackInfo& info) {
  return addon::open_planner(info, *shared_);
}

Napi::Value ModelObject::open_tree(const Napi::CallbackInfo& info) {
  return addon::open_tree(info, *shared_);
}

ModelObject::ModelObject(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<ModelObject>(info),
      shared_(Handle<SharedModel>::take(info, "a Model is made by compileModel()")) {}

Napi::Value ModelObject::report(const Napi::CallbackInfo& info) {
  const ModelReport& r = shared_->model->report();
  Napi::Object out = Napi::Object::New(info.Env());
  out.Set("isa", r.isa);
  out.Set("precision", precision_names[static_cast<int>(r.precision)]);
  out.Set("precision_error", r.precision_error);
  out.Set("parameters", static_cast<double>(r.parameters));
  out.Set("packed_bytes", static_cast<double>(r.packed_bytes));
  return out;
}

// openSession({batch?, outputs?}) → Promise<Session>
Napi::Value ModelObject::open_session(const Napi::CallbackInfo& info) {
  struct Job {
    std::shared_ptr<SharedModel> model;
    SessionOptions options;
    std::shared_ptr<SharedSession> made;
  };
  return promise_of<Job>(
      info, {},
      [&](Job& job) {
        job.model = shared_;
        const auto given = info[0].IsObject() ? info[0].As<Napi::Object>() : Napi::Object::New(info.Env());
        if (const Napi::Value batch = property(given, "batch"); !batch.IsUndefined())
          job.options.batch = static_cast<int>(integer_of(batch, "batch", 1, 1 << 16));
        if (const Napi::Value names = property(given, "outputs"); !names.IsUndefined()) {
          if (!names.IsArray()) throw BuildError("input_invalid", "outputs: expected an array of names");
          const auto array = names.As<Napi::Array>();
          for (uint32_t i = 0; i < array.Length(); ++i)
            job.options.outputs.push_back(text_of(array.Get(i), "outputs"));
        }
      },
      [](Job& job) {
        job.made = std::make_shared<SharedSession>(*job.model);
        job.made->session = Session::open(job.model->model, job.options);
        job.made->inputs = job.made->session->inputs();
        job.made->outputs = job.made->session->outputs();
        job.made->note();
      },
      [](Napi::Env env, Job& job) {
        return Handle<SharedSession>::make(Classes::of(env).session, std::move(job.made));
      });
}

// compileModel(graph, {precision, isa, device, pool}) → Promise<Model>
Napi::Value compile_model(const Napi::CallbackInfo& info) {
  struct Job {
    Graph graph;
    ModelOptions options;
    std::shared_ptr<SharedModel> made = std::make_shared<SharedModel>();
  };
  return promise_of<Job>(
      info, {},
      [&](Job& job) {
        job.graph = unwrap<GraphObject>(info[0], "a Graph to compile").graph();
        job.made->pool = std::make_shared<Line>();
        const Napi::Object given =
            info[1].IsObject() ? info[1].As<Napi::Object>() : Napi::Object::New(info.Env());
        job.options.precision = precision_of(property(given, "precision"));
        if (const Napi::Value isa = property(given, "isa"); !isa.IsUndefined())
          job.options.isa = text_of(isa, "isa");
        if (const Napi::Value device = property(given, "device"); !device.IsUndefined())
          job.options.device = text_of(device, "device");
        // An instruction set that is asked for is the CPU's.
        if (job.options.device.empty() && job.options.isa.empty())
          job.options.device = said_outside("TENDON_DEVICE");
        if (job.options.isa.empty()) job.options.isa = said_outside("TENDON_ISA");
        if (const Napi::Value pool = property(given, "pool"); !pool.IsUndefined()) {
          const PoolObject& object = unwrap<PoolObject>(pool, "a Pool as `pool`");
          job.options.pool = object.pool();
          job.made->pool = object.line();
        }
      },
      [](Job& job) {
        job.made->model = Model::make(std::move(job.graph), job.options);
        if (job.made->model->on_device()) job.made->pool = nullptr;
      },
      [](Napi::Env env, Job& job) {
        return Handle<SharedModel>::make(Classes::of(env).model, std::move(job.made));
      });
}

}  // namespace tendon::addon
