// The contract between compiled programs and kernels: plain argument structs and, per instruction set, one
// table of functions. Every function does its own share `part` of `parts` of the work, writes nothing outside
// its outputs and scratch, allocates nothing and reports nothing. Activations are f32, rows dense in the last
// dimension; dim 0 is the batch.
//
// Block broadcast: an operand with fewer batch rows than the output serves blocks of them, output row b
// reading operand row b / div (div = 1: one each; div = batch: one for all).
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/device.h"

namespace tendon {

struct Part {
  int index;
  int count;
  // The half-open share of n items, in multiples of `grain`.
  void range(int64_t n, int64_t grain, int64_t& begin, int64_t& end) const {
    const int64_t units = (n + grain - 1) / grain;
    begin = units * index / count * grain;
    end = units * (index + 1) / count * grain;
    if (begin > n) begin = n;
    if (end > n) end = n;
  }
};

// Elementwise functions of one argument. The first group may be fused behind a matrix product.
enum class Unary : uint8_t {
  none,
  relu,
  gelu,       // erf form
  gelu_tanh,  // tanh form
  silu,
  mish,
  tanh,
  sigmoid,
  elu,
  softplus,
  last_fusible = softplus,
  exp,
  log,
  sin,
  cos,
  sqrt,
  rsqrt,
  abs,
  neg,
  square,
  reciprocal,
  erf,
  symexp,  // sign(x)(e^|x| − 1), TD-MPC2
  count
};

enum class Binary : uint8_t { add, sub, mul, div, min, max, count };

enum class WeightFormat : uint8_t { f32, bf16, i8, count };

// ---- Matrix products -------------------------------------------------------------------------------------

// The rows of A, gathered from a channels-last tensor (batch, h, w, c): row (b, y, x) is the window whose
// corner is (y·stride_h − pad_h, x·stride_w − pad_w), laid out (tap_h, tap_w, channel), zero outside. A
// linear layer is h = w = taps = 1. A 1-D convolution is h = 1. Consecutive rows of a stride-1 1-D
// convolution overlap.
struct Rows {
  const float* x;
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

