// The denoising loop on a device: every step of a table, with its coefficients, put into a queue one behind
// the other, so that a recording of it is a whole inference.
#pragma once

#include <cstdint>

#include "backend/cuda/program.h"
#include "sample/table.h"

namespace tendon {

// All memory is the device's; the words are those of DenoiseWork.
struct DeviceDenoiseWork {
  const DeviceProgram* program;
  const SamplerTable* table;
  float* net_in;
  float* net_out;
  int64_t groups;
  int64_t count;
  int64_t row;
  int64_t action_dim;
  float* x;                     // (count): starts as noise, ends as the sample
  float* history;               // 4 · count: S, H1, H2, H3
  const float* noise;           // noise_draws · count
  const float* guidance;        // λ
  const float* prefix;          // (row)
  const float* prefix_weights;  // (row / action_dim), all 0 for no prefix
};

// Throws BuildError.
void put_denoise(DeviceQueue& queue, const DeviceDenoiseWork& work);

}  // namespace tendon
