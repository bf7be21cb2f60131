#include "addon/convert.h"

#include <cmath>
#include <cstdlib>
#include <cstring>

namespace tendon::addon {

void throw_js(Napi::Env env, const char* code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  throw error;
}

namespace {
[[noreturn]] void wrong(Napi::Env env, const char* what, const char* expected) {
  throw_js(env, "input_invalid", std::string(what) + ": expected " + expected);
}
}  // namespace

std::string text_of(const Napi::Value& value, const char* what) {
  if (!value.IsString()) wrong(value.Env(), what, "a string");
  return value.As<Napi::String>().Utf8Value();
}

double number_of(const Napi::Value& value, const char* what) {
  if (!value.IsNumber()) wrong(value.Env(), what, "a number");
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!std::isfinite(number)) wrong(value.Env(), what, "a finite number");
  return number;
}

int64_t integer_of(const Napi::Value& value, const char* what, int64_t low, int64_t high) {
  const double number = number_of(value, what);
  if (number != std::floor(number) || number < static_cast<double>(low) || number > static_cast<double>(high))
    throw_js(value.Env(), "input_invalid",
             format("%s: expected a whole number from %lld to %lld, got %g", what,
                    static_cast<long long>(low), static_cast<long long>(high), number));
  return static_cast<int64_t>(number);
}

uint64_t word_of(const Napi::Value& value, const char* what) {
  if (!value.IsBigInt()) return static_cast<uint64_t>(integer_of(value, what, 0, int64_t{1} << 53));
  bool lossless = false;
  const uint64_t word = value.As<Napi::BigInt>().Uint64Value(&lossless);
  if (!lossless)
    throw BuildError("input_invalid", std::string(what) + ": expected a bigint from 0 to 2^64-1");
  return word;
}

Shape shape_of(const Napi::Value& value, const char* what) {
  if (!value.IsArray()) wrong(value.Env(), what, "an array of dims");
  const auto array = value.As<Napi::Array>();
  if (array.Length() < 1 || array.Length() > max_rank) wrong(value.Env(), what, "1 to 5 dims");
  Shape shape;
  for (uint32_t i = 0; i < array.Length(); ++i)
    shape[shape.rank++] = integer_of(array.Get(i), what, 1, int64_t{1} << 36);
  return shape;
}

std::vector<float> floats_of(const Napi::Value& value, const char* what) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_float32_array)
    wrong(value.Env(), what, "a Float32Array");
  const auto array = value.As<Napi::Float32Array>();
  std::vector<float> values(array.ElementLength());
  if (!values.empty()) std::memcpy(values.data(), array.Data(), values.size() * sizeof(float));
  return values;
}

Napi::Value property(const Napi::Object& object, const char* name) { return object.Get(name); }

std::string said_outside(const char* variable) {
  const char* said = std::getenv(variable);
  return said == nullptr ? "" : said;
}

Napi::Array to_js(Napi::Env env, const Shape& shape) {
  Napi::Array array = Napi::Array::New(env, static_cast<size_t>(shape.rank));
  for (int i = 0; i < shape.rank; ++i)
    array.Set(static_cast<uint32_t>(i), Napi::Number::New(env, static_cast<double>(shape[i])));
  return array;
}

Napi::Float32Array to_js(Napi::Env env, const std::vector<float>& values) {
  Napi::Float32Array array = Napi::Float32Array::New(env, values.size());
  if (!values.empty()) std::memcpy(array.Data(), values.data(), values.size() * sizeof(float));
  return array;
}

}  // namespace tendon::addon
