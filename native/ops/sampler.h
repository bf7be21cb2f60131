// The denoising loop's steps around a network, number by number: one definition, which every backend runs.
//
// A sampler is a table: one row of coefficients per call of the denoiser, made in TypeScript in float64
// (src/samplers/table.ts). With x the current sample, H1..H3 the history (newest first), S the saved sample
// and ε fresh noise, a row says:
//   x ← x + pre_noise·ε
//   F ← network(c_in·x; the row's schedule inputs), guidance groups combined: F ← F_u + λ(F_c − F_u)
//   D ← a_x·x + a_f·F, clamped to ±clip when clip > 0
//   D ← D + guide·W∘(prefix − D)                     when a prefix is given (real-time chunking, inpainting)
//   S ← x                                             when save ≠ 0
//   x' ← w_x·x + w_f·F + w_d·D + w_h1·H1 + w_h2·H2 + w_h3·H3 + w_s·S + w_noise·ε
//   H ← [h_x·x + h_d·D, H1, H2]                       when push ≠ 0
//   x ← x'
// pre_noise and w_noise each consume one draw of the size of x when they are not zero, in that order.
#pragma once

#include <cmath>
#include <cstdint>

#include "base/device.h"
#include "base/philox.h"

namespace tendon {

struct SamplerRow {
  float pre_noise = 0;
  float c_in = 1;
  float a_x = 0, a_f = 1;
  float clip = 0;
  float guide = 0;
  float save = 0;
  float w_x = 0, w_f = 0, w_d = 0, w_h1 = 0, w_h2 = 0, w_h3 = 0, w_s = 0, w_noise = 0;
  float push = 0, h_x = 0, h_d = 0;
};

// What changes from one inference to the next.
struct SampleCall {
  float guidance = 1;    // λ, for two groups
  int32_t prefixed = 0;  // whether there is a prefix
};

// Holds the tail of the chunk in force: the new one is drawn towards it, position by position.
struct Prefix {
  const float* target;   // (horizon, action_dim), normalised
  const float* weights;  // (horizon), 0…1
  int64_t row, action_dim;

  // D of number i, drawn towards the target.
  TENDON_HD float pull(float d, float guide, int64_t i) const {
    const int64_t at = i % row;
    return d + guide * weights[at / action_dim] * (target[at] - d);
  }
};

// x of one number after a row: the formulas above from F on. The history is where the row finds it; `turned`
// receives the number that becomes H1.
struct SampleNumber {
  float x, f, saved, h1, h2, h3, noise;
};
TENDON_HD inline float sampler_step(const SamplerRow& row, const SampleNumber& n, const Prefix* prefix,
                                    int64_t i, float* turned) {
  float d = row.a_x * n.x + row.a_f * n.f;
  // Written so that NaN stays NaN.
  if (row.clip > 0) d = d < -row.clip ? -row.clip : d > row.clip ? row.clip : d;
  if (prefix != nullptr && row.guide != 0) d = prefix->pull(d, row.guide, i);
  float next = row.w_x * n.x + row.w_f * n.f + row.w_d * d;
  // Zero coefficients are skipped, not multiplied: an unused register may hold anything.
  if (row.w_h1 != 0) next += row.w_h1 * n.h1;
  if (row.w_h2 != 0) next += row.w_h2 * n.h2;
  if (row.w_h3 != 0) next += row.w_h3 * n.h3;
  if (row.w_s != 0) next += row.w_s * n.saved;
  if (row.w_noise != 0) next += row.w_noise * n.noise;
  if (row.push != 0) *turned = row.h_x * n.x + row.h_d * d;
  return next;
}

// x ← x + pre_noise·ε, then the network's input c_in·x, once for each guidance group.
struct FeedArgs {
  float* x;
  const float* noise;  // read when pre_noise ≠ 0
  float pre_noise, c_in;
  float* net_in;
  int64_t count, groups;

