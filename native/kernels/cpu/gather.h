// Rows of A as contiguous floats (kernels.h, Rows): in place where memory already has them so, else copied
// with zeros where the window leaves the input.
#pragma once

#include "kernels/cpu/share.h"

namespace tendon {
namespace {

// Floats between all consecutive rows of A, where they are a plain matrix in memory; 0 where they are not.
int64_t direct_stride(const Rows& x) {
  if (!x.is_plain()) return 0;
  if (x.per_batch() == 1) return x.batch == 1 ? x.c : x.batch_stride;
  if (x.batch == 1 || x.batch_stride == x.per_batch() * x.position_stride) return x.position_stride;
  return 0;
}

const float* plain_row(const Rows& x, int64_t row) {
  return x.x + row / x.per_batch() * x.batch_stride + row % x.per_batch() * x.position_stride;
}

// `held` has room for one row.
const float* view_row(const Rows& x, int64_t row, float* held) {
  if (x.is_plain()) return plain_row(x, row);
  const int64_t r = row % x.per_batch();
  const int64_t top = r / x.out_w * x.stride_h - x.pad_h, left = r % x.out_w * x.stride_w - x.pad_w;
  const float* base = x.x + row / x.per_batch() * x.batch_stride;
  const bool packed = x.position_stride == x.c;
  if (packed && x.taps_h == 1 && top >= 0 && top < x.h && left >= 0 && left + x.taps_w <= x.w)
    return base + (top * x.w + left) * x.c;
  const int64_t from = greater(left, 0), to = lesser(left + x.taps_w, x.w);
  for (int64_t i = 0; i < x.taps_h; ++i) {
    float* line = held + i * x.taps_w * x.c;
    const int64_t y = top + i;
    if (y < 0 || y >= x.h || from >= to) {
      __builtin_memset(line, 0, static_cast<size_t>(x.taps_w * x.c) * sizeof(float));
      continue;
    }
    const auto bytes = [&](int64_t taps) { return static_cast<size_t>(taps * x.c) * sizeof(float); };
    __builtin_memset(line, 0, bytes(from - left));
    if (packed) {
      __builtin_memcpy(line + (from - left) * x.c, base + (y * x.w + from) * x.c, bytes(to - from));
    } else {
      for (int64_t z = from; z < to; ++z)
        __builtin_memcpy(line + (z - left) * x.c, base + (y * x.w + z) * x.position_stride, bytes(1));
    }
    __builtin_memset(line + (to - left) * x.c, 0, bytes(left + x.taps_w - to));
  }
  return held;
}

}  // namespace
}  // namespace tendon
