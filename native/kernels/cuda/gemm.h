// Matrix products over gathered rows (kernels.h, Rows), which makes convolutions implicit: a block of four
// warps takes 64 output channels (f32: 32) of a tile of rows over a stretch of k. Weights stream past once,
// through a ring of asynchronous copies that each lane makes for itself; activations are gathered a chunk of
// k at a time, the next chunk's already on the way while this one is multiplied. The warps share a chunk by k
// and add up their sums through shared memory.
//
// Policies multiply few rows, so their products are bound by reading weights: where channels and rows make
// too few blocks to keep the chip reading, k is split over blocks too, whose sums wait in the scratch for
// FinishKernel. It also does what needs a whole group: group norm.
#pragma once

#include <cmath>

#include "kernels/cuda/format.h"
#include "kernels/cuda/lane.h"
#include "kernels/cuda/norm.h"
#include "kernels/kernels.h"
#include "kernels/reference/functions.h"

namespace tendon::cuda {

constexpr int gemm_threads = 128;
constexpr int gemm_warps = gemm_threads / 32;
constexpr int gemm_stages = 4;  // fetches of a warp in flight
constexpr int gemm_tiles = 4;   // of 16 channels

// ---- How a product is cut --------------------------------------------------------------------------------

struct GemmCut {
  int rows = 8;  // of a tile
  int64_t row_tiles = 1, column_tiles = 1, splits = 1, chunks = 1, chunks_per_split = 1;
  // Sums go through the scratch to FinishKernel.
  bool finishes = false;
};

struct GemmCall {
  GemmArgs args;
  GemmCut cut;
};

template <class W>
GemmCut cut_gemm(const GemmArgs& a, int multiprocessors) {
  const int64_t rows = a.rows.count();
  GemmCut c;
  const int most = W::bytes_per_number == 4 ? 16 : 64;
  while (c.rows < rows && c.rows < most) c.rows *= 2;
  c.row_tiles = up(rows, c.rows);
  c.column_tiles = up(a.n, W::columns);
  c.chunks = up(a.rows.k(), W::chunk);
  // Two blocks for each multiprocessor, whole chunks each. A short product is over before a second kernel
  // could start: it is left whole unless its norm needs one anyway.
  const bool normed = a.epilogue.groups > 0;
  int64_t splits = up(2 * multiprocessors, c.row_tiles * c.column_tiles);
  if (!normed && c.chunks <= 8) splits = 1;
  c.chunks_per_split = up(c.chunks, splits < c.chunks ? splits : c.chunks);
  c.splits = up(c.chunks, c.chunks_per_split);
  c.finishes = normed || c.splits > 1;
  return c;
}

inline GemmCut cut_gemm(const GemmArgs& a, int multiprocessors) {
  return a.format == WeightFormat::f32    ? cut_gemm<F32Weights>(a, multiprocessors)
         : a.format == WeightFormat::bf16 ? cut_gemm<Bf16Weights>(a, multiprocessors)
                                          : cut_gemm<I8Weights>(a, multiprocessors);
}

inline size_t gemm_scratch(const GemmArgs& a, int multiprocessors) {
  const GemmCut c = cut_gemm(a, multiprocessors);
  return c.finishes ? static_cast<size_t>(c.splits * a.rows.count() * a.n) * sizeof(float) : 0;
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
TENDON_DEVICE void finish(const GemmArgs& a, int64_t b, int64_t r, int64_t n, float value) {
  const Epilogue& e = a.epilogue;
  const int64_t film = b / e.film_div * e.film_stride + n;
  value = reference::apply(e.act, value);
  if (e.scale) value *= e.scale[film];
  if (e.shift) value += e.shift[film];
  if (e.residual)
    value += e.residual[b / e.residual_div * e.residual_batch_stride + r * e.residual_row_stride + n];
  a.out[b * a.out_batch_stride + r * a.out_row_stride + n] = reference::apply(e.act_last, value);
}

// Adds up the warps' sums [warp][row][column] and hands each on.
template <class W>
TENDON_DEVICE void hand_on(const Lane& t, const GemmCall& call, const float* sums, int rows, int pitch) {
  const GemmArgs& a = call.args;
  const float* scales = channel_scales(a.weights, a.n, a.rows.k());
  for (int i = t.thread(); i < rows * W::columns; i += gemm_threads) {
    const int64_t row = t.block_y() * rows + i / W::columns;
    const int64_t n = t.block_x() * W::columns + i % W::columns;
    if (row >= a.rows.count() || n >= a.n) continue;
    float value = 0;
    for (int warp = 0; warp < gemm_warps; ++warp)
      value += sums[(warp * rows + i / W::columns) * pitch + i % W::columns];
    if (W::bytes_per_number == 1) value *= scales[n];
    if (call.cut.finishes) {
      static_cast<float*>(a.scratch)[(t.block_z() * a.rows.count() + row) * a.n + n] = value;
    } else {
      if (a.epilogue.bias) value += a.epilogue.bias[n];
      finish(a, row / a.rows.per_batch(), row % a.rows.per_batch(), n, value);
    }
  }
}

// ---- f32: a lane per channel -----------------------------------------------------------------------------

template <int rows>
struct PlainGemmKernel {
  using Args = GemmCall;
  using W = F32Weights;
  static constexpr int pitch = W::chunk + 4;
  static constexpr size_t staged_bytes = 2 * rows * pitch * sizeof(float);
  static constexpr size_t sum_bytes = gemm_warps * rows * (W::columns + 1) * sizeof(float);
  static constexpr size_t shared_bytes =
      (staged_bytes > sum_bytes ? staged_bytes : sum_bytes) + rows * sizeof(RowPlace);

  TENDON_DEVICE static void run(const Lane& t, const GemmCall& call) {
    const GemmArgs& a = call.args;
    auto* staged = reinterpret_cast<float*>(t.shared());
    auto* places = reinterpret_cast<RowPlace*>(t.shared() + shared_bytes - rows * sizeof(RowPlace));
    const int lane = t.thread() % 32, warp = t.thread() / 32;
    if (t.thread() < rows) places[t.thread()] = place_of(a.rows, t.block_y() * rows + t.thread());
    t.sync();

    // Two threads share a column of the chunk, each taking every second row.
    constexpr int mine = rows / 2;
    const int column = t.thread() % W::chunk, first_row = t.thread() / W::chunk;
    float held[mine];
    const auto gather = [&](int64_t chunk) {
      const Tap tap = tap_of(a.rows, chunk * W::chunk + column);
      TENDON_UNROLL
      for (int i = 0; i < mine; ++i) held[i] = gathered(a.rows, places[first_row + 2 * i], tap);
    };
    const auto stage = [&](float* to) {
      TENDON_UNROLL
      for (int i = 0; i < mine; ++i) to[(first_row + 2 * i) * pitch + column] = held[i];
    };

    const int64_t begin = t.block_z() * call.cut.chunks_per_split;
    const int64_t end = begin + call.cut.chunks_per_split < call.cut.chunks
                            ? begin + call.cut.chunks_per_split
                            : call.cut.chunks;
    constexpr int share = W::chunk / gemm_warps;  // of a warp, in k
    const float* weights = static_cast<const float*>(a.weights) +
                           (t.block_x() * call.cut.chunks * W::chunk + warp * share) * W::columns + lane;
    float sum[rows] = {};
    gather(begin);
    stage(staged);
    t.sync();
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      const float* x = staged + (chunk - begin) % 2 * rows * pitch + warp * share;
      if (chunk + 1 < end) gather(chunk + 1);
      float w[share];
      TENDON_UNROLL
      for (int k = 0; k < share; ++k) w[k] = weights[(chunk * W::chunk + k) * W::columns];
      TENDON_UNROLL
      for (int k = 0; k < share; ++k) TENDON_UNROLL
      for (int row = 0; row < rows; ++row) sum[row] += x[row * pitch + k] * w[k];
      if (chunk + 1 < end) stage(staged + (chunk + 1 - begin) % 2 * rows * pitch);
      t.sync();
    }
    for (int row = 0; row < rows; ++row) staged[(warp * rows + row) * (W::columns + 1) + lane] = sum[row];
    t.sync();
    hand_on<W>(t, call, staged, rows, W::columns + 1);
  }
};

// ---- bf16 and i8: tensor cores ---------------------------------------------------------------------------

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

template <class W, int row_groups>
struct TensorGemmKernel {
  using Args = GemmCall;
  static constexpr int rows = 8 * row_groups;
  // Rows of the chunk are a 16th of the banks apart, so that a fragment's eight rows meet no bank twice.
  static constexpr int pitch = W::chunk + 8;
  static constexpr int fragment_bytes = 32 * 16;  // what a warp fetches of one tile
  static constexpr int slot_stride = gemm_tiles * fragment_bytes;
  static constexpr size_t ring_bytes = gemm_warps * gemm_stages * slot_stride;
  static constexpr size_t staged_bytes = 2 * rows * pitch * sizeof(uint16_t);
  static constexpr int sum_pitch = W::columns + 1;
  static constexpr size_t sum_bytes = gemm_warps * rows * sum_pitch * sizeof(float);
  static constexpr size_t work_bytes = ring_bytes + staged_bytes;
  static constexpr size_t shared_bytes =
      (work_bytes > sum_bytes ? work_bytes : sum_bytes) + rows * sizeof(RowPlace);
  static_assert(W::chunk == gemm_threads, "a thread gathers one column of the chunk");

