// A sampler as the core knows it: rows of coefficients (ops/sampler.h says what they mean). The loop knows
// nothing of DDPM, Euler or flow matching.
#pragma once

#include <vector>

#include "ops/sampler.h"

namespace tendon {

// Names of the fields in memory order, for the door and its test.
constexpr const char* sampler_row_fields[] = {"pre_noise", "c_in", "a_x",     "a_f",  "clip", "guide",
                                              "save",      "w_x",  "w_f",     "w_d",  "w_h1", "w_h2",
                                              "w_h3",      "w_s",  "w_noise", "push", "h_x",  "h_d"};
static_assert(sizeof(SamplerRow) == sizeof sampler_row_fields / sizeof *sampler_row_fields * sizeof(float));

struct SamplerTable {
  std::vector<SamplerRow> rows;
  int noise_draws() const {
    int count = 0;
    for (const SamplerRow& row : rows) count += (row.pre_noise != 0) + (row.w_noise != 0);
    return count;
  }
};

}  // namespace tendon
