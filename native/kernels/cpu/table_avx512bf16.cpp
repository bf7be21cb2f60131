// AVX-512's kernels with its own dot products of int8 (VNNI) and bf16 (BF16).
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/gemm_bf16_avx512.h"
#include "kernels/cpu/peak.h"
#include "kernels/cpu/tables.h"

namespace tendon {

namespace {

__m512 dot_bf16(__m512 sum) {
  const auto ones = reinterpret_cast<__m512bh>(_mm512_set1_epi16(0x3f80));
  return _mm512_dpbf16_ps(sum, ones, ones);
}

double peak_bf16(int64_t rounds) { return peak_dot<__m512, dot_bf16, 32>(rounds, _mm512_setzero_ps()); }

}  // namespace

KernelTable avx512bf16_kernels() {
  KernelTable table = avx512vnni_kernels();
  table.isa = "avx512bf16";
  table.gemm[static_cast<int>(WeightFormat::bf16)] = Gemm<Avx512, Bf16DotKernel>::kernels();
  table.peak[static_cast<int>(WeightFormat::bf16)] = peak_bf16;
  return table;
}

}  // namespace tendon
