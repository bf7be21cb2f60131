// Ops of which a thread computes one number: those whose arguments define it, strided copies, look-up and the
// product of two activations.
#pragma once

#include <cmath>

#include "kernels/cuda/lane.h"
#include "kernels/kernels.h"
#include "ops/loops.h"

namespace tendon::cuda {

constexpr int alone_threads = 256;

TENDON_DEVICE int64_t number_of(const Lane& t) { return t.block_x() * alone_threads + t.thread(); }

// Ops whose arguments define every number of the result (ops/args.h).
template <class Arguments>
concept DefinesNumbers = requires(const Arguments& a) {
  a.number(0);
};

template <DefinesNumbers Arguments>
struct NumberKernel {
  using Args = Arguments;
  TENDON_DEVICE static void run(const Lane& t, const Args& a) {
    const int64_t i = number_of(t);
    if (i < a.written()) a.out[i] = a.number(i);
  }
};

// The loops' steps: likewise (ops/loops.h).
template <LoopOp Arguments>
struct LoopKernel {
  using Args = Arguments;
  TENDON_DEVICE static void run(const Lane& t, const Args& a) {
    const int64_t i = number_of(t);
    if (i < a.numbers()) a.at(i);
  }
};

// Where number i of dense dims stands. 32 bits: division of 64 is what a GPU is worst at, and no
// tensor here has so many numbers (backend/cuda/program.h checks).
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