  TENDON_HD int64_t numbers() const { return count; }
  TENDON_HD void at(int64_t i) const {
    if (pre_noise != 0) x[i] += pre_noise * noise[i];
    for (int64_t group = 0; group < groups; ++group) net_in[group * count + i] = c_in * x[i];
  }
};

// The rest of a row: x, the network's answer, the history and fresh noise become the next x.
struct CombineArgs {
  SamplerRow row;
  const SampleCall* call;
  float *x, *saved, *h1, *h2, *h3;
  const float* net_out;  // guided: conditional, then unconditional
  const float* noise;    // read when w_noise ≠ 0
  Prefix prefix;
  int64_t count, groups;

  TENDON_HD int64_t numbers() const { return count; }
  TENDON_HD void at(int64_t i) const {
    if (row.save != 0) saved[i] = x[i];
    SampleNumber n{x[i], net_out[i], 0, 0, 0, 0, 0};
    if (groups == 2) n.f = net_out[count + i] + call->guidance * (n.f - net_out[count + i]);
    if (row.w_h1 != 0) n.h1 = h1[i];
    if (row.w_h2 != 0) n.h2 = h2[i];
    if (row.w_h3 != 0) n.h3 = h3[i];
    if (row.w_s != 0) n.saved = saved[i];
    if (row.w_noise != 0) n.noise = noise[i];
    // What is pushed takes the place of the oldest and becomes H1 when the history turns.
    x[i] = sampler_step(row, n, call->prefixed != 0 ? &prefix : nullptr, i, h3 + i);
  }
};

// The whole table at once, with the network's answers to a trajectory as it was: writes the trajectory anew,
// and how far its samples have moved.
struct FollowArgs {
  const SamplerRow* rows;
  int64_t calls;
  const SampleCall* call;
  const float *start, *noise;
  const float* net_out;  // (calls, count); null: a network that says 0
  Prefix prefix;
  float* trajectory;  // (calls, count): x at each row
  float* net_in;      // (calls, count): c_in·x
  float* out;         // (count)
  float* moved;       // (count): measured as the network sees it; infinity for what is no number
  int64_t count;

  TENDON_HD int64_t numbers() const { return count; }
  TENDON_HD void at(int64_t i) const {
    SampleNumber n{start[i], 0, 0, 0, 0, 0, 0};
    const float* draw = noise + i;
    moved[i] = 0;
    for (int64_t c = 0; c < calls; ++c) {
      const SamplerRow& row = rows[c];
      if (row.pre_noise != 0) {
        n.x += row.pre_noise * *draw;
        draw += count;
      }
      arrive(trajectory + c * count, n.x, row.c_in, i);
      net_in[c * count + i] = row.c_in * n.x;
      n.f = net_out == nullptr ? 0 : net_out[c * count + i];
      if (row.save != 0) n.saved = n.x;
      if (row.w_noise != 0) n.noise = *draw;
      float turned = 0;
      n.x = sampler_step(row, n, call->prefixed != 0 ? &prefix : nullptr, i, &turned);
      if (row.w_noise != 0) draw += count;
      if (row.push != 0) n.h3 = n.h2, n.h2 = n.h1, n.h1 = turned;
    }
    arrive(out, n.x, 1, i);
  }

 private:
  TENDON_HD void arrive(float* at, float x, float scale, int64_t i) const {
    const float distance = scale * std::fabs(x - at[i]);
    if (!(distance <= moved[i])) moved[i] = distance != distance ? INFINITY : distance;
    at[i] = x;
  }
};

// out ← scale · standard normal draws `first`, `first` + 1, … of (seed, stream) (base/philox.h).
struct DrawArgs {
  uint64_t seed, stream, first;
  double scale;
  float* out;
  int64_t count;

  TENDON_HD int64_t numbers() const { return count; }
  TENDON_HD void at(int64_t i) const {
    const uint64_t index = first + static_cast<uint64_t>(i);
    uint32_t words[4];
    philox_block(seed, stream, index / 4, words);
    out[i] = scaled(normal_from(words, static_cast<int>(index % 4)));
  }
  TENDON_HD float scaled(float draw) const { return static_cast<float>(static_cast<double>(draw) * scale); }
};

}  // namespace tendon
