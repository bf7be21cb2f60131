// The products of reduced weights by AVX-512's own dot products: bf16 (BF16) and int8 (VNNI).
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/gemm_bf16_avx512.h"
#include "kernels/cpu/tables.h"

namespace tendon {

KernelTable avx512bf16_kernels() {
  KernelTable table = avx512_kernels();
  table.isa = "avx512bf16";
  table.gemm[static_cast<int>(WeightFormat::bf16)] = Gemm<Avx512, Bf16DotKernel>::kernels();
  table.gemm[static_cast<int>(WeightFormat::i8)] = Gemm<Avx512, I8DotKernel>::kernels();
  return table;
}

}  // namespace tendon
