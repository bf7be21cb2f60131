// Arguments of every kernel: plain structs over f32 activations, rows dense in the last dimension, dim 0
// being the batch. Each says once what it points to (`refs` visits its pointers: a pointer to const is read,
// any other is written) and how many floats from `out` on it may write (`written`). Compiler, barriers,
// backends and the device's memory all read that; no other place lists the pointers of an op.
//
// Block broadcast: an operand with fewer batch rows than the output serves blocks of them, output row b
// reading operand row b / div (div = 1: one each; div = batch: one for all).
//
// An op each of whose output numbers has a definition of its own, over a dense output, gives that definition
// as `number`; the reference kernel and the CUDA kernel are then made from it.
#pragma once

#include "ops/product.h"

namespace tendon {

// One operand of an elementwise op over dims (d0, d1, d2, d3): element (i0, i1, i2, i3) is at
// (i0 / div)·stride[0] + i1·stride[1] + i2·stride[2] + i3·stride[3].
struct Operand {
  const float* x = nullptr;
  int64_t div = 1;
  int64_t stride[4] = {0, 0, 0, 0};
  bool operator==(const Operand&) const = default;
};

TENDON_HD inline int64_t numbers(const int64_t (&dims)[4]) { return dims[0] * dims[1] * dims[2] * dims[3]; }

struct UnaryArgs {
  Unary op;
  const float* x = nullptr;
  float* out = nullptr;
  int64_t count;
  template <class A, class V>
  static void refs(A& a, V v) {
    v(a.x), v(a.out);
  }
  TENDON_HD int64_t written() const { return count; }
  TENDON_HD float number(int64_t i) const { return reference::apply(op, x[i]); }
  bool operator==(const UnaryArgs&) const = default;
};

// out = a op b over dense out.
struct BinaryArgs {
  Binary op;
  int64_t dims[4];
  Operand a, b;
  float* out = nullptr;
  template <class A, class V>
  static void refs(A& a, V v) {
    v(a.a.x), v(a.b.x), v(a.out);
  }
  TENDON_HD int64_t written() const { return numbers(dims); }
  bool operator==(const BinaryArgs&) const = default;
};

// out[strides] = a over dims: concat, slice, permute, expand.
struct CopyArgs {
  int64_t dims[4];
  Operand a;
  float* out = nullptr;
  int64_t out_stride[4];
  template <class A, class V>
  static void refs(A& a, V v) {
    v(a.a.x), v(a.out);
  }
  TENDON_HD int64_t written() const {
    int64_t last = 0;
    for (int d = 0; d < 4; ++d) last += (dims[d] - 1) * out_stride[d];
    return last + 1;
  }
  bool operator==(const CopyArgs&) const = default;
};

// out = x·mul + add, elementwise.
struct AffineArgs {
  const float* x = nullptr;
  float mul, add;
  float* out = nullptr;
  int64_t count;
  template <class A, class V>
  static void refs(A& a, V v) {
    v(a.x), v(a.out);
  }
  TENDON_HD int64_t written() const { return count; }
  TENDON_HD float number(int64_t i) const { return x[i] * mul + add; }
  bool operator==(const AffineArgs&) const = default;
};

enum class Norm : uint8_t { layer, rms };

// Each row of n: layer (x − mean)/√(var + eps), rms x/√(mean x² + eps); then · weight + bias (null for none),
// then act.
struct NormArgs {
  Norm kind;
  const float* x = nullptr;
  int64_t rows, n;
  float eps;
  const float* weight = nullptr;
  const float* bias = nullptr;
  Unary act;
  float* out = nullptr;
  template <class A, class V>
  static void refs(A& a, V v) {
    v(a.x), v(a.weight), v(a.bias), v(a.out);
  }
  TENDON_HD int64_t written() const { return rows * n; }
  bool operator==(const NormArgs&) const = default;
};

// x (batch, positions, channels), moments over positions × channels of a group.
struct GroupNormArgs {
  const float* x = nullptr;
  int64_t batch, positions, channels, groups;
  float eps;
  const float* weight = nullptr;
  const float* bias = nullptr;
  Unary act;
  float* out = nullptr;
  template <class A, class V>
  static void refs(A& a, V v) {
    v(a.x), v(a.weight), v(a.bias), v(a.out);
  }
  TENDON_HD int64_t written() const { return batch * positions * channels; }
  bool operator==(const GroupNormArgs&) const = default;
};

// Softmax of each row of n.
struct SoftmaxArgs {
  const float* x = nullptr;
  int64_t rows, n;
  float* out = nullptr;
  template <class A, class V>
  static void refs(A& a, V v) {
    v(a.x), v(a.out);
  }
  TENDON_HD int64_t written() const { return rows * n; }
  bool operator==(const SoftmaxArgs&) const = default;
};

// out(b, i, h·d…) = softmax_j(q(b, i, h)·k(b, j, h)·scale + mask(i, j)) · v(b, j, h). Row strides in floats
// allow q, k and v to be columns of one merged product; k and v may be block broadcast.
struct AttentionArgs {
  const float *q = nullptr, *k = nullptr, *v = nullptr;
  int64_t batch, q_len, k_len, heads, head_dim;
  int64_t q_batch_stride, q_row_stride;
  int64_t k_div, k_batch_stride, k_row_stride;
  int64_t v_div, v_batch_stride, v_row_stride;
  float scale;
  const float* mask = nullptr;  // (q_len, k_len) added to the scores, −inf to hide; null for none
  float* out = nullptr;         // (batch, q_len, heads·head_dim) dense
  template <class A, class V>
  static void refs(A& a, V v) {
    v(a.q), v(a.k), v(a.v), v(a.mask), v(a.out);
  }
  TENDON_HD int64_t written() const { return batch * q_len * heads * head_dim; }
  bool operator==(const AttentionArgs&) const = default;
};

// out(b, m, n) = Σ_k a(b, m, k)·b(b / b_div, k, n)
struct MatmulArgs {
  const float *a = nullptr, *b = nullptr;
  int64_t batch, m, n, k, a_div, b_div;
  float* out = nullptr;
  template <class A, class V>
  static void refs(A& a, V v) {
    v(a.a), v(a.b), v(a.out);
  }
  TENDON_HD int64_t written() const { return batch * m * n; }
  bool operator==(const MatmulArgs&) const = default;
};

// x (outer, n, inner) → out (outer, inner). Variance divides by n.
struct ReduceArgs {
  Reduce op;
  const float* x = nullptr;
  int64_t outer, n, inner;
  float* out = nullptr;
  template <class A, class V>
  static void refs(A& a, V v) {
    v(a.x), v(a.out);
  }
  TENDON_HD int64_t written() const { return outer * inner; }
  TENDON_HD float number(int64_t i) const {
    const float* from = x + i / inner * n * inner + i % inner;
    const Binary f = op == Reduce::max ? Binary::max : op == Reduce::min ? Binary::min : Binary::add;
    float value = op == Reduce::max ? -INFINITY : op == Reduce::min ? INFINITY : 0.0f;
    for (int64_t j = 0; j < n; ++j) value = reference::apply(f, value, from[j * inner]);
    if (op == Reduce::mean || op == Reduce::variance) value /= static_cast<float>(n);
    if (op != Reduce::variance) return value;
    float square = 0;
    for (int64_t j = 0; j < n; ++j) square += (from[j * inner] - value) * (from[j * inner] - value);
    return square / static_cast<float>(n);
  }
  bool operator==(const ReduceArgs&) const = default;
};

// out(r, :) = table(round(index(r)), :), indices clamped to the table.
struct GatherArgs {
  const float* table = nullptr;
  int64_t table_rows, n;
  const float* index = nullptr;
  int64_t rows;
  float* out = nullptr;
  template <class A, class V>
  static void refs(A& a, V v) {
    v(a.table), v(a.index), v(a.out);
  }
  TENDON_HD int64_t written() const { return rows * n; }
  bool operator==(const GatherArgs&) const = default;
};

// Channels-last max pooling; positions outside count as −inf.
struct MaxPoolArgs {
  Rows rows;  // windows; k = taps·c
  float* out = nullptr;
  template <class A, class V>
  static void refs(A& a, V v) {
    v(a.rows.x), v(a.out);
  }
  TENDON_HD int64_t written() const { return rows.count() * rows.c; }
  TENDON_HD float number(int64_t i) const {
    const int64_t row = i / rows.c;
    const float* x = rows.x + row / rows.per_batch() * rows.batch_stride + i % rows.c;
    const int64_t top = row / rows.out_w % rows.out_h * rows.stride_h - rows.pad_h;
    const int64_t left = row % rows.out_w * rows.stride_w - rows.pad_w;
    float best = -INFINITY;
    for (int64_t y = top < 0 ? 0 : top; y < top + rows.taps_h && y < rows.h; ++y)
      for (int64_t z = left < 0 ? 0 : left; z < left + rows.taps_w && z < rows.w; ++z)
        best = reference::apply(Binary::max, best, x[(y * rows.w + z) * rows.position_stride]);
    return best;
  }
  bool operator==(const MaxPoolArgs&) const = default;
};

}  // namespace tendon
