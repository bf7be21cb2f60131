#include "addon/drive_args.h"

#include <string>

#include "addon/convert.h"

namespace tendon::addon {

Limits limits_of(const Napi::Value& value) {
  if (!value.IsObject()) throw BuildError("config_invalid", "limits: expected lower, upper and velocity");
  const auto given = value.As<Napi::Object>();
  const auto each = [&](const char* name, bool optional) {
    std::vector<double> out;
    const Napi::Value list = property(given, name);
    if (optional && list.IsUndefined()) return out;
    if (!list.IsArray())
      throw BuildError("input_invalid", format("limits.%s: expected a list of numbers", name));
    const auto array = list.As<Napi::Array>();
    for (uint32_t i = 0; i < array.Length(); ++i) out.push_back(number_of(array.Get(i), name));
    return out;
  };
  return {each("lower", false), each("upper", false), each("velocity", false), each("acceleration", true),
          each("jerk", true)};
}

Interpolation interpolation_of(const Napi::Value& value) {
  constexpr const char* names[] = {"hold", "linear", "cubic", "quintic"};
  const std::string how = text_of(value, "interpolation");
  for (int i = 0; i < 4; ++i)
    if (how == names[i]) return static_cast<Interpolation>(i);
  throw BuildError("config_invalid", "interpolation: expected hold, linear, cubic or quintic, got " + how);
}

namespace {

template <class Array>
Array typed(const Napi::Value& value, napi_typedarray_type type, const char* what, const char* kind) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type)
    throw BuildError("input_invalid", format("%s: expected a %s", what, kind));
  return value.As<Array>();
}

}  // namespace

Napi::Float64Array doubles_in(const Napi::Value& value, const char* what) {
  return typed<Napi::Float64Array>(value, napi_float64_array, what, "Float64Array");
}

Napi::Float32Array floats_in(const Napi::Value& value, const char* what) {
  return typed<Napi::Float32Array>(value, napi_float32_array, what, "Float32Array");
}

}  // namespace tendon::addon
