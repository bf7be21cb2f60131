// How weights lie for CUDA products: in the order in which lanes want them, so that a warp reads one stretch
// of memory once and a lane multiplies what it has itself fetched. k is filled with zeros to whole chunks,
// the unit in which a product is split over blocks, n to whole tiles.
//   f32   [n / 32][k][n % 32]: a lane per output channel
//   bf16  [n / 64][k / 16][4 tiles of 16 channels][lane] 8 numbers, the lane's fragment of the tile (lane.h)
//   i8    [n / 64][k / 32][4 tiles of 16 channels][lane] 16 bytes, two such fragments, 128 added to each;
//   then
//         a scale per channel
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/device.h"

namespace tendon::cuda {

struct F32Weights {
  static constexpr int columns = 32;
  static constexpr int chunk = 64;
  static constexpr int64_t bytes_per_number = 4;
};
struct Bf16Weights {
  static constexpr int columns = 64;
  static constexpr int chunk = 128;
  static constexpr int step = 16;  // k of one fetch
  static constexpr int64_t bytes_per_number = 2;
};
struct I8Weights {
  static constexpr int columns = 64;
  static constexpr int chunk = 128;
  static constexpr int step = 32;
  static constexpr int64_t bytes_per_number = 1;
};

TENDON_HD inline int64_t up(int64_t n, int64_t unit) { return (n + unit - 1) / unit; }

template <class W>
TENDON_HD inline int64_t padded_k(int64_t k) {
  return up(k, W::chunk) * W::chunk;
}
// Bytes of the numbers, behind which the scales of i8 stand.
template <class W>
TENDON_HD inline int64_t weight_bytes(int64_t n, int64_t k) {
  return up(n, W::columns) * W::columns * padded_k<W>(k) * W::bytes_per_number;
}
TENDON_HD inline const float* channel_scales(const void* weights, int64_t n, int64_t k) {
  return reinterpret_cast<const float*>(static_cast<const uint8_t*>(weights) + weight_bytes<I8Weights>(n, k));
}

// Where in a 16 × 16 tile number j (0…7) of a lane's fragment stands.
TENDON_HD inline int fragment_channel(int lane, int j) { return lane / 4 + (j / 2 % 2) * 8; }
TENDON_HD inline int fragment_k(int lane, int j) { return lane % 4 * 2 + j % 2 + j / 4 * 8; }

// Rounded to nearest even; NaN stays NaN.
TENDON_HD inline uint16_t to_bf16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if (x != x) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

}  // namespace tendon::cuda
