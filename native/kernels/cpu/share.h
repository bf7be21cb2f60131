// Helpers of the fast kernels with internal linkage, so that no function compiled for one instruction set can
// be merged by the linker with its namesake from another.
#pragma once

#include <cstdint>

#include "kernels/kernels.h"

namespace tendon {
namespace {

struct Range {
  int64_t begin, end;
};

// The same split as Part::range.
Range share(int64_t n, int64_t grain, Part part) {
  const int64_t units = (n + grain - 1) / grain;
  const int64_t begin = units * part.index / part.count * grain;
  const int64_t end = units * (part.index + 1) / part.count * grain;
  return {begin < n ? begin : n, end < n ? end : n};
}

constexpr int64_t ceil_div(int64_t n, int64_t by) { return (n + by - 1) / by; }
constexpr int64_t round_up(int64_t n, int64_t to) { return ceil_div(n, to) * to; }
constexpr int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t greater(int64_t a, int64_t b) { return a > b ? a : b; }

// Round to nearest even; NaN stays NaN.
uint16_t to_bf16(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  if (x != x) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// The int8 form of a row of weights or activations: x ≈ q·scale, |q| ≤ 127. A row of zeros, or of numbers too
// small to divide by, is stored as zeros.
struct Quantised {
  float scale = 0, inverse = 0;
  Quantised() = default;
  explicit Quantised(float largest) : scale(largest / 127.0f) {
    inverse = scale >= 1.17549435e-38f && scale <= 3.4e38f ? 1.0f / scale : 0.0f;
  }
  int8_t operator()(float x) const {
    const float q = __builtin_nearbyintf(x * inverse);
    // Written so that NaN becomes 0: a cast to int8 must never meet it.
    return static_cast<int8_t>(q >= -127 ? (q < 127 ? q : 127) : (q < -127 ? -127 : 0));
  }
};

// NaN has no size. In lanes, which compilers make vectors of.
float largest_size(const float* x, int64_t n) {
  constexpr int64_t lanes = 16;
  const auto larger = [](float value, float most) {
    const float size = __builtin_fabsf(value);
    return size > most ? size : most;
  };
  float most[lanes] = {};
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (int64_t l = 0; l < lanes; ++l) most[l] = larger(x[i + l], most[l]);
  for (; i < n; ++i) most[0] = larger(x[i], most[0]);
  for (int64_t l = 1; l < lanes; ++l) most[0] = larger(most[l], most[0]);
  return most[0];
}

}  // namespace
}  // namespace tendon
