// The whole table of one instruction set from the kernels written over its vectors; where there is none for
// an op, such as table look-up, which is a copy of rows already, the reference's stays.
#pragma once

#include "kernels/cpu/attention.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/gemm_dot.h"
#include "kernels/cpu/peak.h"
#include "kernels/cpu/product.h"
#include "kernels/kernels.h"

namespace tendon {
namespace {

template <class S, class Format>
constexpr GemmKernels dot_kernels() {
  return Gemm<S, DotKernel<S, WidenStep<S, Format>>>::kernels();
}

template <class S>
struct Fast : Elementwise<S>, Norms<S>, Attention<S>, Products<S> {
  using Elementwise<S>::run, Norms<S>::run, Attention<S>::run, Products<S>::run;
};

// Takes `Args` and nothing that it could be turned into.
template <class S, class Args>
concept HasFast = requires {
  static_cast<void (*)(const Args&, Part)>(&Fast<S>::run);
};

template <class S>
KernelTable table(const char* isa) {
  KernelTable t = reference_kernels();
  t.isa = isa;
  t.gemm[static_cast<int>(WeightFormat::f32)] = dot_kernels<S, F32Format<S>>();
  t.gemm[static_cast<int>(WeightFormat::bf16)] = dot_kernels<S, WideBf16Format<S>>();
  t.gemm[static_cast<int>(WeightFormat::i8)] = dot_kernels<S, WideI8Format<S>>();
#define X(name, Args) \
  if constexpr (HasFast<S, Args>) t.name = &Fast<S>::run;
  TENDON_KERNELS(X)
#undef X
  for (auto& peak : t.peak) peak = peak_multiply_add<S>;
  return t;
}

}  // namespace
}  // namespace tendon
