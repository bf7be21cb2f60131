// Attention, products of two activations and table look-up.
#include <algorithm>
#include <cmath>

#include "kernels/reference/kernels.h"

namespace tendon::reference {

// One query of one head at a time. There is nowhere to keep the scores, so they are computed twice: for their
// maximum, then for the weighted sum, which is divided at the end.
void run(const AttentionArgs& a, Part part) {
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

void run(const MatmulArgs& a, Part part) {
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

void run(const GatherArgs& a, Part part) {
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

}  // namespace tendon::reference
