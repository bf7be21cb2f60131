// Weights on their way from rows of f32 to a panel: one or two streaming passes over the rows, so that
// packing a checkpoint takes about as long as reading it. The numbers are those of reference/gemm.cpp, bit
// for bit.
#pragma once

#include "kernels/cpu/share.h"

namespace tendon {
namespace {

// Round to nearest even; NaN stays NaN. In whole numbers throughout, for compilers to vectorise.
uint16_t to_bf16(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  const bool nan = (bits & 0x7fffffff) > 0x7f800000;
  return static_cast<uint16_t>((nan ? bits | 0x400000 : bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

template <class S, class Format>
struct Packing {
  using F = typename S::F;
  using W = typename Format::W;
  static constexpr int columns = Format::columns, group = Format::group;
  // Of k at once: what all channels of a panel hold of it stays in the first cache.
  static constexpr int64_t stretch = 128;

  // A NaN is passed over.
  static float largest_size(const float* x, int64_t n) {
    F most = S::zero();
    const auto meet = [&](F v) {
      const F size = S::abs(v);
      most = S::select(S::less(most, size), size, most);
    };
    int64_t i = 0;
    for (; i + S::width <= n; i += S::width) meet(S::load(x + i));
    if (i < n) meet(S::load(x + i, n - i));
    return S::largest(most);
  }

  // round(x / scale) within ±127, and 0 for a NaN, as f32.
  static void quantise(const float* x, int64_t n, float inverse, float* out) {
    const auto at = [&](F v) {
      const F q = S::round(S::mul(v, S::set(inverse)));
      return S::select(S::is_nan(q), S::zero(), S::min(S::max(q, S::set(-127)), S::set(127)));
    };
    int64_t i = 0;
    for (; i + S::width <= n; i += S::width) S::store(out + i, at(S::load(x + i)));
    if (i < n) S::store(out + i, at(S::load(x + i, n - i)), n - i);
  }

  static void convert(const float* x, int64_t n, float inverse, W* out) {
    if constexpr (sizeof(W) == 1) {
      float whole[stretch];
      quantise(x, n, inverse, whole);
      for (int64_t i = 0; i < n; ++i) out[i] = static_cast<W>(static_cast<int32_t>(whole[i]));
    } else if constexpr (sizeof(W) == 2) {
      for (int64_t i = 0; i < n; ++i) out[i] = to_bf16(x[i]);
    } else {
      __builtin_memcpy(out, x, static_cast<size_t>(n) * sizeof(W));
    }
  }

  // Groups of all channels side by side. A whole panel's worth is a loop of known length.
  template <bool whole>
  static void interleave(const W (*held)[stretch], int64_t count, int64_t groups, W* to) {
    const int64_t channels = whole ? columns : count;
    for (int64_t g = 0; g < groups; ++g)
      for (int64_t r = 0; r < channels; ++r)
        __builtin_memcpy(to + (g * columns + r) * group, held[r] + g * group, group * sizeof(W));
  }

  // `count` channels of one panel, whose numbers begin at `to`.
  static void panel(const float* w, int64_t k, int64_t count, W* to, float* scales, float* offsets) {
    float inverse[columns] = {};
    int64_t sums[columns] = {};
    if constexpr (Format::scaled) {
      for (int64_t r = 0; r < count; ++r) {
        const Quantised quantised(largest_size(w + r * k, k));
        scales[r] = quantised.scale;
        inverse[r] = quantised.inverse;
      }
    }
    W held[columns][stretch];
    for (int64_t first = 0; first < k; first += stretch) {
      const int64_t width = lesser(stretch, k - first), padded = round_up(width, group);
      for (int64_t r = 0; r < count; ++r) {
        convert(w + r * k + first, width, inverse[r], held[r]);
        for (int64_t i = width; i < padded; ++i) held[r][i] = 0;
        if constexpr (Format::moved)
          for (int64_t i = 0; i < width; ++i) sums[r] += held[r][i];
      }
      if (count == columns) {
        interleave<true>(held, count, padded / group, to + first * columns);
      } else {
        interleave<false>(held, count, padded / group, to + first * columns);
      }
    }
    if constexpr (Format::scaled)
      for (int64_t r = 0; r < count; ++r)
        offsets[r] = Format::moved ? -128.0f * static_cast<float>(sums[r]) : 0.0f;
  }
};

}  // namespace
}  // namespace tendon
