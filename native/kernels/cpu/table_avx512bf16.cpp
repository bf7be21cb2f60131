// The products of reduced weights by AVX-512's own dot products: bf16 (BF16) and int8 (VNNI).
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/gemm_bf16_avx512.h"
#include "kernels/cpu/tables.h"

namespace tendon {

namespace {

template <class Sum, Sum dot(Sum), int multiplies>
double peak_dot(int64_t rounds, Sum zero) {
  constexpr int chains = 12;
  Sum sum[chains];
  for (Sum& s : sum) s = zero;
  for (int64_t i = 0; i < rounds; ++i)
    for (Sum& s : sum) s = dot(s);
  for (Sum& s : sum) asm volatile("" ::"v"(s));
  return 2.0 * chains * multiplies * static_cast<double>(rounds);
}

__m512 dot_bf16(__m512 sum) {
  const auto ones = reinterpret_cast<__m512bh>(_mm512_set1_epi16(0x3f80));
  return _mm512_dpbf16_ps(sum, ones, ones);
}
__m512i dot_i8(__m512i sum) {
  const __m512i ones = _mm512_set1_epi8(1);
  return _mm512_dpbusd_epi32(sum, ones, ones);
}

double peak_bf16(int64_t rounds) { return peak_dot<__m512, dot_bf16, 32>(rounds, _mm512_setzero_ps()); }
double peak_i8(int64_t rounds) { return peak_dot<__m512i, dot_i8, 64>(rounds, _mm512_setzero_si512()); }

}  // namespace

KernelTable avx512bf16_kernels() {
  KernelTable table = avx512_kernels();
  table.isa = "avx512bf16";
  table.gemm[static_cast<int>(WeightFormat::bf16)] = Gemm<Avx512, Bf16DotKernel>::kernels();
  table.gemm[static_cast<int>(WeightFormat::i8)] = Gemm<Avx512, I8DotKernel>::kernels();
  table.peak[static_cast<int>(WeightFormat::bf16)] = peak_bf16;
  table.peak[static_cast<int>(WeightFormat::i8)] = peak_i8;
  return table;
}

}  // namespace tendon
