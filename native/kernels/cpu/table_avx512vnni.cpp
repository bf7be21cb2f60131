// AVX-512's kernels with its own dot product of int8 (VNNI).
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/gemm_i8_avx512.h"
#include "kernels/cpu/peak.h"
#include "kernels/cpu/tables.h"

namespace tendon {

namespace {

__m512i dot_i8(__m512i sum) {
  const __m512i ones = _mm512_set1_epi8(1);
  return _mm512_dpbusd_epi32(sum, ones, ones);
}

double peak_i8(int64_t rounds) { return peak_dot<__m512i, dot_i8, 64>(rounds, _mm512_setzero_si512()); }

}  // namespace

KernelTable avx512vnni_kernels() {
  KernelTable table = avx512_kernels();
  table.isa = "avx512vnni";
  table.gemm[static_cast<int>(WeightFormat::i8)] = Gemm<Avx512, I8DotKernel>::kernels();
  table.peak[static_cast<int>(WeightFormat::i8)] = peak_i8;
  return table;
}

}  // namespace tendon
