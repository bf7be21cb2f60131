// The second kernel of a product: adds up what splits of k left in the scratch, and does what needs a whole
// group of channels, then the rest of the epilogue.
#pragma once

#include "kernels/cuda/norm.h"
#include "kernels/cuda/product.h"

namespace tendon::cuda {

// A thread per number, for products without a norm.
struct FinishKernel {
  using Args = GemmCall;
  TENDON_DEVICE static void run(const Lane& t, const GemmCall& call) {
    const GemmArgs& a = call.args;
    const int64_t count = a.rows.count() * a.n, i = t.block_x() * group_threads + t.thread();
    if (i >= count) return;
    const float* sums = static_cast<const float*>(a.scratch);
    float value = 0;
    for (int64_t split = 0; split < call.cut.splits; ++split) value += sums[split * count + i];
    const int64_t row = i / a.n, n = i % a.n;
    if (a.epilogue.bias) value += a.epilogue.bias[n];
    finish(call, row / a.rows.per_batch(), row % a.rows.per_batch(), n, value);
  }
};

// A block per batch element and group, with threads for four numbers each as far as there are so many. A
// thread adds up its numbers once, four at a time so that their loads wait together, and keeps them where the
// first split's lay, which no other thread reads.
constexpr int finish_held = 4, most_finish_threads = 1024;

inline int finish_threads(const GemmArgs& a) {
  const int64_t count = a.rows.per_batch() * (a.n / a.epilogue.groups);
  const int64_t threads = up(up(count, finish_held), 32) * 32;
  return static_cast<int>(threads < most_finish_threads ? threads : most_finish_threads);
}

struct FinishNormKernel {
  using Args = GemmCall;
  TENDON_DEVICE static void run(const Lane& t, const GemmCall& call) {
    const GemmArgs& a = call.args;
    const Epilogue& e = a.epilogue;
    auto* slots = reinterpret_cast<float*>(t.shared());
    auto* sums = static_cast<float*>(a.scratch);
    const auto width = static_cast<uint32_t>(a.n / e.groups);
    const int64_t b = t.block_x() / e.groups, first = t.block_x() % e.groups * width;
    const int64_t positions = a.rows.per_batch(), all = a.rows.count() * a.n;
    const auto count = static_cast<uint32_t>(positions) * width;
    const auto at = [&](uint32_t i) { return (b * positions + i / width) * a.n + first + i % width; };
    const auto threads = static_cast<uint32_t>(t.threads());
    float mean = 0, square = 0;
    for (uint32_t i = t.thread(); i < count; i += finish_held * threads) {
      float held[finish_held] = {};
      for (int64_t split = 0; split < call.cut.splits; ++split) {
        TENDON_UNROLL
        for (uint32_t j = 0; j < finish_held; ++j)
          if (i + j * threads < count) held[j] += sums[split * all + at(i + j * threads)];
      }
      TENDON_UNROLL
      for (uint32_t j = 0; j < finish_held; ++j) {
        if (i + j * threads >= count) break;
        if (e.bias) held[j] += e.bias[first + (i + j * threads) % width];
        sums[at(i + j * threads)] = held[j];
        mean += held[j];
      }
    }
    mean = block_sum(t, mean, slots) / static_cast<float>(count);
    for (uint32_t i = t.thread(); i < count; i += threads)
      square += (sums[at(i)] - mean) * (sums[at(i)] - mean);
    square = block_sum(t, square, slots);
    const float inverse = 1.0f / std::sqrt(square / static_cast<float>(count) + e.eps);
    for (uint32_t i = t.thread(); i < count; i += threads) {
      const int64_t n = first + i % width;
      float value = (sums[at(i)] - mean) * inverse;
      if (e.norm_weight) value *= e.norm_weight[n];
      if (e.norm_bias) value += e.norm_bias[n];
      finish(call, b, i / width, n, value);
    }
  }
};

}  // namespace tendon::cuda
