// From an instruction to the kernel that does it. `between` is called where a product needs every part's
// preparation done before it multiplies.
#pragma once

#include "compile/program.h"

namespace tendon {

#define X(name, Args) \
  inline void run_kernel(const KernelTable& k, const Args& a, Part part) { k.name(a, part); }
TENDON_KERNELS(X)
#undef X

template <class Between>
void dispatch(const KernelTable& k, const KernelArgs& args, Part part, Between between) {
  if (const auto* a = std::get_if<GemmArgs>(&args)) {
    const GemmKernels& gemm = k.gemm[static_cast<int>(a->format)];
    if (gemm.needs_prepare(*a)) {
      gemm.prepare(*a, part);
      between();
    }
    gemm.multiply(*a, part);
    return;
  }
  std::visit(
      [&]<class Args>(const Args& a) {
        if constexpr (!std::is_same_v<Args, GemmArgs>) run_kernel(k, a, part);
      },
      args);
}

}  // namespace tendon
