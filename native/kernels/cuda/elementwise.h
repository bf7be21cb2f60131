// Elementwise functions, strided copies, look-up and the plain loops over one output number each. A thread
// computes one number, as kernels/reference does, from which the functions come.
#pragma once

#include <cmath>

#include "kernels/cuda/lane.h"
#include "kernels/kernels.h"
#include "kernels/reference/functions.h"

namespace tendon::cuda {

constexpr int alone_threads = 256;

TENDON_DEVICE int64_t number_of(const Lane& t) { return t.block_x() * alone_threads + t.thread(); }

struct UnaryKernel {
  using Args = UnaryArgs;
  TENDON_DEVICE static void run(const Lane& t, const UnaryArgs& a) {
    const int64_t i = number_of(t);
    if (i < a.count) a.out[i] = reference::apply(a.op, a.x[i]);
  }
};

struct AffineKernel {
  using Args = AffineArgs;
  TENDON_DEVICE static void run(const Lane& t, const AffineArgs& a) {
    const int64_t i = number_of(t);
    if (i < a.count) a.out[i] = a.x[i] * a.mul + a.add;
  }
};

// Where number i of dense dims stands. 32 bits: division of 64 is what a GPU is worst at, and no
// tensor here has so many numbers (runtime/device_program.h checks).
struct Index4 {
  uint32_t at[4];
};
TENDON_DEVICE Index4 index_of(const int64_t (&dims)[4], uint32_t i) {
  Index4 index;
  for (int d = 3; d > 0; --d) {
    const auto n = static_cast<uint32_t>(dims[d]);
    index.at[d] = i % n;
    i /= n;
  }
  index.at[0] = i;
  return index;
}
TENDON_DEVICE float read(const Operand& a, const Index4& i) {
  return a.x[i.at[0] / static_cast<uint32_t>(a.div) * a.stride[0] + i.at[1] * a.stride[1] +
             i.at[2] * a.stride[2] + i.at[3] * a.stride[3]];
}

struct BinaryKernel {
  using Args = BinaryArgs;
  TENDON_DEVICE static void run(const Lane& t, const BinaryArgs& a) {
    const int64_t i = number_of(t);
    if (i >= a.dims[0] * a.dims[1] * a.dims[2] * a.dims[3]) return;
    const Index4 index = index_of(a.dims, static_cast<uint32_t>(i));
    a.out[i] = reference::apply(a.op, read(a.a, index), read(a.b, index));
  }
};

struct CopyKernel {
  using Args = CopyArgs;
  TENDON_DEVICE static void run(const Lane& t, const CopyArgs& a) {
    const int64_t i = number_of(t);
    if (i >= a.dims[0] * a.dims[1] * a.dims[2] * a.dims[3]) return;
    const Index4 index = index_of(a.dims, static_cast<uint32_t>(i));
    int64_t to = 0;
    for (int d = 0; d < 4; ++d) to += index.at[d] * a.out_stride[d];
    a.out[to] = read(a.a, index);
  }
};

struct GatherKernel {
  using Args = GatherArgs;
  TENDON_DEVICE static void run(const Lane& t, const GatherArgs& a) {
    const int64_t i = number_of(t);
    if (i >= a.rows * a.n) return;
    const int64_t row = i / a.n;
    const float last = static_cast<float>(a.table_rows - 1);
    // NaN and everything below zero read the first row; a large table's last row may round up in f32.
    const float index = a.index[row] > 0 ? std::fmin(std::nearbyint(a.index[row]), last) : 0.0f;
    const int64_t asked = static_cast<int64_t>(index);
    const int64_t at = asked < a.table_rows ? asked : a.table_rows - 1;
    a.out[i] = a.table[at * a.n + i % a.n];
  }
};

struct MaxPoolKernel {
  using Args = MaxPoolArgs;
  TENDON_DEVICE static void run(const Lane& t, const MaxPoolArgs& a) {
    const Rows& r = a.rows;
    const int64_t i = number_of(t);
    if (i >= r.count() * r.c) return;
    const int64_t row = i / r.c, channel = i % r.c;
    const float* x = r.x + row / r.per_batch() * r.batch_stride + channel;
    const int64_t top = row / r.out_w % r.out_h * r.stride_h - r.pad_h;
    const int64_t left = row % r.out_w * r.stride_w - r.pad_w;
    float best = -INFINITY;
    for (int64_t y = top < 0 ? 0 : top; y < top + r.taps_h && y < r.h; ++y)
      for (int64_t z = left < 0 ? 0 : left; z < left + r.taps_w && z < r.w; ++z)
        best = reference::apply(Binary::max, best, x[(y * r.w + z) * r.position_stride]);
    a.out[i] = best;
  }
};

struct ReduceKernel {
  using Args = ReduceArgs;
  TENDON_DEVICE static void run(const Lane& t, const ReduceArgs& a) {
    const int64_t i = number_of(t);
    if (i >= a.outer * a.inner) return;
    const float* x = a.x + i / a.inner * a.n * a.inner + i % a.inner;
    const Binary f = a.op == Reduce::max ? Binary::max : a.op == Reduce::min ? Binary::min : Binary::add;
    float value = a.op == Reduce::max ? -INFINITY : a.op == Reduce::min ? INFINITY : 0.0f;
    for (int64_t j = 0; j < a.n; ++j) value = reference::apply(f, value, x[j * a.inner]);
    const float count = static_cast<float>(a.n);
    if (a.op == Reduce::mean || a.op == Reduce::variance) value /= count;
    if (a.op == Reduce::variance) {
      const float mean = value;
      value = 0;
      for (int64_t j = 0; j < a.n; ++j) value += (x[j * a.inner] - mean) * (x[j * a.inner] - mean);
      value /= count;
    }
    a.out[i] = value;
  }
};

struct MatmulKernel {
  using Args = MatmulArgs;
  TENDON_DEVICE static void run(const Lane& t, const MatmulArgs& a) {
    const int64_t i = number_of(t);
    if (i >= a.batch * a.m * a.n) return;
    const int64_t row = i / a.n, batch = row / a.m;
    const float* x = a.a + (batch / a.a_div * a.m + row % a.m) * a.k;
    const float* y = a.b + batch / a.b_div * a.k * a.n + i % a.n;
    float sum = 0;
    for (int64_t k = 0; k < a.k; ++k) sum += x[k] * y[k * a.n];
    a.out[i] = sum;
  }
};

}  // namespace tendon::cuda
