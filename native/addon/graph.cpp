// The graph under construction: every call adds one node and answers with its id and shape.
#include "addon/classes.h"
#include "addon/convert.h"

namespace tendon::addon {

Napi::Function GraphObject::define(Napi::Env env) {
  return DefineClass(
      env, "Graph",
      {InstanceMethod<&GraphObject::input>("input"), InstanceMethod<&GraphObject::weight>("weight"),
       InstanceMethod<&GraphObject::constant>("constant"), InstanceMethod<&GraphObject::add>("add"),
       InstanceMethod<&GraphObject::output>("output"), InstanceMethod<&GraphObject::print>("print")});
}

GraphObject::GraphObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<GraphObject>(info) {
  info.This().As<Napi::Object>().TypeTag(&tag);
}

Napi::Value GraphObject::describe(Napi::Env env, int node) const {
  Napi::Object value = Napi::Object::New(env);
  value.Set("id", node);
  value.Set("shape", to_js(env, graph_.at(node).shape));
  return value;
}

// input(name, shape, stage)
Napi::Value GraphObject::input(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const std::string stage = text_of(info[2], "stage");
    const Stage s = stage == "schedule"      ? stage_schedule
                    : stage == "observation" ? stage_observation
                    : stage == "step"        ? stage_step
                                             : stage_model;
    if (s == stage_model)
      throw BuildError("graph_invalid", "stage: expected schedule, observation or step, got " + stage);
    return describe(info.Env(), graph_.input(text_of(info[0], "name"), shape_of(info[1], "shape"), s));
  });
}

// weight(name, shape, dtype, path, offset)
Napi::Value GraphObject::weight(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const std::string dtype = text_of(info[2], "dtype"), path = text_of(info[3], "path");
    constexpr const char* names[] = {"F32", "F16", "BF16", "I8", "I64"};
    int type = -1;
    for (int i = 0; i < 5; ++i)
      if (dtype == names[i]) type = i;
    if (type < 0) throw BuildError("unsupported", "dtype: expected F32, F16, BF16, I8 or I64, got " + dtype);
    std::shared_ptr<WeightFile>& file = files_[path];
    if (!file) file = std::make_shared<WeightFile>(path.c_str());
    const auto offset = static_cast<size_t>(integer_of(info[4], "offset", 0, int64_t{1} << 50));
    return describe(info.Env(), graph_.weight(text_of(info[0], "name"), shape_of(info[1], "shape"),
                                              static_cast<DType>(type), file, offset));
  });
}

// constant(values, shape)
Napi::Value GraphObject::constant(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    return describe(info.Env(), graph_.constant(shape_of(info[1], "shape"), floats_of(info[0], "values")));
  });
}

// add(op, inputs, attributes)
Napi::Value GraphObject::add(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const std::string name = text_of(info[0], "op");
    const OpInfo* op = find_op(name);
    if (op == nullptr)
      throw BuildError("graph_invalid", "there is no op named " + name + "; opNames() lists them");
    if (!info[1].IsArray()) throw BuildError("graph_invalid", name + ": expected an array of value ids");
    const auto ids = info[1].As<Napi::Array>();
    std::vector<int> inputs;
    for (uint32_t i = 0; i < ids.Length(); ++i)
      inputs.push_back(static_cast<int>(integer_of(ids.Get(i), "value id", 0, 1 << 30)));
    Attrs attrs;
    Napi::Object given = info[2].IsObject() ? info[2].As<Napi::Object>() : Napi::Object::New(info.Env());
    for (const AttrInfo& attr : op->attrs) {
      const Napi::Value value = property(given, attr.name);
      if (value.IsUndefined()) {
        if (attr.required)
          throw BuildError("graph_invalid", name + ": the attribute " + attr.name + " is missing");
        attrs.values.push_back(attr.fallback);
      } else {
        attrs.values.push_back(attr.integer
                                   ? static_cast<double>(integer_of(value, attr.name, -(1 << 30), 1 << 30))
                                   : number_of(value, attr.name));
      }
    }
    if (op->list_attr != nullptr) {
      const Napi::Value value = property(given, op->list_attr);
      if (!value.IsArray())
        throw BuildError("graph_invalid", name + ": the list " + op->list_attr + " is missing");
      const auto list = value.As<Napi::Array>();
      if (list.Length() > max_rank) throw BuildError("graph_invalid", name + ": expected at most 5 dims");
      for (uint32_t i = 0; i < list.Length(); ++i)
        attrs.list.push_back(integer_of(list.Get(i), op->list_attr, -1, int64_t{1} << 36));
    }
    return describe(info.Env(), graph_.add(name, std::move(inputs), std::move(attrs)));
  });
}

// output(name, id)
void GraphObject::output(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    graph_.output(text_of(info[0], "name"), static_cast<int>(integer_of(info[1], "value id", 0, 1 << 30)));
  });
}

Napi::Value GraphObject::print(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), print_graph(graph_));
}

}  // namespace tendon::addon
