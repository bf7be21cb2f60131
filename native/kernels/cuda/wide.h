// Wide matrix products, of more than 32 rows: a block takes 64 or 128 output channels of 64 or 128 rows, so
// that each weight it fetches serves all of them. Weights and rows arrive in a ring of stages of k that the
// whole block fills by asynchronous copies, rows as f32 and zero where a window leaves its input; one barrier
// a stage both shows what has arrived and frees the stage before. A warp multiplies 64 channels of 32 rows.
// Rows must be fetchable four numbers at a time (product.h, is_fetchable).
#pragma once

#include "kernels/cuda/product.h"

namespace tendon::cuda {

// What a thread fetches of every stage: the same few k of some rows, whose places it keeps.
template <class Number, int block_threads, int block_rows, int stage_k, int pitch>
struct RowFetch {
  static constexpr int numbers = 16 / static_cast<int>(sizeof(Number));
  static constexpr int per_row = stage_k / numbers;  // threads
  static constexpr int mine = block_rows * per_row / block_threads;
  static_assert(block_rows * per_row % block_threads == 0 && block_threads % per_row == 0);
  RowPlace places[mine];

  TENDON_DEVICE void start(const Lane& t, const Rows& r) {
    TENDON_UNROLL
    for (int i = 0; i < mine; ++i) places[i] = place_of(r, t.block_x() * block_rows + row(t, i));
  }
  TENDON_DEVICE static int row(const Lane& t, int i) {
    return t.thread() / per_row + i * (block_threads / per_row);
  }
  // The rows' numbers k … k + stage_k − 1 of x, to (block_rows, pitch).
  TENDON_DEVICE void fetch(const Lane& t, const Rows& r, const Number* all, int64_t k, Number* to) const {
    const int column = t.thread() % per_row * numbers;
    const Tap tap = tap_of(r, k + column);
    TENDON_UNROLL
    for (int i = 0; i < mine; ++i) {
      const int32_t y = places[i].y + tap.y, x = places[i].x + tap.x;
      const bool inside = y >= 0 && y < r.h && x >= 0 && x < r.w;
      const Number* from =
          inside ? all + places[i].start + (y * r.w + x) * r.position_stride + tap.channel : all;
      t.copy_async_or_zero(to + row(t, i) * pitch + column, from, inside);
    }
  }
};

// The stretch of k of a block, in stages.
struct WideStretch {
  int64_t first;  // stage
  int stages;
};
template <class W, int stage_k>
TENDON_DEVICE WideStretch stretch_of(const Lane& t, const GemmCut& cut) {
  constexpr int per_chunk = W::chunk / stage_k;
  static_assert(W::chunk % stage_k == 0);
  const int64_t begin = t.block_z() * cut.chunks_per_split;
  const int64_t left = cut.chunks - begin;
  const int64_t chunks = left < cut.chunks_per_split ? left : cut.chunks_per_split;
  return {begin * per_chunk, static_cast<int>(chunks) * per_chunk};
}

// ---- bf16 and i8: tensor cores ---------------------------------------------------------------------------

// `Number`: what rows come as, float or uint16_t for bf16.
template <class W, class Number, int channel_tiles, int row_tiles>
struct WideTensorKernel {
  using Args = GemmCall;
  static constexpr int threads = 32 * channel_tiles * row_tiles;
  static constexpr int rows = 32 * row_tiles, columns = 64 * channel_tiles;
  static constexpr int stage_k = 32;
  // Rows that lanes read together meet no bank twice, of four as of two bytes.
  static constexpr int pitch = stage_k + 8;
  static constexpr int stages = row_tiles == 2 ? 4 : 3;
  static constexpr int tile_bytes = stage_k * 64 * static_cast<int>(W::bytes_per_number);  // of 64 channels
  static constexpr int weights_bytes = channel_tiles * tile_bytes;
  static constexpr int stage_bytes = weights_bytes + rows * pitch * static_cast<int>(sizeof(Number));
  static constexpr size_t shared_bytes = static_cast<size_t>(stages) * stage_bytes;
  // What a block may have on sm_89 and sm_120, the least of those compiled for.
  static_assert(shared_bytes <= 99 << 10);
  static constexpr int row_groups = 4;  // of 8 rows: a warp's