  TENDON_DEVICE static void run(const Lane& t, const GemmCall& call) {
    const GemmArgs& a = call.args;
    const int lane = t.thread() % 32, warp = t.thread() / 32;
    auto* staged = reinterpret_cast<uint16_t*>(t.shared() + ring_bytes);
    auto* places = reinterpret_cast<RowPlace*>(t.shared() + shared_bytes - rows * sizeof(RowPlace));
    const int64_t begin = t.block_z() * call.cut.chunks_per_split;
    const int64_t end = begin + call.cut.chunks_per_split < call.cut.chunks
                            ? begin + call.cut.chunks_per_split
                            : call.cut.chunks;

    // The warps take the steps of a chunk by turns.
    constexpr int steps = W::chunk / W::step, turns = steps / gemm_warps;
    const int fetches = static_cast<int>(end - begin) * turns;
    const uint8_t* weights = static_cast<const uint8_t*>(a.weights) +
                             ((t.block_x() * call.cut.chunks + begin) * steps + warp) * slot_stride +
                             lane * 16;
    uint8_t* ring = t.shared() + warp * gemm_stages * slot_stride + lane * 16;
    const auto fetch = [&](int i) {
      if (i < fetches) {
        const uint8_t* from =
            weights + (static_cast<int64_t>(i / turns) * steps + i % turns * gemm_warps) * slot_stride;
        uint8_t* to = ring + i % gemm_stages * slot_stride;
        TENDON_UNROLL
        for (int m = 0; m < gemm_tiles; ++m) t.copy_async(to + m * fragment_bytes, from + m * fragment_bytes);
      }
      t.commit();
    };
    TENDON_UNROLL
    for (int i = 0; i < gemm_stages - 1; ++i) fetch(i);

    if (t.thread() < rows) places[t.thread()] = place_of(a.rows, t.block_y() * rows + t.thread());
    t.sync();
    uint16_t held[rows];
    const auto gather = [&](int64_t chunk) {
      const Tap tap = tap_of(a.rows, chunk * W::chunk + t.thread());
      TENDON_UNROLL
      for (int row = 0; row < rows; ++row) held[row] = to_bf16(gathered(a.rows, places[row], tap));
    };
    const auto stage = [&](uint16_t* to) {
      TENDON_UNROLL
      for (int row = 0; row < rows; ++row) to[row * pitch + t.thread()] = held[row];
    };

    float sum[gemm_tiles][row_groups][4] = {};
    gather(begin);
    stage(staged);
    t.sync();
    int fetched = 0;
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      const uint16_t* x = staged + (chunk - begin) % 2 * rows * pitch;
      if (chunk + 1 < end) gather(chunk + 1);
      TENDON_UNROLL
      for (int turn = 0; turn < turns; ++turn, ++fetched) {
        t.wait<gemm_stages - 2>();
        const uint8_t* slot = ring + fetched % gemm_stages * slot_stride;
        const int k = (turn * gemm_warps + warp) * W::step;
        multiply_step(t, slot, x + k, lane, sum);
        fetch(fetched + gemm_stages - 1);
      }
      if (chunk + 1 < end) stage(staged + (chunk + 1 - begin) % 2 * rows * pitch);
      t.sync();
    }

