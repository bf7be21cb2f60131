// Attention, products of two activations, table look-up and pooling.
#include <algorithm>
#include <cmath>

#include "kernels/reference/functions.h"
#include "kernels/reference/kernels.h"

namespace tendon::reference {

// One query of one head at a time. There is nowhere to keep the scores, so they are computed twice: for their
// maximum, then for the weighted sum, which is divided at the end.
void attention(const AttentionArgs& a, Part part) {
  int64_t begin, end;
  part.range(a.batch * a.q_len * a.heads, 1, begin, end);
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t h = unit % a.heads, i = unit / a.heads % a.q_len, b = unit / a.heads / a.q_len;
    const float* q = a.q + b * a.q_batch_stride + i * a.q_row_stride + h * a.head_dim;
    const float* k = a.k + b / a.k_div * a.k_batch_stride + h * a.head_dim;
    const float* v = a.v + b / a.v_div * a.v_batch_stride + h * a.head_dim;
    float* out = a.out + unit * a.head_dim;
    const auto score = [&](int64_t j) {
      float s = 0;
      for (int64_t d = 0; d < a.head_dim; ++d) s += q[d] * k[j * a.k_row_stride + d];
      return s * a.scale + (a.mask ? a.mask[i * a.k_len + j] : 0.0f);
    };
    float top = -INFINITY, sum = 0;
    for (int64_t j = 0; j < a.k_len; ++j) top = apply(Binary::max, top, score(j));
    std::fill(out, out + a.head_dim, 0.0f);
    for (int64_t j = 0; j < a.k_len; ++j) {
      const float p = std::exp(score(j) - top);
      sum += p;
      for (int64_t d = 0; d < a.head_dim; ++d) out[d] += p * v[j * a.v_row_stride + d];
    }
    for (int64_t d = 0; d < a.head_dim; ++d) out[d] /= sum;
  }
}

void matmul(const MatmulArgs& a, Part part) {
  int64_t begin, end;
  part.range(a.batch * a.m, 1, begin, end);
  for (int64_t row = begin; row < end; ++row) {
    const int64_t batch = row / a.m;
    const float* x = a.a + (batch / a.a_div * a.m + row % a.m) * a.k;
    const float* y = a.b + batch / a.b_div * a.k * a.n;
    float* out = a.out + row * a.n;
    std::fill(out, out + a.n, 0.0f);
    for (int64_t k = 0; k < a.k; ++k)
      for (int64_t n = 0; n < a.n; ++n) out[n] += x[k] * y[k * a.n + n];
  }
}

double peak(int64_t rounds) {
  float sum[8] = {1, 1, 1, 1, 1, 1, 1, 1};
  for (int64_t i = 0; i < rounds; ++i)
    for (float& s : sum) s = s * 0.999f + 1e-3f;
  for (const float& s : sum) asm volatile("" ::"m"(s));
  return 2.0 * 8 * static_cast<double>(rounds);
}

void gather(const GatherArgs& a, Part part) {
  int64_t begin, end;
  part.range(a.rows, 1, begin, end);
  for (int64_t row = begin; row < end; ++row) {
    const float last = static_cast<float>(a.table_rows - 1);
    // NaN and everything below zero read the first row.
    const float index = a.index[row] > 0 ? std::min(std::nearbyint(a.index[row]), last) : 0.0f;
    // A large table's last row may round up in f32.
    const int64_t at = std::min(static_cast<int64_t>(index), a.table_rows - 1);
    std::copy_n(a.table + at * a.n, a.n, a.out + row * a.n);
  }
}

void max_pool(const MaxPoolArgs& a, Part part) {
  const Rows& r = a.rows;
  int64_t begin, end;
  part.range(r.count(), 1, begin, end);
  for (int64_t row = begin; row < end; ++row) {
    const float* x = r.x + row / r.per_batch() * r.batch_stride;
    const int64_t top = row / r.out_w % r.out_h * r.stride_h - r.pad_h;
    const int64_t left = row % r.out_w * r.stride_w - r.pad_w;
    float* out = a.out + row * r.c;
    std::fill(out, out + r.c, -INFINITY);
    for (int64_t y = std::max<int64_t>(top, 0); y < std::min(top + r.taps_h, r.h); ++y)
      for (int64_t z = std::max<int64_t>(left, 0); z < std::min(left + r.taps_w, r.w); ++z)
        for (int64_t c = 0; c < r.c; ++c)
          out[c] = apply(Binary::max, out[c], x[(y * r.w + z) * r.position_stride + c]);
  }
}

}  // namespace tendon::reference
