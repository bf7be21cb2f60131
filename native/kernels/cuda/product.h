// What all matrix products share, whatever their tiles: how a product is cut over blocks, how its rows are
// gathered (kernels.h, Rows), which makes convolutions implicit, and what becomes of a sum.
//
// Policies multiply few rows, so their products are bound by reading weights: narrow tiles (gemm.h) stream
// them past a few rows. Rollouts and batches multiply many: wide tiles (wide.h) use every weight that was
// fetched for 64 or 128 rows. Where channels and rows make too few blocks to keep the chip busy, k is split
// over blocks too, whose sums wait in the scratch for finish.h, which also does what needs a whole group:
// norms.
#pragma once

#include <cmath>

#include "kernels/cuda/api.h"
#include "kernels/cuda/format.h"
#include "kernels/cuda/lane.h"
#include "kernels/kernels.h"

namespace tendon::cuda {

// ---- How a product is cut --------------------------------------------------------------------------------

enum class Tile : uint8_t { narrow, wide };

struct GemmCut {
  Tile tile = Tile::narrow;
  int rows = 8, columns = 64;  // of a tile
  int64_t row_tiles = 1, column_tiles = 1, splits = 1, chunks = 1, chunks_per_split = 1;
  // Sums go through the scratch to finish.h.
  bool finishes = false;
};

struct GemmCall {
  GemmArgs args;
  GemmCut cut;
  Bf16Copies copies;
};

// Above so many rows a tile that keeps few of them reads its weights too often.
constexpr int64_t narrow_rows = 32;

// Whether rows can be fetched four numbers at a time: all borders between taps, positions and batch elements,
// and the memory itself, are multiples of 16 bytes.
inline bool is_fetchable(const Rows& r) {
  return r.c % 4 == 0 && r.position_stride % 4 == 0 && r.batch_stride % 4 == 0 &&
         reinterpret_cast<uintptr_t>(r.x) % 16 == 0;
}

// The same for the copy in bf16, eight at a time.
inline bool is_fetchable(const Rows& r, const uint16_t* copy) {
  return copy != nullptr && r.c % 8 == 0 && r.position_stride % 8 == 0 && r.batch_stride % 8 == 0 &&
         reinterpret_cast<uintptr_t>(copy) % 16 == 0;
}

template <class W>
GemmCut cut_as(Tile tile, const GemmArgs& a, int multiprocessors) {
  const int64_t rows = a.rows.count();
  const bool plain = W::bytes_per_number == 4, normed = a.epilogue.groups > 0;
  GemmCut c;
  c.tile = tile;
  int64_t blocks = multiprocessors;
  if (tile == Tile::narrow) {
    c.columns = W::columns;
    const int most = plain ? 16 : 64;
    while (c.rows < rows && c.rows < most) c.rows *= 2;
    blocks *= 2;  // small ones: two keep a multiprocessor reading
  } else if (plain) {
    c.rows = c.columns = 64;
  } else {
    // Half the tile would be empty for few channels; the larger one pays once it fills the chip.
    c.columns = a.n <= 64 ? 64 : 128;
    c.rows = a.n <= 64 || up(a.n, 128) * up(rows, 128) >= multiprocessors ? 128 : 64;
  }
  c.row_tiles = up(rows, c.rows);
  c.column_tiles = up(a.n, c.columns);
  c.chunks = up(a.rows.k(), W::chunk);
  // Whole chunks each. Wide blocks do not go beyond one for each multiprocessor: a second wave of a few would
  // take as long as the first.
  const int64_t tiles = c.row_tiles * c.column_tiles;
  int64_t splits = tile == Tile::narrow ? up(blocks, tiles) : blocks / tiles;
  // A short product is over before a second kernel could start: it is left whole unless its norm needs one
  // anyway, or wide blocks would be so few that each reads for long.
  const bool fills = tile == Tile::narrow || 2 * tiles >= multiprocessors;
  if (splits < 1 || (!normed && c.chunks <= 8 && fills)) splits = 1;
  c.chunks_per_split = up(c.chunks, splits < c.chunks ? splits : c.chunks);
  c.splits = up(c.chunks, c.chunks_per_split);
  c.finishes = normed || c.splits > 1;
  return c;
}

inline GemmCut cut_as(Tile tile, const GemmArgs& a, int multiprocessors) {
  return a.format == WeightFormat::f32    ? cut_as<F32Weights>(tile, a, multiprocessors)
         : a.format == WeightFormat::bf16 ? cut_as<Bf16Weights>(tile, a, multiprocessors)
                                          : cut_as<I8Weights>(tile, a, multiprocessors);
}

inline GemmCut cut_gemm(const GemmArgs& a, int multiprocessors) {
  const bool wide = a.rows.count() > narrow_rows && is_fetchable(a.rows);
  return cut_as(wide ? Tile::wide : Tile::narrow, a, multiprocessors);
}

// Whatever tile the memory of the rows, which is not known yet, will allow.
inline size_t gemm_scratch(const GemmArgs& a, int multiprocessors) {
  size_t most = 0;
  for (const Tile tile : {Tile::narrow, Tile::wide}) {
    const GemmCut c = cut_as(tile, a, multiprocessors);
    const size_t bytes =
        c.finishes ? static_cast<size_t>(c.splits * a.rows.count() * a.n) * sizeof(float) : 0;
    most = bytes > most ? bytes : most;
  }
  return most;
}

// ---- Gathering rows --------------------------------------------------------------------------------------

// The corner of a row's window. A row past the last lies outside the input everywhere.
struct RowPlace {
  int64_t start;  // of its batch element, floats
  int32_t y, x;
};

TENDON_DEVICE RowPlace place_of(const Rows& r, int64_t row) {
  if (row >= r.count()) return {0, INT32_MIN / 2, 0};
  const int64_t b = row / r.per_batch();
  const auto at = static_cast<uint32_t>(row % r.per_batch()), width = static_cast<uint32_t>(r.out_w);
  return {b * r.batch_stride, static_cast<int32_t>(at / width * r.stride_h - r.pad_h),
          static_cast<int32_t>(at % width * r.stride_w - r.pad_w)};
}

// Where in a window number k lies; k past the last lies outside.
struct Tap {
  int32_t y, x, channel;
};
TENDON_DEVICE Tap tap_of(const Rows& r, int64_t k) {
  if (k >= r.k()) return {INT32_MIN / 2, 0, 0};
  const auto c = static_cast<uint32_t>(r.c), taps_w = static_cast<uint32_t>(r.taps_w);
  const uint32_t tap = static_cast<uint32_t>(k) / c;
  return {static_cast<int32_t>(tap / taps_w), static_cast<int32_t>(tap % taps_w),
          static_cast<int32_t>(static_cast<uint32_t>(k) % c)};
}
TENDON_DEVICE float gathered(const Rows& r, const RowPlace& row, const Tap& tap) {
  const int32_t y = row.y + tap.y, x = row.x + tap.x;
  if (y < 0 || y >= r.h || x < 0 || x >= r.w) return 0;
  return r.x[row.start + (y * r.w + x) * r.position_stride + tap.channel];
}

// ---- What becomes of a sum -------------------------------------------------------------------------------

// Behind the norm: act → · scale + shift → + residual → act_last.
TENDON_DEVICE_CALL void finish(const GemmCall& call, int64_t b, int64_t r, int64_t n, float value) {
  const GemmArgs& a = call.args;
  const Epilogue& e = a.epilogue;
  const int64_t film = b / e.film_div * e.film_stride + n;
  value = reference::apply(e.act, value);
  if (e.scale) value *= e.scale[film];
  if (e.shift) value += e.shift[film];
  if (e.residual)
    value += e.residual[b / e.residual_div * e.residual_batch_stride + r * e.residual_row_stride + n];
  const int64_t at = b * a.out_batch_stride + r * a.out_row_stride + n;
  value = reference::apply(e.act_last, value);
  a.out[at] = value;
  if (call.copies.out != nullptr) call.copies.out[at] = to_bf16(value);
}

// A finished sum, of all k or of a split's.
TENDON_DEVICE void hand_on(const GemmCall& call, int64_t row, int64_t n, int64_t split, float value) {
  const GemmArgs& a = call.args;
  if (a.format == WeightFormat::i8) value *= channel_scales(a.weights, a.n, a.rows.k())[n];
  if (call.cut.finishes) {
    static_cast<float*>(a.scratch)[(split * a.rows.count() + row) * a.n + n] = value;
  } else {
    if (a.epilogue.bias) value += a.epilogue.bias[n];
    finish(call, row / a.rows.per_batch(), row % a.rows.per_batch(), n, value);
  }
}

// ---- Numbers for tensor cores ----------------------------------------------------------------------------

TENDON_DEVICE uint32_t pair_of(float low, float high) {
#ifdef __CUDACC__
  uint32_t both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
#else
  return static_cast<uint32_t>(to_bf16(low)) | static_cast<uint32_t>(to_bf16(high)) << 16;
#endif
}

// Byte i of a word, less 128, exactly: 2²³ + byte is a float whose lowest bits are the byte.
TENDON_DEVICE float byte_of(uint32_t word, int i) {
  const uint32_t bits = 0x4b000000u | (word >> (8 * i) & 0xff);
  float x;
  memcpy(&x, &bits, sizeof x);
  return x - 8388736.0f;
}

// Word i of a lane's fragment, of the 16 bytes that the lane has (format.h); i8 has two fragments in them.
template <class W>
TENDON_DEVICE uint32_t fragment_word(const uint32_t (&words)[4], int half, int i) {
  if constexpr (W::bytes_per_number == 2) {
    return words[i];
  } else {
    const uint32_t word = words[half * 2 + i / 2];
    return pair_of(byte_of(word, i % 2 * 2), byte_of(word, i % 2 * 2 + 1));
  }
}

}  // namespace tendon::cuda