    auto* sums = reinterpret_cast<float*>(t.shared());
    TENDON_UNROLL
    for (int m = 0; m < gemm_tiles; ++m) TENDON_UNROLL
    for (int n = 0; n < row_groups; ++n) TENDON_UNROLL
    for (int i = 0; i < 4; ++i)
      sums[(warp * rows + n * 8 + lane % 4 * 2 + i % 2) * sum_pitch + m * 16 + lane / 4 + i / 2 * 8] =
          sum[m][n][i];
    t.sync();
    hand_on<W>(t, call, sums, rows, sum_pitch);
  }

  TENDON_DEVICE static void multiply_step(const Lane& t, const uint8_t* slot, const uint16_t* x, int lane,
                                          float (&sum)[gemm_tiles][row_groups][4]) {
    struct alignas(16) Words {
      uint32_t at[4];
    };
    Words words[gemm_tiles];
    TENDON_UNROLL
    for (int m = 0; m < gemm_tiles; ++m)
      words[m] = *reinterpret_cast<const Words*>(slot + m * fragment_bytes);
    TENDON_UNROLL
    for (int half = 0; half < W::step / 16; ++half) {
      uint32_t rows_of[row_groups][2];
      TENDON_UNROLL
      for (int n = 0; n < row_groups; ++n) TENDON_UNROLL
      for (int i = 0; i < 2; ++i)
        rows_of[n][i] = *reinterpret_cast<const uint32_t*>(x + (n * 8 + lane / 4) * pitch + half * 16 +
                                                           lane % 4 * 2 + i * 8);
      uint32_t weights[gemm_tiles][4];
      TENDON_UNROLL
      for (int m = 0; m < gemm_tiles; ++m) TENDON_UNROLL
      for (int i = 0; i < 4; ++i) {
        if constexpr (W::bytes_per_number == 2) {
          weights[m][i] = words[m].at[i];
        } else {
          const uint32_t word = words[m].at[half * 2 + i / 2];
          weights[m][i] = pair_of(byte_of(word, i % 2 * 2), byte_of(word, i % 2 * 2 + 1));
        }
      }
      t.multiply(sum, weights, rows_of);
    }
  }
};

