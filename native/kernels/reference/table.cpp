// Plain loops, the definition of every kernel.
#include "kernels/reference/kernels.h"

namespace tendon {

namespace reference {
namespace {

template <class Args>
void run_numbers(const Args& a, Part part) {
  int64_t begin, end;
  part.range(a.written(), 1, begin, end);
  for (int64_t i = begin; i < end; ++i) a.out[i] = a.number(i);
}

template <class Args>
constexpr auto kernel() -> void (*)(const Args&, Part) {
  if constexpr (requires(const Args& a) { a.number(0); })
    return run_numbers<Args>;
  else
    return static_cast<void (*)(const Args&, Part)>(run);
}

}  // namespace

double peak(int64_t rounds) {
  float sum[8] = {1, 1, 1, 1, 1, 1, 1, 1};
  for (int64_t i = 0; i < rounds; ++i)
    for (float& s : sum) s = s * 0.999f + 1e-3f;
  for (const float& s : sum) asm volatile("" ::"m"(s));
  return 2.0 * 8 * static_cast<double>(rounds);
}

}  // namespace reference

const KernelTable& reference_kernels() {
  using namespace reference;
#define X(name, Args) .name = kernel<Args>(),
  static const KernelTable table = {
      .isa = "reference",
      .gemm = {gemm_kernels(WeightFormat::f32), gemm_kernels(WeightFormat::bf16),
               gemm_kernels(WeightFormat::i8)},
      TENDON_KERNELS(X).peak = {peak, peak, peak},
  };
#undef X
  return table;
}

}  // namespace tendon
