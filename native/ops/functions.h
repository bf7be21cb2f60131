// The functions of one and two arguments and the reductions: their names, listed once, and what they compute,
// as torch defines them, in f32. NaN passes through all of them.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "base/device.h"

// Those up to `last_fusible` may be fused behind a matrix product.
// gelu is the erf form, gelu_tanh the tanh form; symexp is sign(x)(e^|x| − 1) (TD-MPC2).
#define TENDON_UNARY(X) \
  X(relu)               \
  X(gelu)               \
  X(gelu_tanh)          \
  X(silu)               \
  X(mish)               \
  X(tanh)               \
  X(sigmoid)            \
  X(elu)                \
  X(softplus)           \
  X(exp)                \
  X(log)                \
  X(sin)                \
  X(cos)                \
  X(sqrt)               \
  X(rsqrt)              \
  X(abs)                \
  X(neg)                \
  X(square)             \
  X(reciprocal)         \
  X(erf)                \
  X(symexp)

// The enumerator, and the name that graphs use.
#define TENDON_BINARY(X) \
  X(add, "add") X(sub, "sub") X(mul, "mul") X(div, "div") X(min, "minimum") X(max, "maximum")

#define TENDON_REDUCE(X) X(sum) X(mean) X(max) X(min) X(variance)

namespace tendon {

#define X(name) name,
enum class Unary : uint8_t { none, TENDON_UNARY(X) count, last_fusible = softplus };
enum class Reduce : uint8_t { TENDON_REDUCE(X) count };
#undef X
#define X(name, text) name,
enum class Binary : uint8_t { TENDON_BINARY(X) count };
#undef X

const char* unary_name(Unary f);
const char* binary_name(Binary f);
const char* reduce_name(Reduce f);
Unary find_unary(const std::string& name);    // Unary::none when unknown
Binary find_binary(const std::string& name);  // Binary::count when unknown
Reduce find_reduce(const std::string& name);  // Reduce::count when unknown
std::vector<const char*> function_names();

namespace reference {

TENDON_HD inline float softplus(float x) { return x > 20.0f ? x : std::log1p(std::exp(x)); }
TENDON_HD inline float sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

TENDON_HD inline float apply(Unary f, float x) {
  switch (f) {
    case Unary::none:
    case Unary::count:
      return x;
    case Unary::relu:
      return x < 0 ? 0.0f : x;
    case Unary::gelu:
      return 0.5f * x * (1.0f + std::erf(x * 0.70710678f));
    case Unary::gelu_tanh:
      return 0.5f * x * (1.0f + std::tanh(0.79788456f * (x + 0.044715f * x * x * x)));
    case Unary::silu:
      return x * sigmoid(x);
    case Unary::mish:
      return x * std::tanh(softplus(x));
    case Unary::tanh:
      return std::tanh(x);
    case Unary::sigmoid:
      return sigmoid(x);
    case Unary::elu:
      return x > 0 ? x : std::expm1(x);
    case Unary::softplus:
      return softplus(x);
    case Unary::exp:
      return std::exp(x);
    case Unary::log:
      return std::log(x);
    case Unary::sin:
      return std::sin(x);
    case Unary::cos:
      return std::cos(x);
    case Unary::sqrt:
      return std::sqrt(x);
    case Unary::rsqrt:
      return 1.0f / std::sqrt(x);
    case Unary::abs:
      return std::fabs(x);
    case Unary::neg:
      return -x;
    case Unary::square:
      return x * x;
    case Unary::reciprocal:
      return 1.0f / x;
    case Unary::erf:
      return std::erf(x);
    case Unary::symexp:
      return std::copysign(std::expm1(std::fabs(x)), x);
  }
  return x;
}

TENDON_HD inline float apply(Binary f, float a, float b) {
  switch (f) {
    case Binary::add:
      return a + b;
    case Binary::sub:
      return a - b;
    case Binary::mul:
      return a * b;
    case Binary::div:
      return a / b;
    case Binary::min:
      return a < b || std::isnan(a) ? a : b;
    case Binary::max:
      return a > b || std::isnan(a) ? a : b;
    case Binary::count:
      break;
  }
  return a;
}

}  // namespace reference

}  // namespace tendon
