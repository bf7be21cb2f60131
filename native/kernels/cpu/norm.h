// Norms, softmax and reductions. Moments are taken in two passes, mean first.
#pragma once

#include "kernels/cpu/elementwise.h"

namespace tendon {
namespace {

template <class S>
struct Norms {
  using F = typename S::F;
  using E = Elementwise<S>;

  static void run(const NormArgs& a, Part part) {
    const Range mine = share(a.rows, 1, part);
    with_unary(a.act, [&]<Unary act>() {
      typename Finish<S>::Line line = {};
      line.normed = true;
      line.norm_weight = a.weight;
      line.norm_bias = a.bias;
      line.n = a.n;
      for (int64_t row = mine.begin; row < mine.end; ++row) {
        line.sums = a.x + row * a.n;
        line.out = a.out + row * a.n;
        if (a.kind == Norm::layer) {
          Finish<S>::moments(line.sums, a.n, 1, a.n, nullptr, a.eps, line.mean, line.inverse);
        } else {
          line.inverse = 1.0f / __builtin_sqrtf(squares(line.sums, a.n) / static_cast<float>(a.n) + a.eps);
        }
        Finish<S>::template write<act>(line);
      }
    });
  }

  static float squares(const float* x, int64_t n) {
    F sum = S::zero();
    for_vectors<S>(n, [&](auto load, auto) {
      const F v = load(x);  // lanes past the end are zero
      sum = S::fma(v, v, sum);
    });
    return S::sum(sum);
  }

  static void run(const GroupNormArgs& a, Part part) {
    const int64_t width = a.channels / a.groups;
    const Range mine = share(a.batch * a.groups, 1, part);
    with_unary(a.act, [&]<Unary act>() {
      for (int64_t unit = mine.begin; unit < mine.end; ++unit) {
        const int64_t first = unit % a.groups * width;
        const int64_t start = unit / a.groups * a.positions * a.channels + first;
        typename Finish<S>::Line line = {};
        line.normed = true;
        line.norm_weight = a.weight ? a.weight + first : nullptr;
        line.norm_bias = a.bias ? a.bias + first : nullptr;
        line.n = width;
        Finish<S>::moments(a.x + start, a.channels, a.positions, width, nullptr, a.eps, line.mean,
                           line.inverse);
        for (int64_t p = 0; p < a.positions; ++p) {
          line.sums = a.x + start + p * a.channels;
          line.out = a.out + start + p * a.channels;
          Finish<S>::template write<act>(line);
        }
      }
    });
  }

  static float largest(const float* x, int64_t n) {
    float most = -__builtin_inff();
    int64_t i = 0;
    if (n >= S::width) {
      F top = S::load(x);
      for (i = S::width; i + S::width <= n; i += S::width) top = S::max(top, S::load(x + i));
      most = S::largest(top);
    }
    for (; i < n; ++i) most = x[i] > most ? x[i] : most;
    return most;
  }

  // e^(x − most), returning the sum, which any NaN makes NaN.
  static float exponentials(const float* x, int64_t n, float most, float* out) {
    const F top = S::set(most);
    F sum = S::zero();
    float rest = 0;
    const int64_t whole = n / S::width * S::width;
    int64_t i = 0;
    for (; i < whole; i += S::width) {
      const F e = Math<S>::exp(S::sub(S::load(x + i), top));
      S::store(out + i, e);
      sum = S::add(sum, e);
    }
    if (i < n) {
      S::store(out + i, Math<S>::exp(S::sub(S::load(x + i, n - i), top)), n - i);
      for (; i < n; ++i) rest += out[i];
    }
    return S::sum(sum) + rest;
  }

  static void run(const SoftmaxArgs& a, Part part) {
    if constexpr (S::width % 8 == 0)
      if (a.n == 8) return softmax_eights(a, part);
    const Range mine = share(a.rows, 1, part);
    for (int64_t row = mine.begin; row < mine.end; ++row) {
      const float* x = a.x + row * a.n;
      float* out = a.out + row * a.n;
      const F sum = S::set(exponentials(x, a.n, largest(x, a.n), out));
      for_vectors<S>(a.n, [&](auto load, auto store) { store(out, S::div(load(out), sum)); });
    }
  }

