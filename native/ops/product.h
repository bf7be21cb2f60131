// Arguments of matrix products: rows gathered from a tensor, weights, and what is done to the result.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/functions.h"

namespace tendon {

enum class WeightFormat : uint8_t { f32, bf16, i8, count };

// The rows of A, gathered from a channels-last tensor (batch, h, w, c): row (b, y, x) is the window whose
// corner is (y·stride_h − pad_h, x·stride_w − pad_w), laid out (tap_h, tap_w, channel), zero outside. A
// linear layer is h = w = taps = 1. A 1-D convolution is h = 1. Consecutive rows of a stride-1 1-D
// convolution overlap.
struct Rows {
  const float* x = nullptr;
  int64_t batch = 1;
  int64_t h = 1, w = 1, c = 1;
  int64_t taps_h = 1, taps_w = 1;
  int64_t stride_h = 1, stride_w = 1;
  int64_t pad_h = 0, pad_w = 0;
  int64_t out_h = 1, out_w = 1;
  // Floats between batch elements of x and between positions (≥ c); dense is h·w·c and c.
  int64_t batch_stride = 0, position_stride = 0;

  TENDON_HD int64_t per_batch() const { return out_h * out_w; }
  TENDON_HD int64_t count() const { return batch * per_batch(); }
  TENDON_HD int64_t k() const { return taps_h * taps_w * c; }
  bool is_plain() const {
    return taps_h * taps_w == 1 && stride_h == 1 && stride_w == 1 && pad_h == 0 && pad_w == 0;
  }
  bool operator==(const Rows&) const = default;
};

// What is done to a finished row range while it is still in cache, in this order:
//   + bias → group norm → act → · scale + shift → + residual → act_last
// Group norm takes its moments over the rows of one batch element and the channels of one group.
struct Epilogue {
  const float* bias = nullptr;  // (n)
  int64_t groups = 0;           // 0: no group norm
  float eps = 1e-5f;
  const float* norm_weight = nullptr;  // (n), null for none
  const float* norm_bias = nullptr;    // (n), null for none
  Unary act = Unary::none;
  // Per batch element and channel: element b reads scale + (b / film_div)·film_stride. Null for none.
  const float* scale = nullptr;
  const float* shift = nullptr;
  int64_t film_div = 1, film_stride = 0;
  // Per row and channel, block broadcast over the batch. Null for none.
  const float* residual = nullptr;
  int64_t residual_div = 1, residual_batch_stride = 0, residual_row_stride = 0;
  Unary act_last = Unary::none;

  bool operator==(const Epilogue&) const = default;
};

// out(row (b, r), n) = epilogue(Σ_k rows(b, r)[k] · W[n, k])
struct GemmArgs {
  Rows rows;
  int64_t n = 0;
  WeightFormat format = WeightFormat::f32;
  const void* weights = nullptr;  // as packed by the same table
  float* out = nullptr;
  int64_t out_batch_stride = 0, out_row_stride = 0;  // in floats
  Epilogue epilogue;
  void* scratch = nullptr;  // GemmKernels::scratch_bytes, shared by all parts
  template <class A, class V>
  static void refs(A& a, V v) {
    auto& e = a.epilogue;
    v(a.rows.x), v(a.weights), v(a.out), v(a.scratch);
    v(e.bias), v(e.norm_weight), v(e.norm_bias), v(e.scale), v(e.shift), v(e.residual);
  }
  int64_t written() const {
    return (rows.batch - 1) * out_batch_stride + (rows.per_batch() - 1) * out_row_stride + n;
  }
  bool operator==(const GemmArgs&) const = default;
};

}  // namespace tendon
