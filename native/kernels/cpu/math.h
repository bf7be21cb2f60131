// Elementwise functions over vectors: polynomials fitted for f32 by weighted least squares on Chebyshev
// nodes. Largest relative errors are bounded in native/test/kernels_test.cpp and listed in docs/numerics.md.
// NaN passes through; infinities give the limits.
#pragma once

#include "kernels/kernels.h"

namespace tendon {
namespace {

template <class S>
struct Math {
  using F = typename S::F;

  template <size_t n>
  static F polynomial(F x, const float (&c)[n]) {
    F sum = S::set(c[n - 1]);
    for (int i = static_cast<int>(n) - 2; i >= 0; --i) sum = S::fma(sum, x, S::set(c[i]));
    return sum;
  }

  // x = k·ln 2 + r; returns e^r − 1 and k.
  static F reduced_expm1(F x, F& k) {
    x = S::min(S::set(89.5f), S::max(S::set(-105.0f), x));
    k = S::round(S::mul(x, S::set(1.44269504f)));
    F r = S::fnma(k, S::set(0.693145752f), x);
    r = S::fnma(k, S::set(1.42860677e-6f), r);
    constexpr float c[] = {0.499999934f, 0.166665204f, 0.0416683908f, 0.00836874519f, 0.00138145395f};
    return S::fma(S::mul(r, r), polynomial(r, c), r);
  }

  static F exp(F x) {
    F k;
    const F p = reduced_expm1(x, k);
    return S::scale2(S::add(p, S::set(1)), k);
  }

  // (p + (1 − 2^−k))·2^k: nothing cancels, because p is exact enough where k = 0.
  static F expm1(F x) {
    F k;
    const F p = reduced_expm1(S::max(S::set(-40), x), k);  // −1 in f32 from −18 down
    return S::scale2(S::add(p, S::sub(S::set(1), S::scale2(S::set(1), S::neg(k)))), k);
  }

  // ln(1 + f) for 1 + f in [√½, √2).
  static F log_near_one(F f) {
    constexpr float c[] = {0.333333126f,  -0.250000096f, 0.20002119f,   -0.166679964f, 0.14219545f,
                           -0.124055729f, 0.118882057f,  -0.116757822f, 0.0674670499f};
    const F square = S::mul(f, f);
    return S::fma(S::mul(square, f), polynomial(f, c), S::fnma(S::set(0.5f), square, f));
  }

  static F log_positive(F x) {
    F mantissa, exponent;
    S::split2(x, mantissa, exponent);
    const F low = S::fma(exponent, S::set(1.42860677e-6f), log_near_one(S::sub(mantissa, S::set(1))));
    return S::fma(exponent, S::set(0.693145752f), low);
  }

  // ln(1 + u) for u in [0, 1]: the rounding of 1 + u is put back.
  static F log1p(F u) {
    const F one = S::set(1), w = S::add(one, u);
    return S::add(log_positive(w), S::div(S::sub(u, S::sub(w, one)), w));
  }

  static F sigmoid(F x) { return S::div(S::set(1), S::add(S::set(1), exp(S::neg(x)))); }

  static F tanh(F x) {
    constexpr float c[] = {-0.333333308f, 0.133332041f,   -0.0539465173f,
                           0.021699305f,  -0.0081738217f, 0.00213958532f};
    const F size = S::abs(x), square = S::mul(x, x);
    const F small = S::fma(S::mul(square, size), polynomial(square, c), size);
    const F e = exp(S::add(size, size));
    const F large = S::sub(S::set(1), S::div(S::set(2), S::add(e, S::set(1))));
    return S::copysign(S::select(S::less(size, S::set(0.625f)), small, large), x);
  }

