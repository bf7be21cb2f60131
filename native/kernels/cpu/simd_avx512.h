// The vector operations that the shared kernels are written in, on AVX-512 (F, BW, DQ, VL). Internal linkage:
// every file that includes it is compiled for its own instruction set and nothing may leak into another.
#pragma once

// GCC 12's own AVX-512 headers read a variable before setting it (bug 105593, fixed in 13).
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

#include <cstdint>

namespace tendon {
namespace {

struct Avx512 {
  using F = __m512;
  using Mask = __mmask16;
  static constexpr int width = 16;
  static constexpr int max_rows = 12;      // rows × panel_vectors accumulators leave registers for operands
  static constexpr int panel_vectors = 2;  // vectors per panel of weights

  static __mmask16 first(int64_t n) { return static_cast<__mmask16>((1u << n) - 1); }
  static F zero() { return _mm512_setzero_ps(); }
  static F set(float x) { return _mm512_set1_ps(x); }
  static F load(const float* p) { return _mm512_loadu_ps(p); }
  static F load(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
  static F load_bf16(const uint16_t* p) {
    const __m512i x = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    return _mm512_castsi512_ps(_mm512_slli_epi32(x, 16));
  }
  static F load_i8(const int8_t* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
  static void store(float* p, F x) { _mm512_storeu_ps(p, x); }
  static void store(float* p, F x, int64_t n) { _mm512_mask_storeu_ps(p, first(n), x); }

  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F div(F a, F b) { return _mm512_div_ps(a, b); }
  // a / b to two units in the last place for b in [1, 2^64]: division is the slowest thing these units do.
  static F quotient(F a, F b) {
    F r = _mm512_rcp14_ps(b);
    r = _mm512_fmadd_ps(_mm512_fnmadd_ps(b, r, set(1)), r, r);
    return _mm512_mul_ps(a, r);
  }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }    // a·b + c
  static F fnma(F a, F b, F c) { return _mm512_fnmadd_ps(a, b, c); }  // c − a·b
  // A NaN in b comes through; in a it does not.
  static F min(F a, F b) { return _mm512_min_ps(a, b); }
  static F max(F a, F b) { return _mm512_max_ps(a, b); }
  static F sqrt(F a) { return _mm512_sqrt_ps(a); }
  static F abs(F a) { return _mm512_abs_ps(a); }
  static F neg(F a) { return _mm512_xor_ps(a, set(-0.0f)); }
  static F round(F a) { return _mm512_roundscale_ps(a, 0x08); }
  static F copysign(F a, F sign) {
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(
        _mm512_set1_epi32(INT32_MIN), _mm512_castps_si512(sign), _mm512_castps_si512(a), 0xca));
  }
  static F scale2(F x, F k) { return _mm512_scalef_ps(x, k); }  // x·2^k, k whole
  // x = mantissa·2^exponent with the mantissa in [√½, √2), x positive and normal.
  static void split2(F x, F& mantissa, F& exponent) {
    exponent = _mm512_getexp_ps(_mm512_mul_ps(x, set(1.41421356f)));
    mantissa = _mm512_scalef_ps(x, neg(exponent));
  }
  static Mask less(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
  static Mask is_nan(F a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q); }
  static F select(Mask m, F yes, F no) { return _mm512_mask_blend_ps(m, no, yes); }
  static float sum(F x) { return _mm512_reduce_add_ps(x); }
  static float largest(F x) { return _mm512_reduce_max_ps(x); }
  // Of each eight neighbouring lanes, in all of them.
  static F sum8(F x) {
    x = add(x, _mm512_shuffle_f32x4(x, x, 0xb1));
    x = add(x, _mm512_permute_ps(x, 0x4e));
    return add(x, _mm512_permute_ps(x, 0xb1));
  }
  static F largest8(F x) {
    x = max(x, _mm512_shuffle_f32x4(x, x, 0xb1));
    x = max(x, _mm512_permute_ps(x, 0x4e));
    return max(x, _mm512_permute_ps(x, 0xb1));
  }
  static void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
};

}  // namespace
}  // namespace tendon
