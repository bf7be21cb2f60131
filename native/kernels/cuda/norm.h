// Norms, softmax and attention: a block of threads per row, group or query, which sums in two passes, mean
// first, as kernels/reference does.
#pragma once

#include <cmath>

#include "kernels/cuda/lane.h"
#include "kernels/kernels.h"

namespace tendon::cuda {

constexpr int row_threads = 128;
constexpr int group_threads = 256;
constexpr size_t slot_bytes = 32 * sizeof(float);  // block_sum's, for up to 32 warps

// As warp_sum and block_sum; NaN wins.
TENDON_DEVICE float block_max(const Lane& t, float value, float* slots) {
  for (int mask = 16; mask > 0; mask /= 2)
    value = reference::apply(Binary::max, value, t.shuffle_xor(value, mask));
  t.sync();
  if (t.thread() % 32 == 0) slots[t.thread() / 32] = value;
  t.sync();
  float top = slots[0];
  for (int warp = 1; warp < t.threads() / 32; ++warp) top = reference::apply(Binary::max, top, slots[warp]);
  return top;
}

struct NormKernel {
  using Args = NormArgs;
  TENDON_DEVICE static void run(const Lane& t, const NormArgs& a) {
    auto* slots = reinterpret_cast<float*>(t.shared());
    const float* x = a.x + t.block_x() * a.n;
    float* out = a.out + t.block_x() * a.n;
    float mean = 0, square = 0;
    if (a.kind == Norm::layer) {
      for (int64_t i = t.thread(); i < a.n; i += row_threads) mean += x[i];
      mean = block_sum(t, mean, slots) / static_cast<float>(a.n);
    }
    for (int64_t i = t.thread(); i < a.n; i += row_threads) square += (x[i] - mean) * (x[i] - mean);
    square = block_sum(t, square, slots);
    const float inverse = 1.0f / std::sqrt(square / static_cast<float>(a.n) + a.eps);
    for (int64_t i = t.thread(); i < a.n; i += row_threads) {
      float v = (x[i] - mean) * inverse;
      if (a.weight) v *= a.weight[i];
      if (a.bias) v += a.bias[i];
      out[i] = reference::apply(a.act, v);
    }
  }
};

// A block per batch element and group.
struct GroupNormKernel {
  using Args = GroupNormArgs;
  TENDON_DEVICE static void run(const Lane& t, const GroupNormArgs& a) {
    auto* slots = reinterpret_cast<float*>(t.shared());
    const auto width = static_cast<uint32_t>(a.channels / a.groups);
    const int64_t first = t.block_x() % a.groups * width;
    const int64_t start = t.block_x() / a.groups * a.positions * a.channels + first;
    const auto count = static_cast<uint32_t>(a.positions) * width;
    const auto at = [&](uint32_t i) { return start + i / width * a.channels + i % width; };
    float mean = 0, square = 0;
    for (uint32_t i = t.thread(); i < count; i += group_threads) mean += a.x[at(i)];
    mean = block_sum(t, mean, slots) / static_cast<float>(count);
    for (uint32_t i = t.thread(); i < count; i += group_threads)
      square += (a.x[at(i)] - mean) * (a.x[at(i)] - mean);
    square = block_sum(t, square, slots);
    const float inverse = 1.0f / std::sqrt(square / static_cast<float>(count) + a.eps);
    for (uint32_t i = t.thread(); i < count; i += group_threads) {
      float v = (a.x[at(i)] - mean) * inverse;
      if (a.weight) v *= a.weight[first + i % width];
      if (a.bias) v += a.bias[first + i % width];
      a.out[at(i)] = reference::apply(a.act, v);
    }
  }
};

struct SoftmaxKernel {
  using Args = SoftmaxArgs;
  TENDON_DEVICE static void run(const Lane& t, const SoftmaxArgs& a) {
    auto* slots = reinterpret_cast<float*>(t.shared());
    const float* x = a.x + t.block_x() * a.n;
    float* out = a.out + t.block_x() * a.n;
    float top = -INFINITY, sum = 0;
    for (int64_t i = t.thread(); i < a.n; i += row_threads) top = reference::apply(Binary::max, top, x[i]);
    top = block_max(t, top, slots);
    for (int64_t i = t.thread(); i < a.n; i += row_threads) sum += out[i] = std::exp(x[i] - top);
    sum = block_sum(t, sum, slots);
    for (int64_t i = t.thread(); i < a.n; i += row_threads) out[i] /= sum;
  }
};

// A block per query of a head. Keys are taken `attention_keys` at a time, the sums so far rescaled to the
// largest score seen (online softmax; Milakov and Gimelshein, 2018), so that any number of keys fits.
constexpr int attention_keys = 128;

TENDON_HD inline size_t attention_shared(const AttentionArgs& a) {
  return slot_bytes + (attention_keys + 2 * static_cast<size_t>(a.head_dim)) * sizeof(float);
}

struct AttentionKernel {
  using Args = AttentionArgs;
  TENDON_DEVICE static void run(const Lane& t, const AttentionArgs& a) {
    auto* slots = reinterpret_cast<float*>(t.shared());
    float* scores = slots + slot_bytes / sizeof(float);
    float* query = scores + attention_keys;
    float* sums = query + a.head_dim;
    const int64_t h = t.block_x() % a.heads, i = t.block_x() / a.heads % a.q_len,
                  b = t.block_x() / a.heads / a.q_len;
    const float* k = a.k + b / a.k_div * a.k_batch_stride + h * a.head_dim;
    const float* v = a.v + b / a.v_div * a.v_batch_stride + h * a.head_dim;
    const float* q = a.q + b * a.q_batch_stride + i * a.q_row_stride + h * a.head_dim;
    for (int64_t d = t.thread(); d < a.head_dim; d += row_threads) query[d] = q[d], sums[d] = 0;
    const int warp = t.thread() / 32, lane = t.thread() % 32;
    float top = -INFINITY, total = 0;
    for (int64_t first = 0; first < a.k_len; first += attention_keys) {
      const int keys = a.k_len - first < attention_keys ? static_cast<int>(a.k_len - first) : attention_keys;
      t.sync();  // the query is there; the scores before have been read
      // A warp per key: neighbouring lanes read neighbouring numbers.
      for (int j = warp; j < keys; j += row_threads / 32) {
        float s = 0;
        for (int64_t d = lane; d < a.head_dim; d += 32) s += query[d] * k[(first + j) * a.k_row_stride + d];
        s = warp_sum(t, s) * a.scale + (a.mask ? a.mask[i * a.k_len + first + j] : 0.0f);
        if (lane == 0) scores[j] = s;
      }
      t.sync();
      float best = top;
      for (int j = t.thread(); j < keys; j += row_threads)
        best = reference::apply(Binary::max, best, scores[j]);
      best = block_max(t, best, slots);
      if (best == -INFINITY) continue;  // all hidden so far: for every thread alike
      const float keep = std::exp(top - best);
      top = best;
      float sum = 0;
      for (int j = t.thread(); j < keys; j += row_threads) sum += scores[j] = std::exp(scores[j] - top);
      total = total * keep + block_sum(t, sum, slots);  // its barriers also finish the scores
      for (int64_t d = t.thread(); d < a.head_dim; d += row_threads) {
        float out = sums[d] * keep;
        for (int j = 0; j < keys; ++j) out += scores[j] * v[(first + j) * a.v_row_stride + d];
        sums[d] = out;
      }
    }
    float* out = a.out + t.block_x() * a.head_dim;
    for (int64_t d = t.thread(); d < a.head_dim; d += row_threads) out[d] = sums[d] / total;
  }
};

}  // namespace tendon::cuda
