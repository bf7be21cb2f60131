// What is done to sums while they are in cache (kernels.h, Epilogue): bias → group norm → act → FiLM →
// residual → act_last, written to the output rows.
#pragma once

#include "kernels/cpu/math.h"
#include "kernels/cpu/share.h"

namespace tendon {
namespace {

// Calls body(load, store) for whole vectors of n floats, then once for the rest.
template <class S, class Body>
void for_vectors(int64_t n, Body body) {
  using F = typename S::F;
  int64_t i = 0;
  for (; i + S::width <= n; i += S::width)
    body([i](const float* p) { return S::load(p + i); }, [i](float* p, F x) { S::store(p + i, x); });
  if (i < n)
    body([i, n](const float* p) { return S::load(p + i, n - i); },
         [i, n](float* p, F x) { S::store(p + i, x, n - i); });
}

template <class S>
struct Finish {
  using F = typename S::F;

  // One stretch of a row. Null pointers are steps left out.
  struct Line {
    const float* sums;
    const float* bias;
    bool normed;
    float mean, inverse;
    const float *norm_weight, *norm_bias;
    const float *scale, *shift, *residual;
    float* out;
    int64_t n;
  };

  template <Unary act>
  static void write(const Line& line) {
    const F mean = S::set(line.mean), inverse = S::set(line.inverse);
    // The commonest tail by itself: a loop that asks nothing.
    if (line.normed && line.norm_weight && line.norm_bias && !line.bias && !line.scale && !line.shift &&
        !line.residual) {
      const Line l = line;
      return for_vectors<S>(l.n, [&](auto load, auto store) {
        const F x = S::mul(S::mul(S::sub(load(l.sums), mean), inverse), load(l.norm_weight));
        store(l.out, Math<S>::template apply<act>(S::add(x, load(l.norm_bias))));
      });
    }
    for_vectors<S>(line.n, [&](auto load, auto store) {
      F x = load(line.sums);
      if (line.bias) x = S::add(x, load(line.bias));
      if (line.normed) {
        x = S::mul(S::sub(x, mean), inverse);
        if (line.norm_weight) x = S::mul(x, load(line.norm_weight));
        if (line.norm_bias) x = S::add(x, load(line.norm_bias));
      }
      x = Math<S>::template apply<act>(x);
      if (line.scale) x = S::mul(x, load(line.scale));
      if (line.shift) x = S::add(x, load(line.shift));
      if (line.residual) x = S::add(x, load(line.residual));
      store(line.out, x);
    });
  }

  static void apply_in_place(Unary act, float* x, int64_t n) {
    with_unary(act, [&]<Unary f>() {
      for_vectors<S>(n, [&](auto load, auto store) { store(x, Math<S>::template apply<f>(load(x))); });
    });
  }

  // Σ (x − centre), or of its squares, over `rows` rows of n: in sums side by side, so that none waits for
  // the one before.
  template <bool squared>
  static float total(const float* sums, int64_t stride, int64_t rows, int64_t n, const float* bias,
                     float centre) {
    constexpr int chains = 4;
    const F middle = S::set(centre);
    alignas(64) float middles[S::width];
    S::store(middles, middle);
    F sum[chains];
    for (F& s : sum) s = S::zero();
    const auto add = [](F s, F x, F m) {
      const F d = S::sub(x, m);
      return squared ? S::fma(d, d, s) : S::add(s, d);
    };
    for (int64_t r = 0; r < rows; ++r) {
      const float* x = sums + r * stride;
      const auto at = [&](int64_t i) {
        return bias ? S::add(S::load(x + i), S::load(bias + i)) : S::load(x + i);
      };
      int64_t i = 0;
      for (; i + chains * S::width <= n; i += chains * S::width)
        for (int c = 0; c < chains; ++c) sum[c] = add(sum[c], at(i + c * S::width), middle);
      for (; i + S::width <= n; i += S::width) sum[0] = add(sum[0], at(i), middle);
      if (i == n) continue;
      // Lanes past the end are zeros, and so is what is taken from them.
      F rest = S::load(x + i, n - i);
      if (bias) rest = S::add(rest, S::load(bias + i, n - i));
      sum[1] = add(sum[1], rest, S::load(middles, n - i));
    }
    return S::sum(S::add(S::add(sum[0], sum[1]), S::add(sum[2], sum[3])));
  }

  // Mean and 1/√(variance + eps) of `rows` rows of n sums, in two passes.
  static void moments(const float* sums, int64_t stride, int64_t rows, int64_t n, const float* bias,
                      float eps, float& mean, float& inverse) {
    const float count = static_cast<float>(rows * n);
    mean = total<false>(sums, stride, rows, n, bias, 0) / count;
    inverse = 1.0f / __builtin_sqrtf(total<true>(sums, stride, rows, n, bias, mean) / count + eps);
  }

  // Sums of rows [row, row + rows) × channels [first, first + n), `stride` floats apart, the bias still to
  // come unless `biased`. With group norm both ranges cover whole batch elements and whole groups.
  static void run(const GemmArgs& a, const float* sums, int64_t stride, bool biased, int64_t row,
                  int64_t rows, int64_t first, int64_t n) {
    const Epilogue& e = a.epilogue;
    const int64_t per_batch = a.rows.per_batch();
    const int64_t width = e.groups > 0 ? a.n / e.groups : n;
    const int64_t block = e.groups > 0 ? per_batch : rows;
    for (int64_t done = 0; done < rows; done += block) {
      for (int64_t c = first; c < first + n; c += width) {
        const float* start = sums + done * stride + (c - first);
        Line line = {};
        line.normed = e.groups > 0;
        line.bias = e.bias && !biased ? e.bias + c : nullptr;
        line.norm_weight = line.normed && e.norm_weight ? e.norm_weight + c : nullptr;
        line.norm_bias = line.normed && e.norm_bias ? e.norm_bias + c : nullptr;
        line.n = width;
        if (line.normed) moments(start, stride, block, width, line.bias, e.eps, line.mean, line.inverse);
        with_unary(e.act, [&]<Unary act>() {
          int64_t b = (row + done) / per_batch, r = (row + done) % per_batch;
          for (int64_t i = 0; i < block; ++i) {
            line.sums = start + i * stride;
            line.out = a.out + b * a.out_batch_stride + r * a.out_row_stride + c;
            const int64_t film = b / e.film_div * e.film_stride + c;
            line.scale = e.scale ? e.scale + film : nullptr;
            line.shift = e.shift ? e.shift + film : nullptr;
            line.residual = e.residual ? e.residual + b / e.residual_div * e.residual_batch_stride +
                                             r * e.residual_row_stride + c
                                       : nullptr;
            write<act>(line);
            if (e.act_last != Unary::none) apply_in_place(e.act_last, line.out, width);
            if (++r == per_batch) r = 0, ++b;
          }
        });
      }
    }
  }
};

}  // namespace
}  // namespace tendon
