#include "addon/calls.h"

#include <cstring>
#include <utility>

#include "addon/classes.h"
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

namespace {

Frames frames_of(const Napi::Object& object, const char* what) {
  FrameOptions o;
  const auto whole = [&](const Napi::Value& value, int64_t low) {
    return integer_of(value, what, low, 1 << 14);
  };
  o.height = whole(property(object, "height"), 1);
  o.width = whole(property(object, "width"), 1);
  o.channels = integer_of(property(object, "channels"), what, 1, 4);
  const auto whole_list = [&](const char* name, std::initializer_list<int64_t*> to) {
    const Napi::Value value = property(object, name);
    if (value.IsUndefined()) return;
    if (!value.IsArray() || value.As<Napi::Array>().Length() != to.size())
      throw BuildError("input_invalid", format("%s.%s: expected %zu whole numbers", what, name, to.size()));
    uint32_t i = 0;
    for (int64_t* number : to) *number = whole(value.As<Napi::Array>().Get(i++), 0);
  };
  whole_list("resize", {&o.resized_height, &o.resized_width});
  whole_list("crop", {&o.top, &o.left, &o.rows, &o.columns});
  const Napi::Value data = property(object, "data");
  if (!data.IsArray())
    throw BuildError("input_invalid", format("%s.data: expected a list of Uint8Array", what));
  const auto rows = data.As<Napi::Array>();
  o.count = rows.Length();
  const size_t size = static_cast<size_t>(o.height * o.width * o.channels);
  if (o.count < 1 || o.count > 64)
    throw BuildError("input_invalid", format("%s: expected 1 to 64 frames", what));
  // Memory is taken as frames turn out to be there, whatever size is claimed for them.
  std::vector<uint8_t> pixels;
  for (uint32_t i = 0; i < rows.Length(); ++i) {
    const Napi::Value row = rows.Get(i);
    if (!row.IsTypedArray() || row.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array ||
        row.As<Napi::TypedArray>().ElementLength() != size)
      throw BuildError("input_invalid", format("%s: expected a Uint8Array of %zu bytes", what, size));
    if (i == 0) pixels.reserve(static_cast<size_t>(o.count) * size);
    const uint8_t* bytes = row.As<Napi::Uint8Array>().Data();
    pixels.insert(pixels.end(), bytes, bytes + size);
  }
  return Frames(o, std::move(pixels), floats_of(property(object, "values"), what));
}

}  // namespace

Inputs inputs_of(const Napi::Value& value, const char* what) {
  if (!value.IsObject())
    throw BuildError("input_invalid", std::string(what) + ": expected an object of inputs");
  const auto object = value.As<Napi::Object>();
  const Napi::Array names = object.GetPropertyNames();
  Inputs inputs;
  for (uint32_t i = 0; i < names.Length(); ++i) {
    const std::string name = names.Get(i).ToString();
    const Napi::Value given = object.Get(name);
    if (given.IsObject() && !given.IsTypedArray()) {
      inputs.frames.emplace(name, frames_of(given.As<Napi::Object>(), name.c_str()));
    } else {
      inputs.numbers[name] = floats_of(given, name.c_str());
    }
  }
  return inputs;
}

std::vector<Given> match(Inputs& inputs, const std::vector<Port>& ports, Stage stages) {
  std::vector<Given> given;
  const Named& named = inputs.numbers;
  for (size_t i = 0; i < ports.size(); ++i) {
    if ((ports[i].stage & stages) == 0) continue;
    if (const auto frames = inputs.frames.find(ports[i].name); frames != inputs.frames.end()) {
      if (!(frames->second.shape() == ports[i].shape))
        throw BuildError("input_invalid", "input " + ports[i].name + ": expected frames of " +
                                              ports[i].shape.text() + ", got " +
                                              frames->second.shape().text());
      given.push_back({static_cast<int>(i), nullptr, &frames->second});
      continue;
    }
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
  if (given.size() != named.size() + inputs.frames.size())
    throw BuildError("input_invalid", "an input was given that the network does not have");
  return given;
}

void require(Status status) {
  if (status == Status::bad_argument) throw BuildError("input_invalid", status_text(status));
  if (status == Status::not_ready)
    throw BuildError("input_invalid", "no sampler table has been set; call setTable first");
  if (status == Status::device_failed) throw BuildError("policy_failed", status_text(status));
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

const float* numbers_of(const Napi::Object& given, const char* name, std::vector<float>& into, int64_t count,
                        const char* within) {
  const Napi::Value value = property(given, name);
  if (value.IsUndefined()) return nullptr;
  const std::string called = std::string(within) + name;
  into = floats_of(value, called.c_str());
  if (static_cast<int64_t>(into.size()) != count)
    throw BuildError("input_invalid", format("%s: expected %lld numbers, got %zu", called.c_str(),
                                             static_cast<long long>(count), into.size()));
  return into.data();
}

uint64_t seed_of(const Napi::Value& value) {
  return static_cast<uint64_t>(integer_of(value, "seed", 0, int64_t{1} << 53));
}

Cancel cancel_of(const Napi::Object& given) {
  const Napi::Value cancel = property(given, "cancel");
  return cancel.IsUndefined() ? nullptr : unwrap<CancelObject>(cancel, "a CancelToken as `cancel`").flag();
}

void set_plan(Napi::Env env, Napi::Object& out, const std::vector<float>& actions, Status status,
              int64_t worst_count) {
  out.Set("actions", to_js(env, actions));
  out.Set("status", status_name(status));
  out.Set("worst_count", static_cast<double>(worst_count));
}

const char* status_name(Status status) {
  return status == Status::ok ? "ok" : status == Status::cancelled ? "cancelled" : "not_finite";
}

}  // namespace tendon::addon