  // Rows of eight, as latents in simplices have them: a vector holds whole rows. A NaN makes its row NaN.
  static void softmax_eights(const SoftmaxArgs& a, Part part) {
    const Range mine = share(a.rows, S::width / 8, part);
    const float* x = a.x + mine.begin * 8;
    float* out = a.out + mine.begin * 8;
    for (int64_t left = (mine.end - mine.begin) * 8; left > 0; left -= S::width) {
      const bool whole = left >= S::width;
      const F v = whole ? S::load(x) : S::load(x, left);
      const F e = Math<S>::exp(S::sub(v, S::largest8(v)));
      const F y = S::div(e, S::sum8(e));
      if (whole) {
        S::store(out, y);
      } else {
        S::store(out, y, left);
      }
      x += S::width, out += S::width;
    }
  }

  template <Reduce op>
  static F fold(F sum, F x) {
    if constexpr (op == Reduce::max) return E::larger(sum, x);
    if constexpr (op == Reduce::min) return E::smaller(sum, x);
    return S::add(sum, x);
  }

  // Down `columns` columns of n rows, `inner` floats apart; a column is a lane.
  template <Reduce op>
  static void down(const float* x, int64_t n, int64_t inner, int64_t columns, float* out) {
    const F count = S::set(static_cast<float>(n));
    for_vectors<S>(columns, [&](auto load, auto store) {
      F sum = op == Reduce::max   ? S::set(-__builtin_inff())
              : op == Reduce::min ? S::set(__builtin_inff())
                                  : S::zero();
      for (int64_t i = 0; i < n; ++i) sum = fold<op>(sum, load(x + i * inner));
      if constexpr (op == Reduce::mean || op == Reduce::variance) sum = S::div(sum, count);
      if constexpr (op == Reduce::variance) {
        const F mean = sum;
        sum = S::zero();
        for (int64_t i = 0; i < n; ++i) {
          const F d = S::sub(load(x + i * inner), mean);
          sum = S::fma(d, d, sum);
        }
        sum = S::div(sum, count);
      }
      store(out, sum);
    });
  }

  static float along(Reduce op, const float* x, int64_t n) {
    F sum = S::zero();
    float rest = 0;
    int64_t i = 0;
    for (; i + S::width <= n; i += S::width) sum = S::add(sum, S::load(x + i));
    for (; i < n; ++i) rest += x[i];
    const float total = S::sum(sum) + rest;
    if (op == Reduce::sum) return total;
    const float mean = total / static_cast<float>(n);
    if (op == Reduce::mean) return mean;
    F squares = S::zero();
    rest = 0;
    for (i = 0; i + S::width <= n; i += S::width) {
      const F d = S::sub(S::load(x + i), S::set(mean));
      squares = S::fma(d, d, squares);
    }
    for (; i < n; ++i) rest += (x[i] - mean) * (x[i] - mean);
    return (S::sum(squares) + rest) / static_cast<float>(n);
  }

  template <Reduce op>
  static void reduce_as(const ReduceArgs& a, Part part) {
    if (a.inner == 1 && op != Reduce::max && op != Reduce::min) {
      const Range mine = share(a.outer, 1, part);
      for (int64_t unit = mine.begin; unit < mine.end; ++unit) a.out[unit] = along(op, a.x + unit * a.n, a.n);
      return;
    }
    const bool split_columns = a.outer < part.count;
    const Range rows = split_columns ? Range{0, a.outer} : share(a.outer, 1, part);
    const Range columns = split_columns ? share(a.inner, S::width, part) : Range{0, a.inner};
    for (int64_t outer = rows.begin; outer < rows.end; ++outer)
      down<op>(a.x + outer * a.n * a.inner + columns.begin, a.n, a.inner, columns.end - columns.begin,
               a.out + outer * a.inner + columns.begin);
  }

  static void run(const ReduceArgs& a, Part part) {
    switch (a.op) {
      case Reduce::sum:
        return reduce_as<Reduce::sum>(a, part);
      case Reduce::mean:
        return reduce_as<Reduce::mean>(a, part);
      case Reduce::max:
        return reduce_as<Reduce::max>(a, part);
      case Reduce::min:
        return reduce_as<Reduce::min>(a, part);
      case Reduce::variance:
        return reduce_as<Reduce::variance>(a, part);
      case Reduce::count:
        return;
    }
  }
};

}  // namespace
}  // namespace tendon
