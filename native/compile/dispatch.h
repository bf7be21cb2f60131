// From an instruction to the kernel that does it. `between` is called where a product needs every part's
// preparation done before it multiplies.
#pragma once

#include <type_traits>

#include "compile/program.h"

namespace tendon {

template <class Between>
void dispatch(const KernelTable& k, const KernelArgs& args, Part part, Between between) {
  std::visit(
      [&](const auto& a) {
        using Args = std::decay_t<decltype(a)>;
        if constexpr (std::is_same_v<Args, GemmArgs>) {
          const GemmKernels& gemm = k.gemm[static_cast<int>(a.format)];
          if (gemm.needs_prepare(a)) {
            gemm.prepare(a, part);
            between();
          }
          gemm.multiply(a, part);
        }
        if constexpr (std::is_same_v<Args, UnaryArgs>) k.unary(a, part);
        if constexpr (std::is_same_v<Args, BinaryArgs>) k.binary(a, part);
        if constexpr (std::is_same_v<Args, CopyArgs>) k.copy(a, part);
        if constexpr (std::is_same_v<Args, AffineArgs>) k.affine(a, part);
        if constexpr (std::is_same_v<Args, NormArgs>) k.norm(a, part);
        if constexpr (std::is_same_v<Args, GroupNormArgs>) k.group_norm(a, part);
        if constexpr (std::is_same_v<Args, SoftmaxArgs>) k.softmax(a, part);
        if constexpr (std::is_same_v<Args, AttentionArgs>) k.attention(a, part);
        if constexpr (std::is_same_v<Args, MatmulArgs>) k.matmul(a, part);
        if constexpr (std::is_same_v<Args, ReduceArgs>) k.reduce(a, part);
        if constexpr (std::is_same_v<Args, GatherArgs>) k.gather(a, part);
        if constexpr (std::is_same_v<Args, MaxPoolArgs>) k.max_pool(a, part);
      },
      args);
}

}  // namespace tendon
