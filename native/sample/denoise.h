// The denoising loop around a loaded program, enqueued step by step on whatever runs it. Captured, it is a
// whole inference.
#pragma once

#include <cstdint>

#include "backend/backend.h"
#include "sample/table.h"

namespace tendon {

// All memory is the backend's.
struct DenoiseWork {
  const Executable* program;
  const SamplerTable* table;
  // The step input and the network's output: (groups·batch, …), `count` floats per group.
  float* net_in;
  const float* net_out;
  int64_t groups;
  int64_t count;
  const SampleCall* call;
  Prefix prefix;       // read when the call says that there is one
  float* x;            // (count): unit noise times the first σ, then the sample
  float* history;      // 4 · count: S, H1, H2, H3
  const float* noise;  // noise_draws · count
};

void enqueue_denoise(Stream& stream, const DenoiseWork& work);

// The same samples by fixed-point iteration over the whole trajectory (Picard iteration; Shih et al.,
// "Parallel Sampling of Diffusion Models", 2023): the network sees all calls in one batch, which a machine
// that waits for weights does in little more than the time of one. Has arrived when no sample of the
// trajectory moved by more than a tolerance; after as many iterations as there are rows it is exact. The
// program must have been compiled `parallel`, for one group.
struct ParallelWork {
  DenoiseWork denoise;     // `x` is where it starts and stays; no history
  const SamplerRow* rows;  // the table's
  float* trajectory;       // (calls, count)
  float* out;              // (count)
  float* moved;            // (count)
};

// The first guess: the table's way with a network that says nothing, every sample at its noise level.
void enqueue_guess(Stream& stream, const ParallelWork& work);
void enqueue_iteration(Stream& stream, const ParallelWork& work);

}  // namespace tendon
