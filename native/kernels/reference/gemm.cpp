// Matrix products over gathered rows with the full epilogue, for weights kept as f32, bf16 or int8 with one
// scale per output channel. Activations stay f32 and every product is accumulated in f32 in the order of
// (tap_h, tap_w, channel). Weights are packed transposed, (k, n), so that the inner loop runs over outputs.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/memory.h"
#include "kernels/reference/kernels.h"

namespace tendon::reference {

namespace {

constexpr int64_t tile = 32;  // output channels whose sums are held at once

// Round to nearest even; NaN stays NaN.
uint16_t to_bf16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  if (std::isnan(x)) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

struct F32 {
  using Stored = float;
  static float load(float w) { return w; }
};
struct Bf16 {
  using Stored = uint16_t;
  static float load(uint16_t w) { return std::bit_cast<float>(static_cast<uint32_t>(w) << 16); }
};
struct I8 {
  using Stored = int8_t;
  static float load(int8_t w) { return w; }
};

// The scales of int8 channels stand behind the weights.
size_t scales_at(int64_t n, int64_t k) { return align_up(static_cast<size_t>(n * k)); }

template <class Format>
size_t packed_bytes(int64_t n, int64_t k) {
  if constexpr (std::is_same_v<Format, I8>) return scales_at(n, k) + static_cast<size_t>(n) * sizeof(float);
  return static_cast<size_t>(n * k) * sizeof(typename Format::Stored);
}

template <class Format>
void pack(const float* given, int64_t n, int64_t k, void* out, Channels channels) {
  auto* packed = static_cast<typename Format::Stored*>(out);
  const float* w = given - channels.first * k;
  for (int64_t row = channels.first; row < channels.first + channels.count; ++row) {
    float inverse = 1;
    if constexpr (std::is_same_v<Format, I8>) {
      float largest = 0;
      for (int64_t i = 0; i < k; ++i) largest = std::max(largest, std::fabs(w[row * k + i]));
      const float scale = largest / 127.0f;
      reinterpret_cast<float*>(static_cast<uint8_t*>(out) + scales_at(n, k))[row] = scale;
      // A channel of zeros, or of numbers too small to divide by, is stored as zeros.
      inverse = std::isnormal(scale) ? 1.0f / scale : 0.0f;
    }
    for (int64_t i = 0; i < k; ++i) {
      const float value = w[row * k + i];
      if constexpr (std::is_same_v<Format, F32>) packed[i * n + row] = value;
      if constexpr (std::is_same_v<Format, Bf16>) packed[i * n + row] = to_bf16(value);
      if constexpr (std::is_same_v<Format, I8>) {
        // The comparison also turns NaN into 0, which a cast to int8 must never meet.
        const float q = std::nearbyint(value * inverse);
        packed[i * n + row] = static_cast<int8_t>(q >= -127  ? std::min(q, 127.0f)
                                                  : q < -127 ? -127.0f
                                                             : 0.0f);
      }
    }
  }
}

// sums[0..width) = Σ_k rows(b, r)[k] · W[first + …, k]; taps outside the input add nothing.
template <class Format>
void dot_row(const GemmArgs& a, int64_t b, int64_t r, int64_t first, int64_t width, float* sums) {
  const Rows& x = a.rows;
  const auto* weights = static_cast<const typename Format::Stored*>(a.weights);
  const int64_t top = r / x.out_w * x.stride_h - x.pad_h, left = r % x.out_w * x.stride_w - x.pad_w;
  std::fill(sums, sums + width, 0.0f);
  for (int64_t i = 0; i < x.taps_h; ++i) {
    for (int64_t j = 0; j < x.taps_w; ++j) {
      const int64_t y = top + i, z = left + j;
      if (y < 0 || y >= x.h || z < 0 || z >= x.w) continue;
      const float* window = x.x + b * x.batch_stride + (y * x.w + z) * x.position_stride;
      const auto* w = weights + (i * x.taps_w + j) * x.c * a.n + first;
      for (int64_t c = 0; c < x.c; ++c, w += a.n)
        for (int64_t n = 0; n < width; ++n) sums[n] += window[c] * Format::load(w[n]);
    }
  }
  if constexpr (std::is_same_v<Format, I8>) {
    const auto* scales =
        reinterpret_cast<const float*>(static_cast<const uint8_t*>(a.weights) + scales_at(a.n, x.k()));
    for (int64_t n = 0; n < width; ++n) sums[n] *= scales[first + n];
  }
  if (a.epilogue.bias)
    for (int64_t n = 0; n < width; ++n) sums[n] += a.epilogue.bias[first + n];
}

// What follows the group norm: act → · scale + shift → + residual → act_last.
void finish(const GemmArgs& a, int64_t b, int64_t r, int64_t n, float value) {
  const Epilogue& e = a.epilogue;
  const int64_t film = b / e.film_div * e.film_stride + n;
  value = apply(e.act, value);
  if (e.scale) value *= e.scale[film];
  if (e.shift) value += e.shift[film];
  if (e.residual)
    value += e.residual[b / e.residual_div * e.residual_batch_stride + r * e.residual_row_stride + n];
  a.out[b * a.out_batch_stride + r * a.out_row_stride + n] = apply(e.act_last, value);
}

template <class Format>
void multiply_plain(const GemmArgs& a, Part part) {
  const int64_t rows = a.rows.count(), tiles = (a.n + tile - 1) / tile;
  int64_t begin, end;
  part.range(tiles * rows, 1, begin, end);
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t first = unit / rows * tile, width = std::min(tile, a.n - first);
    const int64_t b = unit % rows / a.rows.per_batch(), r = unit % a.rows.per_batch();
    float sums[tile];
    dot_row<Format>(a, b, r, first, width, sums);
    for (int64_t n = 0; n < width; ++n) finish(a, b, r, first + n, sums[n]);
  }
}

// A part takes whole groups of a batch element, whose sums wait in the scratch for their moments.
template <class Format>
void multiply_normed(const GemmArgs& a, Part part) {
  const Epilogue& e = a.epilogue;
  const int64_t width = a.n / e.groups, positions = a.rows.per_batch();
  const float count = static_cast<float>(width * positions);
  int64_t begin, end;
  part.range(a.rows.batch * e.groups, 1, begin, end);
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t b = unit / e.groups, first = unit % e.groups * width;
    float* held = static_cast<float*>(a.scratch) + unit * width * positions;
    for (int64_t r = 0; r < positions; ++r)
      for (int64_t n = 0; n < width; n += tile)
        dot_row<Format>(a, b, r, first + n, std::min(tile, width - n), held + r * width + n);
    float mean = 0, square = 0;
    for (int64_t i = 0; i < positions * width; ++i) mean += held[i];
    mean /= count;
    for (int64_t i = 0; i < positions * width; ++i) square += (held[i] - mean) * (held[i] - mean);
    const float inverse = 1.0f / std::sqrt(square / count + e.eps);
    for (int64_t r = 0; r < positions; ++r) {
      for (int64_t n = first; n < first + width; ++n) {
        float value = (held[r * width + n - first] - mean) * inverse;
        if (e.norm_weight) value *= e.norm_weight[n];
        if (e.norm_bias) value += e.norm_bias[n];
        finish(a, b, r, n, value);
      }
    }
  }
}

template <class Format>
void multiply(const GemmArgs& a, Part part) {
  if (a.epilogue.groups == 0) return multiply_plain<Format>(a, part);
  multiply_normed<Format>(a, part);
}

size_t scratch_bytes(const GemmArgs& a, int) {
  return a.epilogue.groups == 0 ? 0 : static_cast<size_t>(a.rows.count() * a.n) * sizeof(float);
}

bool needs_prepare(const GemmArgs&) { return false; }
void prepare(const GemmArgs&, Part) {}

template <class Format>
constexpr GemmKernels kernels_for = {
    true, packed_bytes<Format>, pack<Format>, scratch_bytes, needs_prepare, prepare, multiply<Format>};

}  // namespace

GemmKernels gemm_kernels(WeightFormat format) {
  if (format == WeightFormat::bf16) return kernels_for<Bf16>;
  if (format == WeightFormat::i8) return kernels_for<I8>;
  return kernels_for<F32>;
}

}  // namespace tendon::reference
