// Narrow matrix products, of up to 64 rows: a block of four warps takes 64 output channels (f32: 32) of a
// tile of rows over a stretch of k. Weights stream past once, through a ring of asynchronous copies that each
// lane makes for itself; activations are gathered a chunk of k at a time, the next chunk's already on the way
// while this one is multiplied. The warps share a chunk by k and add up their sums through shared memory.
#pragma once

#include "kernels/cuda/product.h"

namespace tendon::cuda {

constexpr int gemm_threads = 128;
constexpr int gemm_warps = gemm_threads / 32;
constexpr int gemm_stages = 4;  // fetches of a warp in flight
constexpr int gemm_tiles = 4;   // of 16 channels

// Adds up the warps' sums [warp][row][column] and hands each on.
template <class W>
TENDON_DEVICE void hand_on_all(const Lane& t, const GemmCall& call, const float* sums, int rows, int pitch) {
  for (int i = t.thread(); i < rows * W::columns; i += gemm_threads) {
    const int64_t row = t.block_x() * rows + i / W::columns;
    const int64_t n = t.block_y() * W::columns + i % W::columns;
    if (row >= call.args.rows.count() || n >= call.args.n) continue;
    float value = 0;
    for (int warp = 0; warp < gemm_warps; ++warp)
      value += sums[(warp * rows + i / W::columns) * pitch + i % W::columns];
    hand_on(call, row, n, t.block_z(), value);
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
    if (t.thread() < rows) places[t.thread()] = place_of(a.rows, t.block_x() * rows + t.thread());
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
                           (t.block_y() * call.cut.chunks * W::chunk + warp * share) * W::columns + lane;
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
      // A chunk's sums apart: long sums of f32 lose less.
      TENDON_UNROLL
      for (int row = 0; row < rows; ++row) {
        float part = 0;
        TENDON_UNROLL
        for (int k = 0; k < share; ++k) part += x[row * pitch + k] * w[k];
        sum[row] += part;
      }
      if (chunk + 1 < end) stage(staged + (chunk + 1 - begin) % 2 * rows * pitch);
      t.sync();
    }
    for (int row = 0; row < rows; ++row) staged[(warp * rows + row) * (W::columns + 1) + lane] = sum[row];
    t.sync();
    hand_on_all<W>(t, call, staged, rows, W::columns + 1);
  }
};

// ---- bf16 and i8: tensor cores ---------------------------------------------------------------------------

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
                             ((t.block_y() * call.cut.chunks + begin) * steps + warp) * slot_stride +
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

    if (t.thread() < rows) places[t.thread()] = place_of(a.rows, t.block_x() * rows + t.thread());
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
    hand_on_all<W>(t, call, sums, rows, sum_pitch);
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
      for (int i = 0; i < 4; ++i) weights[m][i] = fragment_word<W>(words[m].at, half, i);
      t.multiply(sum, weights, rows_of);
    }
  }
};

}  // namespace tendon::cuda
