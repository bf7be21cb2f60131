// AVX2's kernels with a dot product of int8 (AVX-VNNI).
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/gemm_i8_avx2.h"
#include "kernels/cpu/peak.h"
#include "kernels/cpu/tables.h"

namespace tendon {

namespace {

__m256i dot_i8(__m256i sum) {
  const __m256i ones = _mm256_set1_epi8(1);
  return _mm256_dpbusd_avx_epi32(sum, ones, ones);
}

double peak_i8(int64_t rounds) { return peak_dot<__m256i, dot_i8, 32>(rounds, _mm256_setzero_si256()); }

}  // namespace

KernelTable avxvnni_kernels() {
  KernelTable table = avx2_kernels();
  table.isa = "avxvnni";
  table.gemm[static_cast<int>(WeightFormat::i8)] = Gemm<Avx2, I8VnniKernel>::kernels();
  table.peak[static_cast<int>(WeightFormat::i8)] = peak_i8;
  return table;
}

}  // namespace tendon
