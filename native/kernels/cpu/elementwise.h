// Elementwise functions and strided copies. Neighbouring dims that lie one after the other in every operand
// are first merged, so that dense work is one long row.
#pragma once

#include "kernels/cpu/epilogue.h"

namespace tendon {
namespace {

// The loops over up to three operands; dim 3 is the innermost, div blocks dim 0.
template <int operands>
struct Walk {
  int64_t dims[4] = {1, 1, 1, 1};
  int64_t stride[operands][4] = {};
  int64_t div[operands] = {};

  Walk(const int64_t (&from)[4], const int64_t* const (&strides)[operands], const int64_t (&divs)[operands]) {
    int top = 3;
    bool blocks = false;
    for (int o = 0; o < operands; ++o) {
      div[o] = divs[o];
      blocks = blocks || divs[o] != 1;
      stride[o][3] = strides[o][3];
    }
    dims[3] = from[3];
    for (int d = 2; d >= 0; --d) {
      if (from[d] == 1) continue;
      const bool may_merge = d > 0 || !blocks;
      bool follows = may_merge;
      for (int o = 0; o < operands; ++o) follows = follows && strides[o][d] == dims[top] * stride[o][top];
      // A dim of one place gives its row to the next; blocks stay where they are known, at dim 0.
      if (!follows && !(may_merge && dims[top] == 1)) top = may_merge ? top - 1 : 0;
      for (int o = 0; o < operands && !follows; ++o) stride[o][top] = strides[o][d];
      dims[top] *= from[d];
    }
  }

  int64_t at(int o, int64_t i0, int64_t i1, int64_t i2) const {
    return i0 / div[o] * stride[o][0] + i1 * stride[o][1] + i2 * stride[o][2];
  }

  // Calls visit(offsets, first, n) for this part's stretches of the innermost dim: elements
  // [first, first + n) of the row whose operands begin at the offsets.
  template <class Visit>
  void run(Part part, Visit visit) const {
    const int64_t rows = dims[0] * dims[1] * dims[2];
    const bool split_row = rows < part.count;
    const Range mine = split_row ? Range{0, rows} : share(rows, 1, part);
    const Range line = split_row ? share(dims[3], 64, part) : Range{0, dims[3]};
    if (line.begin == line.end) return;
    for (int64_t row = mine.begin; row < mine.end; ++row) {
      int64_t offset[operands];
      for (int o = 0; o < operands; ++o)
        offset[o] = at(o, row / (dims[1] * dims[2]), row / dims[2] % dims[1], row % dims[2]);
      visit(offset, line.begin, line.end - line.begin);
    }
  }
};

template <class S>
struct Elementwise {
  using F = typename S::F;

  // NaN in either comes through.
  static F larger(F a, F b) { return S::select(S::is_nan(a), a, S::max(a, b)); }
  static F smaller(F a, F b) { return S::select(S::is_nan(a), a, S::min(a, b)); }

  template <Binary f>
  static F apply(F a, F b) {
    if constexpr (f == Binary::add) return S::add(a, b);
    if constexpr (f == Binary::sub) return S::sub(a, b);
    if constexpr (f == Binary::mul) return S::mul(a, b);
    if constexpr (f == Binary::div) return S::div(a, b);
    if constexpr (f == Binary::min) return smaller(a, b);
    if constexpr (f == Binary::max) return larger(a, b);
  }

  static void run(const UnaryArgs& a, Part part) {
    if (a.op == Unary::log || a.op == Unary::sin || a.op == Unary::cos)
      return reference_kernels().unary(a, part);
    const Range mine = share(a.count, 64, part);
    with_unary(a.op, [&]<Unary f>() {
      for_vectors<S>(mine.end - mine.begin, [&](auto load, auto store) {
        store(a.out + mine.begin, Math<S>::template apply<f>(load(a.x + mine.begin)));
      });
    });
  }

  static void run(const AffineArgs& a, Part part) {
    const Range mine = share(a.count, 64, part);
    const F mul = S::set(a.mul), add = S::set(a.add);
    for_vectors<S>(mine.end - mine.begin, [&](auto load, auto store) {
      store(a.out + mine.begin, S::fma(load(a.x + mine.begin), mul, add));
    });
  }

