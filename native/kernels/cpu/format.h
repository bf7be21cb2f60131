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

  static void pack(const float* w, int64_t n, int64_t k, void* out, Channels channels) {
    W* packed = static_cast<W*>(out);
    float* scales = const_cast<float*>(channel_scales(out, n, k));
    float* offsets = const_cast<float*>(channel_offsets(out, n, k));
    for (int64_t i = 0; i < channels.count; ++i) {
      const int64_t channel = channels.first + i;
      const float* row = w + i * k;
      W* to = packed + channel / columns * panel_stride(k) + channel % columns * group;
      const auto at = [&](int64_t c) -> W& { return to[c / group * columns * group + c % group]; };
      if constexpr (scaled) {
        const Quantised quantise(largest_size(row, k));
        int64_t sum = 0;
        for (int64_t c = 0; c < k; ++c) sum += at(c) = quantise(row[c]);
        scales[channel] = quantise.scale;
        offsets[channel] = quantised ? -128.0f * static_cast<float>(sum) : 0.0f;
      } else if constexpr (sizeof(W) == 2) {
        for (int64_t c = 0; c < k; ++c) at(c) = to_bf16(row[c]);
      } else {
        for (int64_t c = 0; c < k; ++c) at(c) = row[c];
      }
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
