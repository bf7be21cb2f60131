// Plain loops, the definition of every kernel.
#include "kernels/reference/kernels.h"

namespace tendon {

const KernelTable& reference_kernels() {
  using namespace reference;
  static const KernelTable table = {
      .isa = "reference",
      .gemm = {gemm_kernels(WeightFormat::f32), gemm_kernels(WeightFormat::bf16),
               gemm_kernels(WeightFormat::i8)},
      .unary = unary,
      .binary = binary,
      .copy = copy,
      .affine = affine,
      .norm = norm,
      .group_norm = group_norm,
      .softmax = softmax,
      .attention = attention,
      .matmul = matmul,
      .reduce = reduce,
      .gather = gather,
      .max_pool = max_pool,
      .peak = {peak, peak, peak},
  };
  return table;
}

}  // namespace tendon
