// The denoising loop. Its arrays are small (a chunk of actions), so the caller combines them by itself; the
// network between is run by the whole team.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/error.h"
#include "base/team.h"
#include "compile/bound.h"
#include "sample/table.h"

namespace tendon {

// Holds the tail of the chunk in force: the new one is drawn towards it, position by position.
struct Prefix {
  const float* target = nullptr;   // (horizon, action_dim), normalised; null for none
  const float* weights = nullptr;  // (horizon), 0…1
};

struct DenoiseWork {
  const Bound* program;
  const SamplerTable* table;
  // The step input and the network's output: (groups·batch, …), `count` floats per group.
  float* net_in;
  float* net_out;
  int groups;
  int64_t count;
  int64_t row;  // floats of one batch row: horizon · action_dim
  int64_t action_dim;
  float guidance = 1;  // λ; needs two groups: conditional, unconditional
  Prefix prefix;
  const float* start;  // unit-variance noise times the first σ, already scaled: x at the first row
  const float* noise;  // noise_draws · count, or null when the table draws none
  float* out;
  float* registers;  // 5 · count: x, S, H1, H2, H3; with all calls at once, rows · count more
  const std::atomic<bool>* cancel;
};

// `calls` counts what was made of the table's calls.
Status denoise(const DenoiseWork& work, const Team& team, int* calls);

// The same samples by fixed-point iteration over the whole trajectory (Picard iteration; Shih et al.,
// "Parallel Sampling of Diffusion Models", 2023): the network sees all calls in one batch, which a machine
// that waits for weights does in little more than the time of one. Ends when no sample of the trajectory
// moved by more than `tolerance`, at the latest after as many iterations as there are rows, when it is exact.
// `calls` counts iterations. The program must have been compiled `parallel`, for one group.
Status denoise_parallel(const DenoiseWork& work, float tolerance, const Team& team, int* calls);

}  // namespace tendon
