// Attention over short sequences, products of two activations, and pooling.
#pragma once

#include "kernels/cpu/norm.h"

namespace tendon {
namespace {

template <class S>
struct Products {
  using F = typename S::F;

  static constexpr int64_t most_keys = 2048;  // scores of one query, on the stack

  static float dot(const float* a, const float* b, int64_t n) {
    F sum = S::zero();
    for_vectors<S>(n, [&](auto load, auto) { sum = S::fma(load(a), load(b), sum); });
    return S::sum(sum);
  }

  // out = Σ_j p[j]·v[j], `blocks` vectors of columns at a time.
  template <int blocks>
  static void weigh(const float* p, const float* v, int64_t keys, int64_t stride, F scale, float* out) {
    F sum[blocks];
    for (int i = 0; i < blocks; ++i) sum[i] = S::zero();
    for (int64_t j = 0; j < keys; ++j) {
      const F weight = S::set(p[j]);
      for (int i = 0; i < blocks; ++i)
        sum[i] = S::fma(weight, S::load(v + j * stride + i * S::width), sum[i]);
    }
    for (int i = 0; i < blocks; ++i) S::store(out + i * S::width, S::mul(sum[i], scale));
  }

  static void attention(const AttentionArgs& a, Part part) {
    if (a.k_len > most_keys) return reference_kernels().attention(a, part);
    alignas(64) float p[most_keys];
    // Neighbouring queries of one head read the same keys.
    const Range mine = share(a.batch * a.heads * a.q_len, 1, part);
    for (int64_t unit = mine.begin; unit < mine.end; ++unit) {
      const int64_t i = unit % a.q_len, h = unit / a.q_len % a.heads, b = unit / a.q_len / a.heads;
      const float* q = a.q + b * a.q_batch_stride + i * a.q_row_stride + h * a.head_dim;
      const float* k = a.k + b / a.k_div * a.k_batch_stride + h * a.head_dim;
      const float* v = a.v + b / a.v_div * a.v_batch_stride + h * a.head_dim;
      float* out = a.out + ((b * a.q_len + i) * a.heads + h) * a.head_dim;
      for (int64_t j = 0; j < a.k_len; ++j)
        p[j] = dot(q, k + j * a.k_row_stride, a.head_dim) * a.scale + (a.mask ? a.mask[i * a.k_len + j] : 0);
      const F scale = S::set(1.0f / Norms<S>::exponentials(p, a.k_len, p));
      int64_t d = 0;
      for (; d + 4 * S::width <= a.head_dim; d += 4 * S::width)
        weigh<4>(p, v + d, a.k_len, a.v_row_stride, scale, out + d);
      for (; d + S::width <= a.head_dim; d += S::width)
        weigh<1>(p, v + d, a.k_len, a.v_row_stride, scale, out + d);
      if (d < a.head_dim) {
        F sum = S::zero();
        for (int64_t j = 0; j < a.k_len; ++j)
          sum = S::fma(S::set(p[j]), S::load(v + j * a.v_row_stride + d, a.head_dim - d), sum);
        S::store(out + d, S::mul(sum, scale), a.head_dim - d);
      }
    }
  }

  static void matmul(const MatmulArgs& a, Part part) {
    const Range mine = share(a.batch * a.m, 1, part);
    for (int64_t row = mine.begin; row < mine.end; ++row) {
      const int64_t batch = row / a.m;
      const float* x = a.a + (batch / a.a_div * a.m + row % a.m) * a.k;
      const float* y = a.b + batch / a.b_div * a.k * a.n;
      for_vectors<S>(a.n, [&](auto load, auto store) {
        F sum = S::zero();
        for (int64_t k = 0; k < a.k; ++k) sum = S::fma(S::set(x[k]), load(y + k * a.n), sum);
        store(a.out + row * a.n, sum);
      });
    }
  }

  static void max_pool(const MaxPoolArgs& a, Part part) {
    const Rows& r = a.rows;
    const Range mine = share(r.count(), 1, part);
    for (int64_t row = mine.begin; row < mine.end; ++row) {
      const float* x = r.x + row / r.per_batch() * r.batch_stride;
      const int64_t top = row / r.out_w % r.out_h * r.stride_h - r.pad_h;
      const int64_t left = row % r.out_w * r.stride_w - r.pad_w;
      const int64_t bottom = lesser(top + r.taps_h, r.h), right = lesser(left + r.taps_w, r.w);
      for_vectors<S>(r.c, [&](auto load, auto store) {
        F most = S::set(-__builtin_inff());
        for (int64_t y = greater(top, 0); y < bottom; ++y)
          for (int64_t z = greater(left, 0); z < right; ++z)
            most = Elementwise<S>::larger(most, load(x + (y * r.w + z) * r.position_stride));
        store(a.out + row * r.c, most);
      });
    }
  }
};

}  // namespace
}  // namespace tendon