  static F erf(F x) {
    constexpr float p[] = {1.1283791f,      0.20258156f,      0.0509230775f, 0.00380778166f,
                           0.000143807673f, -1.95089202e-06f, 1.9603807e-08f};
    constexpr float q[] = {1.0f, 0.512864744f, 0.11609395f, 0.0145756304f, 0.000979831294f};
    x = S::min(S::set(3.95f), S::max(S::set(-3.95f), x));
    const F square = S::mul(x, x);
    return S::div(S::mul(x, polynomial(square, p)), polynomial(square, q));
  }

  static F softplus(F x) {
    const F lifted = S::add(S::max(S::zero(), x), log1p(exp(S::neg(S::abs(x)))));
    return S::select(S::less(S::set(20), x), x, lifted);
  }

  // tanh(ln(1 + e^x)) = n / (n + 2) with n = e^x (e^x + 2).
  static F mish(F x) {
    const F e = exp(S::min(S::set(20), x));
    const F n = S::mul(e, S::add(e, S::set(2)));
    return S::mul(x, S::quotient(n, S::add(n, S::set(2))));
  }

  static F silu(F x) { return S::div(x, S::add(S::set(1), exp(S::neg(x)))); }

  template <Unary f>
  static F apply(F x) {
    if constexpr (f == Unary::relu) return S::max(S::zero(), x);
    if constexpr (f == Unary::gelu)
      return S::mul(S::mul(S::set(0.5f), x), S::add(S::set(1), erf(S::mul(x, S::set(0.70710678f)))));
    if constexpr (f == Unary::gelu_tanh) {
      // ½(1 + tanh u) = sigmoid(2u)
      const F cubic = S::fma(S::mul(S::mul(x, x), x), S::set(0.044715f), x);
      return S::div(x, S::add(S::set(1), exp(S::mul(S::set(-1.59576912f), cubic))));
    }
    if constexpr (f == Unary::silu) return silu(x);
    if constexpr (f == Unary::mish) return mish(x);
    if constexpr (f == Unary::tanh) return tanh(x);
    if constexpr (f == Unary::sigmoid) return sigmoid(x);
    if constexpr (f == Unary::elu) return S::select(S::less(S::zero(), x), x, expm1(x));
    if constexpr (f == Unary::softplus) return softplus(x);
    if constexpr (f == Unary::exp) return exp(x);
    if constexpr (f == Unary::sqrt) return S::sqrt(x);
    if constexpr (f == Unary::rsqrt) return S::div(S::set(1), S::sqrt(x));
    if constexpr (f == Unary::abs) return S::abs(x);
    if constexpr (f == Unary::neg) return S::neg(x);
    if constexpr (f == Unary::square) return S::mul(x, x);
    if constexpr (f == Unary::reciprocal) return S::div(S::set(1), x);
    if constexpr (f == Unary::erf) return erf(x);
    if constexpr (f == Unary::symexp) return S::copysign(expm1(S::abs(x)), x);
    return x;
  }
};

// Calls visit.template operator()<f>() for the function named at run time. Log, sin and cos are not among
// them: they run once per load or per step on a few numbers, in the reference.
template <class Visit>
void with_unary(Unary f, Visit visit) {
  switch (f) {
#define TENDON_CASE(name) \
  case Unary::name:       \
    return visit.template operator()<Unary::name>();
    TENDON_CASE(relu)
    TENDON_CASE(gelu)
    TENDON_CASE(gelu_tanh)
    TENDON_CASE(silu)
    TENDON_CASE(mish)
    TENDON_CASE(tanh)
    TENDON_CASE(sigmoid)
    TENDON_CASE(elu)
    TENDON_CASE(softplus)
    TENDON_CASE(exp)
    TENDON_CASE(sqrt)
    TENDON_CASE(rsqrt)
    TENDON_CASE(abs)
    TENDON_CASE(neg)
    TENDON_CASE(square)
    TENDON_CASE(reciprocal)
    TENDON_CASE(erf)
    TENDON_CASE(symexp)
#undef TENDON_CASE
    default:
      return visit.template operator()<Unary::none>();
  }
}

}  // namespace
}  // namespace tendon
