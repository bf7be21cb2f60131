// How weights and activations are kept for a product. Weights lie in panels of `columns` output channels, k
// rising inside a panel in groups of `group` consecutive values per channel, so that a thread's share is one
// stretch of memory read once:
//   panel(n / columns)[k / group][n % columns][k % group]
// Channel scales, and for quantised activations their offset sums, follow the last panel.
#pragma once

#include "kernels/cpu/share.h"

namespace tendon {
namespace {

template <class A_, class W_, int columns_, int group_, int pad_, bool scaled_>
struct Format {
  using A = A_;
  using W = W_;
  static constexpr int columns = columns_, group = group_;
  static constexpr int pad = pad_;         // k is filled with zeros up to a multiple of this
  static constexpr bool scaled = scaled_;  // int8 weights
  static constexpr bool quantised = sizeof(A_) == 1;
  static constexpr bool direct = sizeof(A_) == sizeof(float);  // f32 rows may be read where they are

  static int64_t panels(int64_t n) { return ceil_div(n, columns); }
  static int64_t padded(int64_t k) { return round_up(k, pad); }
  static int64_t panel_stride(int64_t k) { return padded(k) * columns; }
  static int64_t weight_bytes(int64_t n, int64_t k) {
    return round_up(panels(n) * panel_stride(k) * static_cast<int64_t>(sizeof(W)), 64);
  }
  static const float* channel_scales(const void* packed, int64_t n, int64_t k) {
    return reinterpret_cast<const float*>(static_cast<const uint8_t*>(packed) + weight_bytes(n, k));
  }
  static const float* channel_offsets(const void* packed, int64_t n, int64_t k) {
    return channel_scales(packed, n, k) + panels(n) * columns;
  }

  static size_t packed_bytes(int64_t n, int64_t k) {
    const int64_t extra = scaled ? 2 * panels(n) * columns * static_cast<int64_t>(sizeof(float)) : 0;
    return static_cast<size_t>(weight_bytes(n, k) + extra);
  }

  static W stored(float x, const Quantised& quantise) {
    if constexpr (scaled) return quantise(x);
    if constexpr (sizeof(W) == 2) return to_bf16(x);
    if constexpr (sizeof(W) == 4) return x;
  }

  static void pack(const float* w, int64_t n, int64_t k, void* out, Channels channels) {
    for (int64_t i = 0; i < channels.count; i += columns)
      pack_panel(w + i * k, n, k, out, {channels.first + i, lesser(columns, channels.count - i)});
  }

  // By stretches of k that are a cache line or two of every channel, so that both sides stay in the first
  // cache.
  static void pack_panel(const float* w, int64_t n, int64_t k, void* out, Channels channels) {
    constexpr int64_t stretch = 32;
    static_assert(stretch % group == 0);
    W* panel = static_cast<W*>(out) + channels.first / columns * panel_stride(k);
    float* scales = const_cast<float*>(channel_scales(out, n, k)) + channels.first;
    int64_t sums[columns] = {};
    Quantised quantise[columns];
    if constexpr (scaled)
      for (int64_t i = 0; i < channels.count; ++i) {
        quantise[i] = Quantised(largest_size(w + i * k, k));
        scales[i] = quantise[i].scale;
      }
    W line[stretch];
    for (int64_t first = 0; first < k; first += stretch) {
      const int64_t count = lesser(stretch, k - first);
      W* block = panel + first * columns;
      for (int64_t i = 0; i < channels.count; ++i) {
        const float* row = w + i * k + first;
        for (int64_t c = 0; c < count; ++c) line[c] = stored(row[c], quantise[i]);
        if constexpr (scaled)
          for (int64_t c = 0; c < count; ++c) sums[i] += line[c];
        for (int64_t c = 0; c < count; c += group)
          __builtin_memcpy(block + c * columns + i * group, line + c,
                           static_cast<size_t>(lesser(group, count - c)) * sizeof(W));
      }
    }
    if constexpr (scaled) {
      float* offsets = const_cast<float*>(channel_offsets(out, n, k)) + channels.first;
      for (int64_t i = 0; i < channels.count; ++i)
        offsets[i] = quantised ? -128.0f * static_cast<float>(sums[i]) : 0.0f;
    }
  }

  // Rows of A in scratch: an odd number of cache lines apart, so that rows do not share cache sets.
  static int64_t row_stride(int64_t k) {
    constexpr int64_t line = 64 / static_cast<int64_t>(sizeof(A));
    return (ceil_div(padded(k), line) | 1) * line;
  }
};

template <class S>
using F32Format = Format<float, float, S::width * S::panel_vectors, 1, 1, false>;
template <class S>
using WideBf16Format = Format<float, uint16_t, S::width * S::panel_vectors, 1, 1, false>;
template <class S>
using WideI8Format = Format<float, int8_t, S::width * S::panel_vectors, 1, 1, true>;
using Bf16Format = Format<uint16_t, uint16_t, 32, 2, 32, false>;
// Activations as round(x / scale) + 128 in a byte, one scale per row.
using I8Format = Format<uint8_t, int8_t, 32, 4, 64, true>;

}  // namespace
}  // namespace tendon
