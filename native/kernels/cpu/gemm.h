// Matrix products with gathered rows and the fused epilogue, around an innermost kernel `K` (gemm_dot.h,
// table_amx.cpp). The order of work:
//   chunk of rows → chunk of columns → blocks of k → panels → sums in a buffer that stays in cache → epilogue
// Pieces of the work are columns, each with its own stretch of weights; of products of many rows they are
// rows. Whatever the pieces, the sums of an output are added in the same order.
#pragma once

#include "kernels/cpu/epilogue.h"
#include "kernels/cpu/format.h"
#include "kernels/cpu/gather.h"

namespace tendon {
namespace {

template <class S, class K>
struct Gemm {
  using Fmt = typename K::Format;
  using A = typename Fmt::A;
  using W = typename Fmt::W;

  static constexpr int64_t many_rows = 1024;  // from here on threads share rows
  static constexpr int64_t some_rows = 64;    // and from here on where every core can hold the weights
  static constexpr int64_t held_weights = 1 << 20;
  static constexpr int64_t narrow = 64;         // columns too few to share
  static constexpr int64_t small_copy = 8192;   // values cheaper to convert twice than to wait for
  static constexpr int64_t streamed_rows = 32;  // up to here a panel is read in one go
  static constexpr int64_t near_bytes = 2048;   // how far ahead of the reads a single pass fetches
  static constexpr int64_t chunk_columns = 128, chunk_row_limit = 480;
  static constexpr int64_t whole_row_limit = 32;  // sums of whole rows stay in cache
  static constexpr int64_t copy_bytes = 1 << 20;  // rows of A held by a thread that has rows of its own
  // Longest k summed in one pass. Products of bytes are at most 255 · 127, so that their int32 sum is safe up
  // to k = 66,311; the sums of several passes are added as f32.
  static constexpr int64_t whole_k = Fmt::quantised ? 65'536 : int64_t{1} << 40;

  enum class Copy { none, own, shared };

  struct Plan {
    int64_t rows, n, k, stride;  // stride of A in place, 0 where it must be copied
    bool by_rows, whole_rows;
    int64_t depth;  // of k in one pass; the same for every piece of the work, so that its numbers are too
    bool streamed;  // a panel after the other, each read in one go
    Copy copy;
    int64_t row_unit, row_chunk;  // row_unit: what threads share; row_chunk: a multiple of it
    int64_t column_unit, column_chunk;
    int64_t lda, ldc;
    int64_t block_bytes;  // one copied chunk of rows with its scales
    int64_t shared_bytes, sums_bytes, part_bytes;
  };

  static Plan plan(const GemmArgs& a) {
    Plan p;
    p.rows = a.rows.count();
    p.n = a.n;
    p.k = a.rows.k();
    p.stride = Fmt::direct ? direct_stride(a.rows) : 0;
    const int64_t groups = a.epilogue.groups, per_batch = a.rows.per_batch();
    // A layer norm's row must be whole; a group norm's batch element.
    p.whole_rows = groups == 1 && per_batch == 1;
    const bool kept = p.n * p.k * static_cast<int64_t>(sizeof(W)) <= held_weights;
    p.streamed = p.rows <= streamed_rows;
    p.depth = !p.streamed                 ? K::k_block
              : p.rows > int64_t{K::rows} ? K::k_stream
                                          : lesser(Fmt::padded(p.k), whole_k);
    p.by_rows = p.whole_rows ? p.rows >= some_rows
                : groups > 0 ? p.rows >= many_rows && a.rows.batch >= 8
                             : p.rows >= many_rows || (kept && p.rows >= some_rows) ||
                                   (p.n <= narrow && p.rows >= streamed_rows);
    p.copy = p.stride > 0 ? Copy::none : p.by_rows || p.rows * p.k <= small_copy ? Copy::own : Copy::shared;
    p.row_unit = groups == 0 || p.whole_rows ? K::rows : per_batch;
    int64_t limit = p.whole_rows ? whole_row_limit : chunk_row_limit;
    if (p.by_rows && p.copy == Copy::own)
      limit = lesser(limit, copy_bytes / (p.k * static_cast<int64_t>(sizeof(A))));
    p.row_chunk = greater(limit / p.row_unit, 1) * p.row_unit;
    if (p.row_chunk > p.rows) p.row_chunk = p.rows;
    p.column_unit = groups > 0 ? p.n / groups : Fmt::columns;
    p.column_chunk = greater(chunk_columns / p.column_unit, 1) * p.column_unit;
    p.lda = p.stride > 0 ? p.stride : Fmt::row_stride(p.k);
    p.ldc = round_up(lesser(p.column_chunk, round_up(p.n, Fmt::columns)), Fmt::columns) + Fmt::columns;
    const int64_t held = round_up(p.row_chunk, K::row_align);
    p.block_bytes =
        p.copy == Copy::none ? 0 : scales_at(p) + round_up(p.row_chunk * int64_t{sizeof(float)}, 64);
    p.shared_bytes = p.copy == Copy::shared ? ceil_div(p.rows, p.row_chunk) * p.block_bytes : 0;
    p.sums_bytes = round_up(held * p.ldc * static_cast<int64_t>(sizeof(float)), 64);
    const int64_t line = p.copy == Copy::none ? 0 : round_up(p.k * static_cast<int64_t>(sizeof(float)), 64);
    p.part_bytes = p.sums_bytes + line + (p.copy == Copy::own ? p.block_bytes : 0);
    return p;
  }