// ---- Sums of split products, and group norm --------------------------------------------------------------

// A thread per number, for products without a norm.
struct FinishKernel {
  using Args = GemmCall;
  TENDON_DEVICE static void run(const Lane& t, const GemmCall& call) {
    const GemmArgs& a = call.args;
    const int64_t count = a.rows.count() * a.n, i = t.block_x() * group_threads + t.thread();
    if (i >= count) return;
    const float* sums = static_cast<const float*>(a.scratch);
    float value = 0;
    for (int64_t split = 0; split < call.cut.splits; ++split) value += sums[split * count + i];
    const int64_t row = i / a.n, n = i % a.n;
    if (a.epilogue.bias) value += a.epilogue.bias[n];
    finish(a, row / a.rows.per_batch(), row % a.rows.per_batch(), n, value);
  }
};

// A block per batch element and group, with threads for four numbers each as far as there are so many. A
// thread adds up its numbers once, four at a time so that their loads wait together, and keeps them where the
// first split's lay, which no other thread reads.
constexpr int finish_held = 4, most_finish_threads = 1024;

inline int finish_threads(const GemmArgs& a) {
  const int64_t count = a.rows.per_batch() * (a.n / a.epilogue.groups);
  const int64_t threads = up(up(count, finish_held), 32) * 32;
  return static_cast<int>(threads < most_finish_threads ? threads : most_finish_threads);
}

struct FinishNormKernel {
  using Args = GemmCall;
  TENDON_DEVICE static void run(const Lane& t, const GemmCall& call) {
    const GemmArgs& a = call.args;
    const Epilogue& e = a.epilogue;
    auto* slots = reinterpret_cast<float*>(t.shared());
    auto* sums = static_cast<float*>(a.scratch);
    const auto width = static_cast<uint32_t>(a.n / e.groups);
    const int64_t b = t.block_x() / e.groups, first = t.block_x() % e.groups * width;
    const int64_t positions = a.rows.per_batch(), all = a.rows.count() * a.n;
    const auto count = static_cast<uint32_t>(positions) * width;
    const auto at = [&](uint32_t i) { return (b * positions + i / width) * a.n + first + i % width; };
    const auto threads = static_cast<uint32_t>(t.threads());
    float mean = 0, square = 0;
    for (uint32_t i = t.thread(); i < count; i += finish_held * threads) {
      float held[finish_held] = {};
      for (int64_t split = 0; split < call.cut.splits; ++split) {
        TENDON_UNROLL
        for (uint32_t j = 0; j < finish_held; ++j)
          if (i + j * threads < count) held[j] += sums[split * all + at(i + j * threads)];
      }
      TENDON_UNROLL
      for (uint32_t j = 0; j < finish_held; ++j) {
        if (i + j * threads >= count) break;
        if (e.bias) held[j] += e.bias[first + (i + j * threads) % width];
        sums[at(i + j * threads)] = held[j];
        mean += held[j];
      }
    }
    mean = block_sum(t, mean, slots) / static_cast<float>(count);
    for (uint32_t i = t.thread(); i < count; i += threads)
      square += (sums[at(i)] - mean) * (sums[at(i)] - mean);
    square = block_sum(t, square, slots);
    const float inverse = 1.0f / std::sqrt(square / static_cast<float>(count) + e.eps);
    for (uint32_t i = t.thread(); i < count; i += threads) {
      const int64_t n = first + i % width;
      float value = (sums[at(i)] - mean) * inverse;
      if (e.norm_weight) value *= e.norm_weight[n];
      if (e.norm_bias) value += e.norm_bias[n];
      finish(a, b, i / width, n, value);
    }
  }
};

}  // namespace tendon::cuda
