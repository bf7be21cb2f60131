#include "addon/calls.h"

#include "addon/convert.h"

namespace tendon::addon {

Napi::Value ports_to_js(Napi::Env env, const std::vector<Port>& ports) {
  Napi::Array array = Napi::Array::New(env, ports.size());
  for (size_t i = 0; i < ports.size(); ++i) {
    Napi::Object port = Napi::Object::New(env);
    port.Set("name", ports[i].name);
    port.Set("shape", to_js(env, ports[i].shape));
    port.Set("stage", stage_name(ports[i].stage));
    array.Set(static_cast<uint32_t>(i), port);
  }
  return array;
}

Named named_of(const Napi::Value& value, const char* what) {
  if (!value.IsObject())
    throw BuildError("input_invalid", std::string(what) + ": expected an object of Float32Arrays");
  const auto object = value.As<Napi::Object>();
  const Napi::Array names = object.GetPropertyNames();
  Named named;
  for (uint32_t i = 0; i < names.Length(); ++i) {
    const std::string name = names.Get(i).ToString();
    named[name] = floats_of(object.Get(name), name.c_str());
  }
  return named;
}

std::vector<Given> match(const Named& named, const std::vector<Port>& ports, Stage stages) {
  std::vector<Given> given;
  for (size_t i = 0; i < ports.size(); ++i) {
    if ((ports[i].stage & stages) == 0) continue;
    const auto it = named.find(ports[i].name);
    if (it == named.end())
      throw BuildError("input_invalid",
                       "input " + ports[i].name + " is missing; its shape is " + ports[i].shape.text());
    if (static_cast<int64_t>(it->second.size()) != ports[i].shape.count())
      throw BuildError("input_invalid",
                       format("input %s: expected %lld values for %s, got %zu", ports[i].name.c_str(),
                              static_cast<long long>(ports[i].shape.count()), ports[i].shape.text().c_str(),
                              it->second.size()));
    given.push_back({static_cast<int>(i), it->second.data()});
  }
  if (given.size() != named.size())
    throw BuildError("input_invalid", "an input was given that the network does not have");
  return given;
}

void require(Status status) {
  if (status == Status::bad_argument) throw BuildError("input_invalid", status_text(status));
  if (status == Status::not_ready)
    throw BuildError("input_invalid", "no sampler table has been set; call setTable first");
}

Napi::Value profile_to_js(Napi::Env env, const std::vector<InstructionReport>& reports) {
  Napi::Array array = Napi::Array::New(env, reports.size());
  for (size_t i = 0; i < reports.size(); ++i) {
    Napi::Object report = Napi::Object::New(env);
    report.Set("stage", reports[i].stage);
    report.Set("label", reports[i].label);
    report.Set("flops", reports[i].flops);
    report.Set("weight_bytes", reports[i].weight_bytes);
    report.Set("ns", reports[i].ns);
    array.Set(static_cast<uint32_t>(i), report);
  }
  return array;
}

const char* status_name(Status status) {
  return status == Status::ok ? "ok" : status == Status::cancelled ? "cancelled" : "not_finite";
}

}  // namespace tendon::addon
