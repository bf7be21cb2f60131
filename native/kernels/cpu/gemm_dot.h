// The innermost product by vector multiply-add: `rows` rows of A against one panel of weights over a stretch
// of k, sums held in registers.
#pragma once

#include "kernels/cpu/format.h"

namespace tendon {
namespace {

// One k step over f32 activations, weights widened as they are read.
template <class S, class Format_>
struct WidenStep {
  using Format = Format_;
  using Sum = typename S::F;
  using Weight = typename S::F;
  static Sum zero() { return S::zero(); }
  static Weight weight(const typename Format::W* w) {
    if constexpr (sizeof(*w) == 1) return S::load_i8(w);
    if constexpr (sizeof(*w) == 2) return S::load_bf16(w);
    if constexpr (sizeof(*w) == 4) return S::load(w);
  }
  static Sum add(Sum sum, Weight w, const float* a) { return S::fma(S::set(*a), w, sum); }
  static typename S::F to_float(Sum sum) { return sum; }
};

template <class S, class Step>
struct DotKernel {
  using Format = typename Step::Format;
  using A = typename Format::A;
  using W = typename Format::W;
  static constexpr int rows = S::max_rows, row_align = 1;
  static constexpr int vectors = S::panel_vectors;
  // Of k in one pass: for many rows as much as a panel in the first cache allows, for few rows as little as
  // hides the loads and stores of the sums, so that memory is read evenly.
  static constexpr int64_t k_block = 1024 / static_cast<int64_t>(sizeof(W));
  static constexpr int64_t k_stream = 512 / static_cast<int64_t>(sizeof(W));

  static void begin() {}
  static void end() {}

  // `ahead`: weights that will be wanted next, fetched as the reads go on.
  template <int m>
  static void tile(int64_t k, const A* a, int64_t lda, const W* w, float* c, int64_t ldc, bool add,
                   const char* ahead, int64_t ahead_step) {
    typename Step::Sum sum[m][vectors];
#pragma GCC unroll 16
    for (int r = 0; r < m; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sum[r][v] = Step::zero();
    for (int64_t i = 0; i < k; i += Format::group) {
      S::prefetch(ahead);
      S::prefetch(ahead + 64);
      ahead += ahead_step;
      typename Step::Weight weight[vectors];
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) weight[v] = Step::weight(w + v * S::width * Format::group);
      w += Format::columns * Format::group;
#pragma GCC unroll 16
      for (int r = 0; r < m; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) sum[r][v] = Step::add(sum[r][v], weight[v], a + r * lda + i);
    }
#pragma GCC unroll 16
    for (int r = 0; r < m; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        float* to = c + r * ldc + v * S::width;
        const typename S::F value = Step::to_float(sum[r][v]);
        S::store(to, add ? S::add(value, S::load(to)) : value);
      }
  }

  template <int m>
  static void dispatch(int64_t count, int64_t k, const A* a, int64_t lda, const W* w, float* c, int64_t ldc,
                       bool add, const char* ahead, int64_t ahead_step) {
    if constexpr (m > 1)
      if (count < m) return dispatch<m - 1>(count, k, a, lda, w, c, ldc, add, ahead, ahead_step);
    tile<m>(k, a, lda, w, c, ldc, add, ahead, ahead_step);
  }

  static void run(int64_t count, int64_t k, const A* a, int64_t lda, const W* w, float* c, int64_t ldc,
                  bool add, const void* ahead, int64_t ahead_bytes) {
    const int64_t steps = ceil_div(k, Format::group);
    dispatch<rows>(count, k, a, lda, w, c, ldc, add, static_cast<const char*>(ahead), ahead_bytes / steps);
  }
};

}  // namespace
}  // namespace tendon
