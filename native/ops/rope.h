// Rotary position embedding (Su et al. 2021, "RoFormer") in the convention of halves, as Llama, Gemma and
// SmolVLA have it: of a head of d numbers, k and k + d/2 turn together by position · base^(−2k/d).
#pragma once

#include <cmath>
#include <span>

#include "base/error.h"
#include "base/shape.h"
#include "ops/attrs.h"
#include "ops/functions.h"

namespace tendon {

struct RopeAttrs {
  int64_t heads = 0;
  double base = 10000;
  template <class Self, class Visit>
  static void fields(Self& a, Visit visit) {
    visit("heads", a.heads, required), visit("base", a.base, optional);
  }
};

// x and out (batch, positions, heads·d) dense; position (batch, positions), block broadcast.
struct RopeArgs {
  const float* x = nullptr;
  const float* position = nullptr;
  int64_t batch, positions, heads, d, position_div;
  float base;
  float* out = nullptr;
  template <class A, class V>
  static void refs(A& a, V v) {
    v(a.x), v(a.position), v(a.out);
  }
  TENDON_HD int64_t written() const { return batch * positions * heads * d; }
  TENDON_HD float angle(int64_t row, int64_t k) const {
    const float at = position[row / positions / position_div * positions + row % positions];
    return at * std::pow(base, -2.0f * static_cast<float>(k) / static_cast<float>(d));
  }
  TENDON_HD float number(int64_t i) const {
    const int64_t half = d / 2, j = i % d, k = j % half;
    const float turn = angle(i / (heads * d), k);
    const float first = x[i - j + k], second = x[i - j + k + half];
    return j < half ? first * std::cos(turn) - second * std::sin(turn)
                    : second * std::cos(turn) + first * std::sin(turn);
  }
  bool operator==(const RopeArgs&) const = default;
};

namespace shape_rules {

inline Shape rope_shape(const Attrs& a, std::span<const Shape> in) {
  const Shape &x = in[0], &position = in[1];
  const auto [heads, base] = a.as<RopeAttrs>();
  if (x.rank != 3)
    throw BuildError("graph_invalid", "rope: expected x (batch, positions, heads·d), got " + x.text());
  if (heads < 1 || x[2] % heads != 0 || x[2] / heads % 2 != 0)
    throw BuildError("graph_invalid",
                     format("rope: expected heads that divide %lld into even lengths, got %lld",
                            static_cast<long long>(x[2]), static_cast<long long>(heads)));
  if (!(base > 0))
    throw BuildError("graph_invalid", format("rope base: expected a positive number, got %g", base));
  if (position.rank != 2 || position[1] != x[1] || x[0] % position[0] != 0)
    throw BuildError("graph_invalid",
                     format("rope: expected positions (batch, %lld) for x %s, got %s",
                            static_cast<long long>(x[1]), x.text().c_str(), position.text().c_str()));
  return x;
}

}  // namespace shape_rules

}  // namespace tendon