  static int64_t scales_at(const Plan& p) {
    return round_up(round_up(p.row_chunk, K::row_align) * p.lda * static_cast<int64_t>(sizeof(A)), 64);
  }

  static size_t scratch_bytes(const GemmArgs& a, int parts) {
    const Plan p = plan(a);
    return static_cast<size_t>(p.shared_bytes + parts * p.part_bytes);
  }

  static uint8_t* part_scratch(const GemmArgs& a, const Plan& p, Part part) {
    return static_cast<uint8_t*>(a.scratch) + p.shared_bytes + part.member * p.part_bytes;
  }

  // Row `from` of A into its block, in the format of the product. `line` has room for one row.
  static void store_row(const Plan& p, const Rows& rows, int64_t from, float* line, uint8_t* block,
                        int64_t row) {
    A* to = reinterpret_cast<A*>(block) + row * p.lda;
    if constexpr (Fmt::direct) {
      const float* x = view_row(rows, from, to);
      if (x != to) __builtin_memcpy(to, x, static_cast<size_t>(p.k) * sizeof(float));
    } else {
      const float* x = view_row(rows, from, line);
      if constexpr (Fmt::quantised) {
        reinterpret_cast<float*>(block + scales_at(p))[row] = K::quantise_row(x, p.k, Fmt::padded(p.k), to);
      } else {
        K::round_row(x, p.k, Fmt::padded(p.k), to);
      }
    }
  }

  static bool needs_prepare(const GemmArgs& a) { return plan(a).copy == Copy::shared; }

  static void prepare(const GemmArgs& a, Part part) {
    const Plan p = plan(a);
    float* line = reinterpret_cast<float*>(part_scratch(a, p, part) + p.sums_bytes);
    const Range rows = share(p.rows, 1, part);
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      uint8_t* block = static_cast<uint8_t*>(a.scratch) + row / p.row_chunk * p.block_bytes;
      store_row(p, a.rows, row, line, block, row % p.row_chunk);
    }
  }

  // sums = A · Wᵀ for `rows` rows from `x` and whole panels [first, last).
  static void sum(const Plan& p, const A* x, const void* weights, int64_t rows, int64_t first, int64_t last,
                  float* sums) {
    const W* w = static_cast<const W*>(weights);
    const int64_t panel = Fmt::panel_stride(p.k), k_end = Fmt::padded(p.k);
    const int64_t calls = ceil_div(rows, K::rows);
    const int64_t step = round_up(ceil_div(rows, calls), K::row_align);
    const auto block = [&](int64_t at, int64_t k, int64_t count, const W* next) {
      const W* here = w + at * panel + k * Fmt::columns;
      const int64_t bytes = count * Fmt::columns * static_cast<int64_t>(sizeof(W));
      for (int64_t r = 0; r < rows; r += step) {
        // The first two passes over a block of weights fetch half of the next block each; a single pass
        // fetches a little ahead of where it reads.
        const int64_t pass = r / step, fetched = calls == 1 ? bytes : pass < 2 ? bytes / 2 : 0;
        const auto* ahead = reinterpret_cast<const uint8_t*>(calls == 1 || pass > 1 ? here : next);
        K::run(lesser(step, rows - r), count, x + r * p.lda + k, p.lda, here,
               sums + r * p.ldc + (at - first) * Fmt::columns, p.ldc, k > 0,
               ahead + (calls == 1  ? near_bytes
                        : pass == 1 ? bytes / 2
                                    : 0),
               fetched);
      }
    };
    if (p.streamed) {
      for (int64_t at = first; at < last; ++at)
        for (int64_t k = 0; k < k_end; k += p.depth) {
          const int64_t count = lesser(p.depth, k_end - k);
          block(at, k, count, w + at * panel + (k + count) * Fmt::columns);
        }
    } else {
      for (int64_t k = 0; k < k_end; k += p.depth)
        for (int64_t at = first; at < last; ++at)
          block(at, k, lesser(p.depth, k_end - k), w + (at + 1) * panel + k * Fmt::columns);
    }
  }

