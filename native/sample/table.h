// A sampler is a table: one row of coefficients per call of the denoiser, made in TypeScript in float64
// (src/samplers/table.ts). The native loop knows nothing of DDPM, Euler or flow matching.
//
// One row, with x the current sample, H1..H3 the history (newest first), S the saved sample, ε fresh noise:
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

#include <vector>

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