  bool is_empty() const {
    return !bias && groups == 0 && act == Unary::none && !scale && !shift && !residual &&
           act_last == Unary::none;
  }
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
  bool operator==(const GemmArgs&) const = default;
};

// ---- The rest --------------------------------------------------------------------------------------------

// One operand of an elementwise op over dims (d0, d1, d2, d3): element (i0, i1, i2, i3) is at
// (i0 / div)·stride[0] + i1·stride[1] + i2·stride[2] + i3·stride[3].
struct Operand {
  const float* x = nullptr;
  int64_t div = 1;
  int64_t stride[4] = {0, 0, 0, 0};
  bool operator==(const Operand&) const = default;
};

struct UnaryArgs {
  Unary op;
  const float* x;
  float* out;
  int64_t count;
  bool operator==(const UnaryArgs&) const = default;
};

// out = a op b over dense out.
struct BinaryArgs {
  Binary op;
  int64_t dims[4];
  Operand a, b;
  float* out;
  bool operator==(const BinaryArgs&) const = default;
};

// out[strides] = a over dims: concat, slice, permute, expand.
struct CopyArgs {
  int64_t dims[4];
  Operand a;
  float* out;
  int64_t out_stride[4];
  bool operator==(const CopyArgs&) const = default;
};

// out = x·mul + add, elementwise.
struct AffineArgs {
  const float* x;
  float mul, add;
  float* out;
  int64_t count;
  bool operator==(const AffineArgs&) const = default;
};

enum class Norm : uint8_t { layer, rms };

// Each row of n: layer (x − mean)/√(var + eps), rms x/√(mean x² + eps); then · weight + bias (null for none),
// then act.
struct NormArgs {
  Norm kind;
  const float* x;
  int64_t rows, n;
  float eps;
  const float* weight;
  const float* bias;
  Unary act;
  float* out;
  bool operator==(const NormArgs&) const = default;
};

// x (batch, positions, channels), moments over positions × channels of a group.
struct GroupNormArgs {
  const float* x;
  int64_t batch, positions, channels, groups;
  float eps;
  const float* weight;
  const float* bias;
  Unary act;
  float* out;
  bool operator==(const GroupNormArgs&) const = default;
};

// Softmax of each row of n.
struct SoftmaxArgs {
  const float* x;
  int64_t rows, n;
  float* out;
  bool operator==(const SoftmaxArgs&) const = default;
};

// out(b, i, h·d…) = softmax_j(q(b, i, h)·k(b, j, h)·scale + mask(i, j)) · v(b, j, h). Row strides in floats
// allow q, k and v to be columns of one merged product; k and v may be block broadcast.
struct AttentionArgs {
  const float *q, *k, *v;
  int64_t batch, q_len, k_len, heads, head_dim;
  int64_t q_batch_stride, q_row_stride;
  int64_t k_div, k_batch_stride, k_row_stride;
  int64_t v_div, v_batch_stride, v_row_stride;
  float scale;
  const float* mask;  // (q_len, k_len) added to the scores, −inf to hide; null for none
  float* out;         // (batch, q_len, heads·head_dim) dense
  bool operator==(const AttentionArgs&) const = default;
};

// out(b, m, n) = Σ_k a(b, m, k)·b(b / b_div, k, n)
struct MatmulArgs {
  const float *a, *b;
  int64_t batch, m, n, k, a_div, b_div;
  float* out;
  bool operator==(const MatmulArgs&) const = default;
};

enum class Reduce : uint8_t { sum, mean, max, min, variance };

// x (outer, n, inner) → out (outer, inner). Variance divides by n.
struct ReduceArgs {
  Reduce op;
  const float* x;
  int64_t outer, n, inner;
  float* out;
  bool operator==(const ReduceArgs&) const = default;
};

// out(r, :) = table(round(index(r)), :), indices clamped to the table.
struct GatherArgs {
  const float* table;
  int64_t table_rows, n;
  const float* index;
  int64_t rows;
  float* out;
  bool operator==(const GatherArgs&) const = default;
};

// Channels-last max pooling; positions outside count as −inf.
struct MaxPoolArgs {
  Rows rows;  // windows; k = taps·c
  float* out;
  bool operator==(const MaxPoolArgs&) const = default;
};

// ---- One instruction set ---------------------------------------------------------------------------------

// Output channels [first, first + count).
struct Channels {
  int64_t first, count;
};
constexpr int64_t pack_channels = 64;

struct GemmKernels {
  bool available = false;
  // Bytes of W (n, k) packed.
  size_t (*packed_bytes)(int64_t n, int64_t k) = nullptr;
  // Packs `channels` of W from row-major f32, `w` being the first of them, into zeroed memory of all of W;
  // pieces that begin at whole multiples of pack_channels may be packed at once. Columns of a convolution
  // come as (tap_h, tap_w, channel).
  void (*pack)(const float* w, int64_t n, int64_t k, void* out, Channels channels) = nullptr;
  size_t (*scratch_bytes)(const GemmArgs&, int parts) = nullptr;
  // Whether all parts of `prepare` must be done, with a barrier behind them, before `multiply`.
  bool (*needs_prepare)(const GemmArgs&) = nullptr;
  void (*prepare)(const GemmArgs&, Part) = nullptr;
  void (*multiply)(const GemmArgs&, Part) = nullptr;
  // What rows are rounded to before they are multiplied.
  WeightFormat activations = WeightFormat::f32;
};

struct KernelTable {
  const char* isa;
  GemmKernels gemm[static_cast<int>(WeightFormat::count)];
  void (*unary)(const UnaryArgs&, Part);
  void (*binary)(const BinaryArgs&, Part);
  void (*copy)(const CopyArgs&, Part);
  void (*affine)(const AffineArgs&, Part);
  void (*norm)(const NormArgs&, Part);
  void (*group_norm)(const GroupNormArgs&, Part);
  void (*softmax)(const SoftmaxArgs&, Part);
  void (*attention)(const AttentionArgs&, Part);
  void (*matmul)(const MatmulArgs&, Part);
  void (*reduce)(const ReduceArgs&, Part);
  void (*gather)(const GatherArgs&, Part);
  void (*max_pool)(const MaxPoolArgs&, Part);
  // Operations that one thread does in `rounds` rounds of nothing but the format's multiply-adds: the limit
  // that products are measured against.
  double (*peak[static_cast<int>(WeightFormat::count)])(int64_t rounds);
};

// Plain loops, the definition of every kernel.
const KernelTable& reference_kernels();

// The best table this machine can run, not above `limit` (reference | avx2 | avxvnni | avx512 | avx512vnni |
// avx512bf16 | amx | neon; empty: TENDON_ISA from the environment, else no limit). Throws BuildError for an
// unknown name.
const KernelTable& select_kernels(const char* limit = "");

}  // namespace tendon
