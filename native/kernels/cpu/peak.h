// How fast the arithmetic unit can go at best: independent chains of its widest multiply-add, nothing read
// from memory. Benches divide by it.
#pragma once

#include <cstdint>

namespace tendon {
namespace {

// Operations done by `rounds` rounds of one thread; a multiply-add is two.
template <class S>
double peak_multiply_add(int64_t rounds) {
  constexpr int chains = 12;
  typename S::F sum[chains];
  const typename S::F a = S::set(0.999f), b = S::set(1e-3f);
  for (auto& s : sum) s = S::set(1);
  for (int64_t i = 0; i < rounds; ++i)
    for (auto& s : sum) s = S::fma(s, a, b);
  float out[S::width];
  for (const auto& s : sum) {
    S::store(out, s);
    // The compiler may not drop what nobody reads.
    asm volatile("" ::"m"(out));
  }
  return 2.0 * chains * S::width * static_cast<double>(rounds);
}

// The same by a dot product that adds `multiplies` products to each lane's sum.
template <class Sum, Sum dot(Sum), int multiplies>
double peak_dot(int64_t rounds, Sum zero) {
  constexpr int chains = 12;
  Sum sum[chains];
  for (Sum& s : sum) s = zero;
  for (int64_t i = 0; i < rounds; ++i)
    for (Sum& s : sum) s = dot(s);
  for (Sum& s : sum) asm volatile("" ::"v"(s));
  return 2.0 * chains * multiplies * static_cast<double>(rounds);
}

}  // namespace
}  // namespace tendon