  // Whole-number sums of int8 weights become values, and the bias is added on the way; column unit by column
  // unit where these are groups, so that an output is the same vector's lane in every piece.
  static void rescale(const GemmArgs& a, const Plan& p, const float* row_scales, int64_t rows, int64_t first,
                      int64_t width, float* sums) {
    const float* scales = Fmt::channel_scales(a.weights, p.n, p.k) + first;
    const float* offsets = Fmt::channel_offsets(a.weights, p.n, p.k) + first;
    const float* bias = a.epilogue.bias ? a.epilogue.bias + first : nullptr;
    const int64_t unit = a.epilogue.groups > 0 ? p.column_unit : width;
    for (int64_t r = 0; r < rows; ++r) {
      const typename S::F row = S::set(Fmt::quantised ? row_scales[r] : 1.0f);
      for (int64_t at = 0; at < width; at += unit) {
        float* line = sums + r * p.ldc + at;
        for_vectors<S>(lesser(unit, width - at), [&](auto load, auto store) {
          const typename S::F scale = S::mul(row, load(scales + at));
          typename S::F value = S::mul(S::add(load(line), load(offsets + at)), scale);
          if (bias) value = S::add(value, load(bias + at));
          store(line, value);
        });
      }
    }
  }

  static void multiply(const GemmArgs& a, Part part) {
    const Plan p = plan(a);
    uint8_t* mine = part_scratch(a, p, part);
    float* sums = reinterpret_cast<float*>(mine);
    float* line = reinterpret_cast<float*>(mine + p.sums_bytes);
    uint8_t* own = mine + p.part_bytes - p.block_bytes;
    const Range rows = p.by_rows ? share(p.rows, p.row_unit, part) : Range{0, p.rows};
    const Range columns = p.by_rows ? Range{0, p.n} : share(p.n, p.column_unit, part);
    if (columns.begin == columns.end || rows.begin == rows.end) return;
    K::begin();
    for (int64_t r = rows.begin; r < rows.end; r += p.row_chunk) {
      const int64_t count = lesser(p.row_chunk, rows.end - r);
      const uint8_t* block = own;
      if (p.copy == Copy::own)
        for (int64_t i = 0; i < count; ++i) store_row(p, a.rows, r + i, line, own, i);
      if (p.copy == Copy::shared)
        block = static_cast<const uint8_t*>(a.scratch) + r / p.row_chunk * p.block_bytes;
      const A* x = reinterpret_cast<const A*>(block);
      if constexpr (Fmt::direct)
        if (p.copy == Copy::none) x = a.rows.x + r * p.stride;
      for (int64_t c = columns.begin; c < columns.end; c += p.column_chunk) {
        const int64_t width = lesser(p.column_chunk, columns.end - c);
        const int64_t first = c / Fmt::columns, last = ceil_div(c + width, Fmt::columns);
        sum(p, x, a.weights, count, first, last, sums);
        // A whole row is finished while it is in the first cache.
        const int64_t step = p.whole_rows ? 1 : count;
        for (int64_t i = 0; i < count; i += step) {
          float* values = sums + i * p.ldc + c - first * Fmt::columns;
          if constexpr (Fmt::scaled)
            rescale(a, p, reinterpret_cast<const float*>(block + (Fmt::quantised ? scales_at(p) : 0)) + i,
                    step, c, width, values);
          Finish<S>::run(a, values, p.ldc, Fmt::scaled, r + i, step, c, width);
        }
      }
    }
    K::end();
  }

  static constexpr GemmKernels kernels() {
    constexpr WeightFormat activations = Fmt::quantised ? WeightFormat::i8
                                         : Fmt::direct  ? WeightFormat::f32
                                                        : WeightFormat::bf16;
    return {true, Fmt::packed_bytes, Fmt::pack, scratch_bytes, needs_prepare, prepare, multiply, activations};
  }
};

}  // namespace
}  // namespace tendon
