// Products of int8 activations on AVX-512, four by four (VNNI), and the quantisation of rows, which the tile
// kernels share. For files compiled with that extension.
#pragma once

#include "kernels/cpu/gemm_dot.h"
#include "kernels/cpu/simd_avx512.h"

namespace tendon {
namespace {

// Activations as round(x / scale) + 128 in a byte, one scale per row.
using I8Format = Format<Avx512, uint8_t, int8_t, 32, 4, 64, true>;

struct I8Rows {
  // round(x / scale) + 128; returns the scale. NaN makes the scale NaN, so that it reaches the result.
  static float quantise_row(const float* x, int64_t k, int64_t padded, uint8_t* out) {
    __m512 most = _mm512_setzero_ps(), poison = _mm512_setzero_ps();
    for (int64_t i = 0; i < k; i += 16) {
      const __m512 v = k - i >= 16 ? _mm512_loadu_ps(x + i) : Avx512::load(x + i, k - i);
      most = _mm512_max_ps(_mm512_abs_ps(v), most);
      poison = _mm512_fmadd_ps(v, _mm512_setzero_ps(), poison);
    }
    const Quantised quantised(_mm512_reduce_max_ps(most));
    const __m512 inverse = _mm512_set1_ps(quantised.inverse);
    // Past the end stands what a zero would be; the weights there are zeros.
    for (int64_t i = 0; i < padded; i += 16) {
      const __m512 v = k - i >= 16 ? _mm512_loadu_ps(x + i)
                       : k > i     ? Avx512::load(x + i, k - i)
                                   : _mm512_setzero_ps();
      const __m512i q = _mm512_cvtps_epi32(_mm512_mul_ps(v, inverse));
      const __m512i moved = _mm512_add_epi32(q, _mm512_set1_epi32(128));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), _mm512_cvtusepi32_epi8(moved));
    }
    return quantised.scale + _mm512_reduce_add_ps(poison);
  }
};

struct I8QuadStep {
  using Format = I8Format;
  using Sum = __m512i;
  using Weight = __m512i;
  static Sum zero() { return _mm512_setzero_si512(); }
  static Weight weight(const int8_t* w) { return _mm512_loadu_si512(w); }
  static Sum add(Sum sum, Weight w, const uint8_t* a) {
    int32_t quad;
    __builtin_memcpy(&quad, a, sizeof quad);
    return _mm512_dpbusd_epi32(sum, _mm512_set1_epi32(quad), w);
  }
  static __m512 to_float(Sum sum) { return _mm512_cvtepi32_ps(sum); }
};

struct I8DotKernel : DotKernel<Avx512, I8QuadStep>, I8Rows {};

}  // namespace
}  // namespace tendon
