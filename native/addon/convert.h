// From JavaScript to the core and back, with every argument checked: nothing a caller passes may crash the
// process. Failures are thrown as JS errors whose `code` is one of src/types/errors.ts.
#pragma once

#include <napi.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "base/shape.h"

namespace tendon::addon {

[[noreturn]] void throw_js(Napi::Env env, const char* code, const std::string& message);

// Runs `body`, turning a BuildError into a JS error.
template <class Body>
auto guarded(Napi::Env env, Body body) {
  try {
    return body();
  } catch (const BuildError& e) {
    throw_js(env, e.code(), e.what());
  } catch (const std::bad_alloc&) {
    throw_js(env, "out_of_resources", "this process cannot have the memory that this needs");
  }
}

std::string text_of(const Napi::Value& value, const char* what);
double number_of(const Napi::Value& value, const char* what);
int64_t integer_of(const Napi::Value& value, const char* what, int64_t low, int64_t high);
// A whole number up to 2^53, or a bigint up to 2^64 − 1.
uint64_t word_of(const Napi::Value& value, const char* what);
Shape shape_of(const Napi::Value& value, const char* what);
std::vector<float> floats_of(const Napi::Value& value, const char* what);
Napi::Value property(const Napi::Object& object, const char* name);

// What the environment says where a caller says nothing; empty: nothing either. The core reads none of it.
std::string said_outside(const char* variable);

Napi::Array to_js(Napi::Env env, const Shape& shape);
Napi::Float32Array to_js(Napi::Env env, const std::vector<float>& values);

}  // namespace tendon::addon
