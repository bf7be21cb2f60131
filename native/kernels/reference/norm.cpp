// Norms and softmax. Moments are taken in two passes, mean first, as torch's definition does.
#include <algorithm>
#include <cmath>

#include "kernels/reference/kernels.h"

namespace tendon::reference {

void run(const NormArgs& a, Part part) {
  int64_t begin, end;
  part.range(a.rows, 1, begin, end);
  for (int64_t row = begin; row < end; ++row) {
    const float* x = a.x + row * a.n;
    float* out = a.out + row * a.n;
    float mean = 0, square = 0;
    if (a.kind == Norm::layer) {
      for (int64_t i = 0; i < a.n; ++i) mean += x[i];
      mean /= static_cast<float>(a.n);
    }
    for (int64_t i = 0; i < a.n; ++i) square += (x[i] - mean) * (x[i] - mean);
    const float inverse = 1.0f / std::sqrt(square / static_cast<float>(a.n) + a.eps);
    for (int64_t i = 0; i < a.n; ++i) {
      float v = (x[i] - mean) * inverse;
      if (a.weight) v *= a.weight[i];
      if (a.bias) v += a.bias[i];
      out[i] = apply(a.act, v);
    }
  }
}

void run(const GroupNormArgs& a, Part part) {
  const int64_t width = a.channels / a.groups;
  const float count = static_cast<float>(a.positions * width);
  int64_t begin, end;
  part.range(a.batch * a.groups, 1, begin, end);
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t first = unit % a.groups * width;
    const int64_t start = unit / a.groups * a.positions * a.channels + first;
    const auto at = [&](int64_t p, int64_t c) { return start + p * a.channels + c; };
    float mean = 0, square = 0;
    for (int64_t p = 0; p < a.positions; ++p)
      for (int64_t c = 0; c < width; ++c) mean += a.x[at(p, c)];
    mean /= count;
    for (int64_t p = 0; p < a.positions; ++p)
      for (int64_t c = 0; c < width; ++c) square += (a.x[at(p, c)] - mean) * (a.x[at(p, c)] - mean);
    const float inverse = 1.0f / std::sqrt(square / count + a.eps);
    for (int64_t p = 0; p < a.positions; ++p) {
      for (int64_t c = 0; c < width; ++c) {
        float v = (a.x[at(p, c)] - mean) * inverse;
        if (a.weight) v *= a.weight[first + c];
        if (a.bias) v += a.bias[first + c];
        a.out[at(p, c)] = apply(a.act, v);
      }
    }
  }
}

void run(const SoftmaxArgs& a, Part part) {
  int64_t begin, end;
  part.range(a.rows, 1, begin, end);
  for (int64_t row = begin; row < end; ++row) {
    const float* x = a.x + row * a.n;
    float* out = a.out + row * a.n;
    float top = -INFINITY, sum = 0;
    for (int64_t i = 0; i < a.n; ++i) top = apply(Binary::max, top, x[i]);
    for (int64_t i = 0; i < a.n; ++i) sum += out[i] = std::exp(x[i] - top);
    for (int64_t i = 0; i < a.n; ++i) out[i] /= sum;
  }
}

}  // namespace tendon::reference
