// How weights and activations are kept for a product. Weights lie in panels of `columns` output channels, k
// rising inside a panel in groups of `group` consecutive values per channel, so that a thread's share is one
// stretch of memory read once:
//   panel(n / columns)[k / group][n % columns][k % group]
// Channel scales, and for quantised activations their offset sums, follow the last panel.
#pragma once

#include "kernels/cpu/pack.h"

namespace tendon {
namespace {

template <class S, class A_, class W_, int columns_, int group_, int pad_, bool scaled_>
struct Format {
  using A = A_;
  using W = W_;
  static constexpr int columns = columns_, group = group_;
  static constexpr int pad = pad_;         // k is filled with zeros up to a multiple of this
  static constexpr bool scaled = scaled_;  // int8 weights
  static constexpr bool quantised = sizeof(A_) == 1;
  // Bytes of activations that are unsigned stand for themselves less 128.
  static constexpr bool moved = quantised && static_cast<A_>(-1) > 0;
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
    float* scales = const_cast<float*>(channel_scales(out, n, k));
    float* offsets = const_cast<float*>(channel_offsets(out, n, k));
    for (int64_t i = 0, count; i < channels.count; i += count) {
      const int64_t channel = channels.first + i, lane = channel % columns;
      count = lesser(columns - lane, channels.count - i);
      W* panel = static_cast<W*>(out) + channel / columns * panel_stride(k);
      Packing<S, Format>::panel(w + i * k, k, count, panel + lane * group, scales + channel,
                                offsets + channel);
    }
  }

  // Rows of A in scratch: an odd number of cache lines apart, so that rows do not share cache sets.
  static int64_t row_stride(int64_t k) {
    constexpr int64_t line = 64 / static_cast<int64_t>(sizeof(A));
    return (ceil_div(padded(k), line) | 1) * line;
  }
};

template <class S>
using F32Format = Format<S, float, float, S::width * S::panel_vectors, 1, 1, false>;
template <class S>
using WideBf16Format = Format<S, float, uint16_t, S::width * S::panel_vectors, 1, 1, false>;
template <class S>
using WideI8Format = Format<S, float, int8_t, S::width * S::panel_vectors, 1, 1, true>;

}  // namespace
}  // namespace tendon
