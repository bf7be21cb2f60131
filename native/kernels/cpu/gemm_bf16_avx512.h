// Products of bf16 activations on AVX-512, pair by pair (BF16), and the rounding of rows, which the tile
// kernels share. For files compiled with that extension.
#pragma once

#include "kernels/cpu/gemm_dot.h"
#include "kernels/cpu/simd_avx512.h"

namespace tendon {
namespace {

using Bf16Format = Format<Avx512, uint16_t, uint16_t, 32, 2, 32, false>;

struct Bf16Rows {
  static void round_row(const float* x, int64_t k, int64_t padded, uint16_t* out) {
    int64_t i = 0;
    for (; i + 32 <= k; i += 32) {
      const __m512bh pair = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + i + 16), _mm512_loadu_ps(x + i));
      _mm512_storeu_si512(out + i, reinterpret_cast<__m512i>(pair));
    }
    if (i < padded) {
      const int64_t low = k - i < 16 ? k - i : 16, high = k - i - low;
      const __m512 first = Avx512::load(x + i, low), second = Avx512::load(x + i + low, high);
      _mm512_storeu_si512(out + i, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(second, first)));
    }
  }
};

struct Bf16PairStep {
  using Format = Bf16Format;
  using Sum = __m512;
  using Weight = __m512i;
  static Sum zero() { return _mm512_setzero_ps(); }
  static Weight weight(const uint16_t* w) { return _mm512_loadu_si512(w); }
  static Sum add(Sum sum, Weight w, const uint16_t* a) {
    int32_t pair;
    __builtin_memcpy(&pair, a, sizeof pair);
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(w),
                            reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair)));
  }
  static __m512 to_float(Sum sum) { return sum; }
};

struct Bf16DotKernel : DotKernel<Avx512, Bf16PairStep>, Bf16Rows {};

}  // namespace
}  // namespace tendon
