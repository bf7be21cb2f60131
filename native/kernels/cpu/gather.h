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

// Lines of a window are short: a call to the library would take longer than the copy.
void copy_line(float* to, const float* from, int64_t n) {
  constexpr int64_t step = 16;
  if (n < step) {
    for (int64_t i = 0; i < n; ++i) to[i] = from[i];
    return;
  }
  for (int64_t i = 0; i + step < n; i += step) __builtin_memcpy(to + i, from + i, step * sizeof(float));
  __builtin_memcpy(to + n - step, from + n - step, step * sizeof(float));
}

void clear_line(float* to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] = 0;
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
      clear_line(line, x.taps_w * x.c);
      continue;
    }
    clear_line(line, (from - left) * x.c);
    if (packed) {
      copy_line(line + (from - left) * x.c, base + (y * x.w + from) * x.c, (to - from) * x.c);
    } else {
      for (int64_t z = from; z < to; ++z)
        copy_line(line + (z - left) * x.c, base + (y * x.w + z) * x.position_stride, x.c);
    }
    clear_line(line + (to - left) * x.c, (left + x.taps_w - to) * x.c);
  }
  return held;
}

}  // namespace
}  // namespace tendon
