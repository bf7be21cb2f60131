#include "sample/denoise.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "backend/cpu/run.h"

namespace tendon {

namespace {

struct Registers {
  float *x, *saved, *h1, *h2, *h3;
};

void add_scaled(float* x, float scale, const float* y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) x[i] += scale * y[i];
}

void feed_network(const DenoiseWork& w, const SamplerRow& row, const float* x) {
  for (int64_t i = 0; i < w.count; ++i) w.net_in[i] = row.c_in * x[i];
  for (int g = 1; g < w.groups; ++g) std::memcpy(w.net_in + g * w.count, w.net_in, w.count * sizeof(float));
}

// x ← the row's combination; the history and the saved sample as the row asks.
void combine(const DenoiseWork& w, const SamplerRow& row, Registers& r, const float* epsilon) {
  if (row.save != 0) std::memcpy(r.saved, r.x, w.count * sizeof(float));
  const float* unconditional = w.net_out + w.count;
  const bool guided = w.groups == 2;
  const bool prefixed = w.prefix.target != nullptr && row.guide != 0;
  for (int64_t i = 0; i < w.count; ++i) {
    const float x = r.x[i];
    float f = w.net_out[i];
    if (guided) f = unconditional[i] + w.guidance * (f - unconditional[i]);
    float d = row.a_x * x + row.a_f * f;
    if (row.clip > 0) d = std::min(std::max(d, -row.clip), row.clip);
    if (prefixed) {
      const int64_t at = i % w.row;
      d += row.guide * w.prefix.weights[at / w.action_dim] * (w.prefix.target[at] - d);
    }
    float next = row.w_x * x + row.w_f * f + row.w_d * d;
    // Zero coefficients are skipped, not multiplied: an unused register may hold anything.
    if (row.w_h1 != 0) next += row.w_h1 * r.h1[i];
    if (row.w_h2 != 0) next += row.w_h2 * r.h2[i];
    if (row.w_h3 != 0) next += row.w_h3 * r.h3[i];
    if (row.w_s != 0) next += row.w_s * r.saved[i];
    if (row.w_noise != 0) next += row.w_noise * epsilon[i];
    if (row.push != 0) r.h3[i] = row.h_x * x + row.h_d * d;  // becomes H1 when the history turns
    r.x[i] = next;
  }
  if (row.push != 0) {
    std::swap(r.h3, r.h2);
    std::swap(r.h2, r.h1);
  }
}

bool all_finite(const float* x, int64_t count) {
  bool finite = true;
  for (int64_t i = 0; i < count; ++i) finite &= std::isfinite(x[i]);
  return finite;
}

bool is_cancelled(const DenoiseWork& w) {
  return w.cancel != nullptr && w.cancel->load(std::memory_order_relaxed);
}

Registers registers_of(const DenoiseWork& w) {
  float* base = w.registers;
  return {base, base + w.count, base + 2 * w.count, base + 3 * w.count, base + 4 * w.count};
}

// Follows the table with the network's answers to the trajectory as it was, writing the trajectory anew.
// Returns how far its samples have moved, the last one included. NaN counts as not having arrived.
float follow(const DenoiseWork& w, float* trajectory) {
  Registers r = registers_of(w);
  const float* epsilon = w.noise;
  float moved = 0;
  // Measured as the network sees it: a sample at a high noise level is large.
  const auto arrive = [&](float* at, const float* x, float scale) {
    for (int64_t i = 0; i < w.count; ++i) {
      const float distance = scale * std::fabs(x[i] - at[i]);
      if (!(distance <= moved)) moved = std::isnan(distance) ? INFINITY : distance;
      at[i] = x[i];
    }
  };
  std::memcpy(r.x, w.start, w.count * sizeof(float));
  DenoiseWork one = w;
  for (size_t call = 0; call < w.table->rows.size(); ++call) {
    const SamplerRow& row = w.table->rows[call];
    if (row.pre_noise != 0) {
      add_scaled(r.x, row.pre_noise, epsilon, w.count);
      epsilon += w.count;
    }
    arrive(trajectory + call * w.count, r.x, row.c_in);
    one.net_out = w.net_out + call * w.count;
    combine(one, row, r, epsilon);
    if (row.w_noise != 0) epsilon += w.count;
  }
  arrive(w.out, r.x, 1);
  return moved;
}

}  // namespace

Status denoise_parallel(const DenoiseWork& w, float tolerance, const Team& team, int* calls) {
  const int rows = static_cast<int>(w.table->rows.size());
  float* trajectory = w.registers + 5 * w.count;
  *calls = 0;
  // The first guess is the table's way with a network that says nothing: every sample at its noise level.
  std::memset(w.net_out, 0, static_cast<size_t>(rows) * w.count * sizeof(float));
  follow(w, trajectory);
  for (bool arrived = false; !arrived;) {
    if (is_cancelled(w)) return Status::cancelled;
    for (int call = 0; call < rows; ++call)
      for (int64_t i = 0; i < w.count; ++i)
        w.net_in[call * w.count + i] = w.table->rows[call].c_in * trajectory[call * w.count + i];
    run_list(*w.program, List::step, team);
    const float moved = follow(w, trajectory);
    ++*calls;
    arrived = moved <= tolerance || *calls == rows;
  }
  return all_finite(w.out, w.count) ? Status::ok : Status::not_finite;
}

Status denoise(const DenoiseWork& w, const Team& team, int* calls) {
  Registers r = registers_of(w);
  const float* epsilon = w.noise;
  *calls = 0;
  std::memcpy(r.x, w.start, w.count * sizeof(float));
  const int count = static_cast<int>(w.table->rows.size());
  for (int call = 0; call < count; ++call) {
    const SamplerRow& row = w.table->rows[call];
    if (is_cancelled(w)) return Status::cancelled;
    if (row.pre_noise != 0) {
      add_scaled(r.x, row.pre_noise, epsilon, w.count);
      epsilon += w.count;
    }
    feed_network(w, row, r.x);
    run_list(*w.program, List::step, team, call);
    combine(w, row, r, epsilon);
    if (row.w_noise != 0) epsilon += w.count;
    ++*calls;
  }
  std::memcpy(w.out, r.x, w.count * sizeof(float));
  return all_finite(w.out, w.count) ? Status::ok : Status::not_finite;
}

}  // namespace tendon
