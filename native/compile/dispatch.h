// From an instruction to the kernels that do it, one behind the other: `offer(run)` is called for each, and
// must have run(part) done for every part before it returns.
#pragma once

#include "compile/program.h"

namespace tendon {

#define X(name, Args) \
  inline void run_kernel(const KernelTable& k, const Args& a, Part part) { k.name(a, part); }
TENDON_KERNELS(X)
#undef X

template <class Offer>
void dispatch(const KernelTable& k, const KernelArgs& args, Offer offer) {
  if (const auto* a = std::get_if<GemmArgs>(&args)) {
    const GemmKernels& gemm = k.gemm[static_cast<int>(a->format)];
    if (gemm.needs_prepare(*a)) offer([&](Part part) { gemm.prepare(*a, part); });
    offer([&](Part part) { gemm.multiply(*a, part); });
    return;
  }
  std::visit(
      [&]<class Args>(const Args& a) {
        if constexpr (!std::is_same_v<Args, GemmArgs>) offer([&](Part part) { run_kernel(k, a, part); });
      },
      args);
}

}  // namespace tendon
