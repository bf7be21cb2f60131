// The kernels on AVX2 + FMA. bf16 weights are widened as they are read.
#include "kernels/cpu/gemm_i8_avx2.h"
#include "kernels/cpu/simd_avx2.h"
#include "kernels/cpu/table.h"
#include "kernels/cpu/tables.h"

namespace tendon {

namespace {

__m256i dot_i8(__m256i sum) { return I8SignStep::add(sum, sum, reinterpret_cast<const int8_t*>("\1\2\3\4")); }

double peak_i8(int64_t rounds) { return peak_dot<__m256i, dot_i8, 32>(rounds, _mm256_set1_epi8(1)); }

}  // namespace

KernelTable avx2_kernels() {
  KernelTable t = table<Avx2>("avx2");
  t.gemm[static_cast<int>(WeightFormat::i8)] = Gemm<Avx2, I8SignKernel>::kernels();
  t.peak[static_cast<int>(WeightFormat::i8)] = peak_i8;
  return t;
}

}  // namespace tendon