  TENDON_DEVICE static void run(const Lane& t, const GemmCall& call) {
    const GemmArgs& a = call.args;
    const int lane = t.thread() % 32, warp = t.thread() / 32;
    const int channel_tile = warp % channel_tiles, row_tile = warp / channel_tiles;
    const WideStretch stretch = stretch_of<W, stage_k>(t, call.cut);
    const int64_t tiles = up(a.n, 64), stages_of_k = call.cut.chunks * (W::chunk / stage_k);
    RowFetch<Number, threads, rows, stage_k, pitch> mine;
    mine.start(t, a.rows);
    const auto fetch = [&](int i) {
      if (i < stretch.stages) {
        uint8_t* slot = t.shared() + i % stages * stage_bytes;
        const int64_t stage = stretch.first + i;
        TENDON_UNROLL
        for (int at = t.thread() * 16; at < weights_bytes; at += threads * 16) {
          const int64_t tile = t.block_y() * channel_tiles + at / tile_bytes;
          const bool inside = tile < tiles;  // the last block may have 64 channels too many
          const auto* from = static_cast<const uint8_t*>(a.weights);
          if (inside) from += (tile * stages_of_k + stage) * tile_bytes + at % tile_bytes;
          t.copy_async_or_zero(slot + at, from, inside);
        }
        mine.fetch(t, a.rows, rows_of(call), stage * stage_k,
                   reinterpret_cast<Number*>(slot + weights_bytes));
      }
      t.commit();
    };
    TENDON_UNROLL
    for (int i = 0; i < stages - 1; ++i) fetch(i);
    float sum[4][row_groups][4] = {};
    for (int i = 0; i < stretch.stages; ++i) {
      t.wait<stages - 2>();
      t.sync();
      fetch(i + stages - 1);
      const uint8_t* slot = t.shared() + i % stages * stage_bytes;
      multiply_stage(t, slot + channel_tile * tile_bytes + lane * 16,
                     reinterpret_cast<const Number*>(slot + weights_bytes) +
                         (row_tile * 32 + lane / 4) * pitch + lane % 4 * 2,
                     sum);
    }
    TENDON_UNROLL
    for (int n = 0; n < row_groups; ++n) TENDON_UNROLL
    for (int i = 0; i < 2; ++i) {
      const int64_t row = t.block_x() * rows + row_tile * 32 + n * 8 + lane % 4 * 2 + i;
      if (row >= a.rows.count()) continue;
      TENDON_UNROLL
      for (int m = 0; m < 4; ++m) TENDON_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int64_t channel = t.block_y() * columns + channel_tile * 64 + m * 16 + half * 8 + lane / 4;
        if (channel < a.n) hand_on(call, row, channel, t.block_z(), sum[m][n][half * 2 + i]);
      }
    }
  }

 private:
  TENDON_DEVICE static const Number* rows_of(const GemmCall& call) {
    if constexpr (sizeof(Number) == 2) {
      return call.copies.x;
    } else {
      return call.args.rows.x;
    }
  }
  // Two neighbours as bf16.
  TENDON_DEVICE static uint32_t word_at(const Number* x) {
    if constexpr (sizeof(Number) == 2) {
      return *reinterpret_cast<const uint32_t*>(x);
    } else {
      struct alignas(8) Pair {
        float low, high;
      };
      const Pair pair = *reinterpret_cast<const Pair*>(x);
      return pair_of(pair.low, pair.high);
    }
  }
  // `weights`: the lane's 16 bytes of the first fragment; `x`: the lane's first number of its first row.
  TENDON_DEVICE static void multiply_stage(const Lane& t, const uint8_t* weights, const Number* x,
                                           float (&sum)[4][row_groups][4]) {
    struct alignas(16) Words {
      uint32_t at[4];
    };
    TENDON_UNROLL
    for (int step = 0; step < stage_k / W::step; ++step) {
      Words words[4];
      TENDON_UNROLL
      for (int m = 0; m < 4; ++m) words[m] = *reinterpret_cast<const Words*>(weights + (step * 4 + m) * 512);
      TENDON_UNROLL
      for (int half = 0; half < W::step / 16; ++half) {
        uint32_t words_of[row_groups][2];
        TENDON_UNROLL
        for (int n = 0; n < row_groups; ++n) TENDON_UNROLL
        for (int i = 0; i < 2; ++i)
          words_of[n][i] = word_at(x + n * 8 * pitch + step * W::step + half * 16 + i * 8);
        uint32_t fragments[4][4];
        TENDON_UNROLL
        for (int m = 0; m < 4; ++m) TENDON_UNROLL
        for (int i = 0; i < 4; ++i) fragments[m][i] = fragment_word<W>(words[m].at, half, i);
        t.multiply(sum, fragments, words_of);
      }
    }
  }
};

