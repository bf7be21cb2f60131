// The whole table of one instruction set from the kernels written over its vectors. Table look-up is a copy
// of rows already and stays the reference's.
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
KernelTable table(const char* isa) {
  KernelTable t = reference_kernels();
  t.isa = isa;
  t.gemm[static_cast<int>(WeightFormat::f32)] = dot_kernels<S, F32Format<S>>();
  t.gemm[static_cast<int>(WeightFormat::bf16)] = dot_kernels<S, WideBf16Format<S>>();
  t.gemm[static_cast<int>(WeightFormat::i8)] = dot_kernels<S, WideI8Format<S>>();
  t.unary = Elementwise<S>::unary;
  t.binary = Elementwise<S>::binary;
  t.copy = Elementwise<S>::copy;
  t.affine = Elementwise<S>::affine;
  t.norm = Norms<S>::norm;
  t.group_norm = Norms<S>::group_norm;
  t.softmax = Norms<S>::softmax;
  t.attention = Attention<S>::attention;
  t.matmul = Products<S>::matmul;
  t.reduce = Norms<S>::reduce;
  t.max_pool = Products<S>::max_pool;
  for (auto& peak : t.peak) peak = peak_multiply_add<S>;
  return t;
}

}  // namespace
}  // namespace tendon
