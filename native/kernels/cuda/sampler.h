// The sampler between two calls of the network, and random draws: sample/denoise.cpp's loop, a thread per
// number.
#pragma once

#include "base/philox.h"
#include "kernels/cuda/api.h"
#include "kernels/cuda/elementwise.h"

namespace tendon::cuda {

struct FeedKernel {
  using Args = FeedArgs;
  TENDON_DEVICE static void run(const Lane& t, const FeedArgs& a) {
    const int64_t i = number_of(t);
    if (i >= a.count) return;
    float x = a.x[i];
    if (a.pre_noise != 0) a.x[i] = x = x + a.pre_noise * a.noise[i];
    for (int64_t group = 0; group < a.groups; ++group) a.net_in[group * a.count + i] = a.c_in * x;
  }
};

struct CombineKernel {
  using Args = CombineArgs;
  TENDON_DEVICE static void run(const Lane& t, const CombineArgs& a) {
    const int64_t i = number_of(t);
    if (i >= a.count) return;
    const float x = a.x[i];
    if (a.save) a.saved[i] = x;
    float f = a.net_out[i];
    if (a.guidance != nullptr) {
      const float unconditional = a.net_out[a.count + i];
      f = unconditional + *a.guidance * (f - unconditional);
    }
    float d = a.a_x * x + a.a_f * f;
    // Written so that NaN stays NaN.
    if (a.clip > 0) d = d < -a.clip ? -a.clip : d > a.clip ? a.clip : d;
    if (a.guide != 0) {
      const int64_t at = i % a.row;
      d += a.guide * a.prefix_weights[at / a.action_dim] * (a.prefix[at] - d);
    }
    float next = a.w_x * x + a.w_f * f + a.w_d * d;
    // Zero coefficients are skipped, not multiplied: an unused register may hold anything.
    if (a.w_h1 != 0) next += a.w_h1 * a.h1[i];
    if (a.w_h2 != 0) next += a.w_h2 * a.h2[i];
    if (a.w_h3 != 0) next += a.w_h3 * a.h3[i];
    if (a.w_s != 0) next += a.w_s * a.saved[i];
    if (a.w_noise != 0) next += a.w_noise * a.noise[i];
    if (a.push) a.h3[i] = a.h_x * x + a.h_d * d;  // becomes H1 when the history turns
    a.x[i] = next;
  }
};

struct DrawKernel {
  using Args = DrawArgs;
  TENDON_DEVICE static void run(const Lane& t, const DrawArgs& a) {
    const int64_t i = number_of(t);
    if (i >= a.count) return;
    const uint64_t index = a.first + static_cast<uint64_t>(i);
    uint32_t words[4];
    philox_block(a.seed, a.stream, index / 4, words);
    a.out[i] = normal_from(words, static_cast<int>(index % 4));
  }
};

}  // namespace tendon::cuda