// ---- f32 -------------------------------------------------------------------------------------------------

// 64 channels of 64 rows: a thread has four rows of eight channels, four in each tile of 32. The sums of a
// stage are added up apart, so that long sums of f32 lose less.
struct WidePlainKernel {
  using Args = GemmCall;
  using W = F32Weights;
  static constexpr int threads = 128, rows = 64, columns = 64;
  static constexpr int stage_k = 16, stages = 4;
  static constexpr int pitch = stage_k + 4;  // four rows of a warp meet no bank twice
  static constexpr int tile_bytes = stage_k * W::columns * static_cast<int>(sizeof(float));
  static constexpr int weights_bytes = 2 * tile_bytes;
  static constexpr int stage_bytes = weights_bytes + rows * pitch * static_cast<int>(sizeof(float));
  static constexpr size_t shared_bytes = static_cast<size_t>(stages) * stage_bytes;
  static_assert(shared_bytes <= 48 << 10);

  TENDON_DEVICE static void run(const Lane& t, const GemmCall& call) {
    struct alignas(16) Four {
      float at[4];
    };
    const GemmArgs& a = call.args;
    const WideStretch stretch = stretch_of<W, stage_k>(t, call.cut);
    const int64_t tiles = up(a.n, W::columns), stages_of_k = call.cut.chunks * (W::chunk / stage_k);
    RowFetch<float, threads, rows, stage_k, pitch> mine;
    mine.start(t, a.rows);
    const auto fetch = [&](int i) {
      if (i < stretch.stages) {
        uint8_t* slot = t.shared() + i % stages * stage_bytes;
        const int64_t stage = stretch.first + i;
        TENDON_UNROLL
        for (int at = t.thread() * 16; at < weights_bytes; at += threads * 16) {
          const int64_t tile = t.block_y() * 2 + at / tile_bytes;
          const bool inside = tile < tiles;
          const auto* from = static_cast<const uint8_t*>(a.weights);
          if (inside) from += (tile * stages_of_k + stage) * tile_bytes + at % tile_bytes;
          t.copy_async_or_zero(slot + at, from, inside);
        }
        mine.fetch(t, a.rows, a.rows.x, stage * stage_k, reinterpret_cast<float*>(slot + weights_bytes));
      }
      t.commit();
    };
    TENDON_UNROLL
    for (int i = 0; i < stages - 1; ++i) fetch(i);
    const int across = t.thread() % 8, down = t.thread() / 8;
    float sum[4][8] = {};
    for (int i = 0; i < stretch.stages; ++i) {
      t.wait<stages - 2>();
      t.sync();
      fetch(i + stages - 1);
      const uint8_t* slot = t.shared() + i % stages * stage_bytes;
      const auto* weights = reinterpret_cast<const float*>(slot) + across * 4;
      const auto* x = reinterpret_cast<const float*>(slot + weights_bytes) + down * pitch;
      float part[4][8] = {};
      TENDON_UNROLL
      for (int k = 0; k < stage_k; k += 4) {
        Four of_rows[4];
        TENDON_UNROLL
        for (int j = 0; j < 4; ++j) of_rows[j] = *reinterpret_cast<const Four*>(x + j * 16 * pitch + k);
        TENDON_UNROLL
        for (int q = 0; q < 4; ++q) TENDON_UNROLL
        for (int tile = 0; tile < 2; ++tile) {
          const Four w = *reinterpret_cast<const Four*>(weights + (tile * stage_k + k + q) * W::columns);
          TENDON_UNROLL
          for (int j = 0; j < 4; ++j) TENDON_UNROLL
          for (int c = 0; c < 4; ++c) part[j][tile * 4 + c] += of_rows[j].at[q] * w.at[c];
        }
      }
      TENDON_UNROLL
      for (int j = 0; j < 4; ++j) TENDON_UNROLL
      for (int c = 0; c < 8; ++c) sum[j][c] += part[j][c];
    }
    TENDON_UNROLL
    for (int j = 0; j < 4; ++j) {
      const int64_t row = t.block_x() * rows + down + j * 16;
      if (row >= a.rows.count()) continue;
      TENDON_UNROLL
      for (int c = 0; c < 8; ++c) {
        const int64_t channel = t.block_y() * columns + c / 4 * W::columns + across * 4 + c % 4;
        if (channel < a.n) hand_on(call, row, channel, t.block_z(), sum[j][c]);
      }
    }
  }
};

}  // namespace tendon::cuda
