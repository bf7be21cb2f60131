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

// The int8 form of a row of weights or activations: x ≈ q·scale, |q| ≤ 127. A row of zeros, or of numbers too
// small to divide by, is stored as zeros.
struct Quantised {
  float scale, inverse;
  explicit Quantised(float largest) : scale(largest / 127.0f) {
    inverse = scale >= 1.17549435e-38f && scale <= 3.4e38f ? 1.0f / scale : 0.0f;
  }
};

}  // namespace
}  // namespace tendon