  // The angles of a position are those of all its heads.
  static void run(const RopeArgs& a, Part part) {
    constexpr int64_t most = 256;
    const int64_t half = a.d / 2;
    if (half > most) return reference_kernels().rope(a, part);
    float cosine[most], sine[most];
    const Range mine = share(a.batch * a.positions, 1, part);
    for (int64_t row = mine.begin; row < mine.end; ++row) {
      const float at = a.position[row / a.positions / a.position_div * a.positions + row % a.positions];
      for (int64_t k = 0; k < half; ++k) {
        const float turn =
            at * __builtin_powf(a.base, -2.0f * static_cast<float>(k) / static_cast<float>(a.d));
        cosine[k] = __builtin_cosf(turn), sine[k] = __builtin_sinf(turn);
      }
      for (int64_t head = 0; head < a.heads; ++head) {
        const float* x = a.x + (row * a.heads + head) * a.d;
        float* out = a.out + (row * a.heads + head) * a.d;
        for_vectors<S>(half, [&](auto load, auto store) {
          const F first = load(x), second = load(x + half), c = load(cosine), s = load(sine);
          store(out, S::sub(S::mul(first, c), S::mul(second, s)));
          store(out + half, S::fma(second, c, S::mul(first, s)));
        });
      }
    }
  }

  template <Binary f>
  static void binary_as(const BinaryArgs& a, Part part) {
    const int64_t dense[4] = {a.dims[1] * a.dims[2] * a.dims[3], a.dims[2] * a.dims[3], a.dims[3], 1};
    const Walk<3> walk(a.dims, {a.a.stride, a.b.stride, dense}, {a.a.div, a.b.div, 1});
    const int64_t left_step = walk.stride[0][3], right_step = walk.stride[1][3];
    walk.run(part, [&](const int64_t* offset, int64_t first, int64_t n) {
      const float* left = a.a.x + offset[0] + first * left_step;
      const float* right = a.b.x + offset[1] + first * right_step;
      float* out = a.out + offset[2] + first;
      if (left_step == 1 && right_step == 1) {
        for_vectors<S>(n, [&](auto load, auto store) { store(out, apply<f>(load(left), load(right))); });
      } else if (left_step == 1 && right_step == 0) {
        const F one = S::set(*right);
        for_vectors<S>(n, [&](auto load, auto store) { store(out, apply<f>(load(left), one)); });
      } else if (left_step == 0 && right_step == 1) {
        const F one = S::set(*left);
        for_vectors<S>(n, [&](auto load, auto store) { store(out, apply<f>(one, load(right))); });
      } else {
        for (int64_t i = 0; i < n; ++i)
          S::store(out + i, apply<f>(S::set(left[i * left_step]), S::set(right[i * right_step])), 1);
      }
    });
  }

  static void run(const BinaryArgs& a, Part part) {
    switch (a.op) {
      case Binary::add:
        return binary_as<Binary::add>(a, part);
      case Binary::sub:
        return binary_as<Binary::sub>(a, part);
      case Binary::mul:
        return binary_as<Binary::mul>(a, part);
      case Binary::div:
        return binary_as<Binary::div>(a, part);
      case Binary::min:
        return binary_as<Binary::min>(a, part);
      case Binary::max:
        return binary_as<Binary::max>(a, part);
      case Binary::count:
        return;
    }
  }

  static void run(const CopyArgs& a, Part part) {
    const Walk<2> walk(a.dims, {a.a.stride, a.out_stride}, {a.a.div, 1});
    const int64_t from_step = walk.stride[0][3], to_step = walk.stride[1][3];
    walk.run(part, [&](const int64_t* offset, int64_t first, int64_t n) {
      const float* from = a.a.x + offset[0] + first * from_step;
      float* to = a.out + offset[1] + first * to_step;
      if (from_step == 1 && to_step == 1) {
        for_vectors<S>(n, [&](auto load, auto store) { store(to, load(from)); });
      } else {
        for (int64_t i = 0; i < n; ++i) to[i * to_step] = from[i * from_step];
      }
    });
  }
};

}  // namespace
}  // namespace tendon
