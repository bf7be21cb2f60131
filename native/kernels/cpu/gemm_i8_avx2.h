// Products of int8 activations on AVX2, four by four: by AVX-VNNI's dot product where its bytes are unsigned
// ones, moved by 128, and without it by products of sizes that take the signs along. Exact both: no sum of
// two products of numbers within ±127 leaves 16 bits.
#pragma once

#include "kernels/cpu/gemm_dot.h"
#include "kernels/cpu/simd_avx2.h"

namespace tendon {
namespace {

// A: int8_t, or uint8_t for round(x / scale) + 128; one scale per row.
template <class A>
using I8Format256 = Format<Avx2, A, int8_t, 16, 4, 8, true>;

template <class A>
struct I8Rows256 {
  static constexpr bool moved = I8Format256<A>::moved;

  // Returns the scale. NaN makes the scale NaN, so that it reaches the result.
  static float quantise_row(const float* x, int64_t k, int64_t padded, A* out) {
    const auto at = [&](int64_t i) {
      return k - i >= 8 ? Avx2::load(x + i) : k > i ? Avx2::load(x + i, k - i) : Avx2::zero();
    };
    __m256 most = Avx2::zero(), poison = Avx2::zero();
    for (int64_t i = 0; i < k; i += 8) {
      const __m256 v = at(i);
      most = Avx2::max(Avx2::abs(v), most);
      poison = Avx2::fma(v, Avx2::zero(), poison);
    }
    const Quantised quantised(Avx2::largest(most));
    const __m256 inverse = Avx2::set(quantised.inverse);
    for (int64_t i = 0; i < padded; i += 8) {
      const __m256i q =
          _mm256_add_epi32(_mm256_cvtps_epi32(Avx2::mul(at(i), inverse)), _mm256_set1_epi32(moved ? 128 : 0));
      const __m128i pairs = _mm_packs_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
      const __m128i bytes = moved ? _mm_packus_epi16(pairs, pairs) : _mm_packs_epi16(pairs, pairs);
      _mm_storel_epi64(reinterpret_cast<__m128i*>(out + i), bytes);
    }
    return quantised.scale + Avx2::sum(poison);
  }
};

template <class A>
struct I8Step256 {
  using Format = I8Format256<A>;
  using Sum = __m256i;
  using Weight = __m256i;
  static Sum zero() { return _mm256_setzero_si256(); }
  static Weight weight(const int8_t* w) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w)); }
  static __m256 to_float(Sum sum) { return _mm256_cvtepi32_ps(sum); }
  static __m256i quad(const A* a) {
    int32_t four;
    __builtin_memcpy(&four, a, sizeof four);
    return _mm256_set1_epi32(four);
  }
};

struct I8SignStep : I8Step256<int8_t> {
  static Sum add(Sum sum, Weight w, const int8_t* a) {
    const __m256i four = quad(a);
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(four), _mm256_sign_epi8(w, four));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};
struct I8SignKernel : DotKernel<Avx2, I8SignStep>, I8Rows256<int8_t> {};

#ifdef __AVXVNNI__
struct I8VnniStep : I8Step256<uint8_t> {
  static Sum add(Sum sum, Weight w, const uint8_t* a) { return _mm256_dpbusd_avx_epi32(sum, quad(a), w); }
};
struct I8VnniKernel : DotKernel<Avx2, I8VnniStep>, I8Rows256<uint8_t> {};
#endif

}  // namespace
}  // namespace tendon
