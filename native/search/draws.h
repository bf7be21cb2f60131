// What the search on the CPU and the one on a device (kernels/cuda/planner.h) must have in common to draw the
// same plan: a stream of base/philox.h for each kind of draw, anew for every plan, how critics are drawn, and
// which scores count as none.
#pragma once

#include <cstdint>

#include "base/device.h"
#include "base/philox.h"

namespace tendon {

enum class PlanDraw : uint8_t { samples, tail, prior, critics, pick, explore, model, prior_model, count };

TENDON_HD inline uint64_t plan_stream(uint64_t plan, PlanDraw kind) {
  return plan * static_cast<uint64_t>(PlanDraw::count) + static_cast<uint64_t>(kind);
}

// The critics of an iteration, `drawn` of so many: draw `first` + i of the stream gives the i-th.
TENDON_HD inline void draw_plan_critics(uint64_t seed, uint64_t stream, uint64_t first, int critics,
                                        int drawn, bool with_replacement, int32_t* out) {
  for (int i = 0; i < drawn; ++i) {
    const uint64_t index = first + static_cast<uint64_t>(i);
    uint32_t words[4];
    philox_block(seed, stream, index / 4, words);
    const int left = with_replacement ? critics : critics - i;
    int k = static_cast<int>(uniform_from(words[index % 4]) * static_cast<float>(left));
    if (k > left - 1) k = left - 1;  // the product may round up
    if (with_replacement) {
      out[i] = k;
      continue;
    }
    // The k-th of those not drawn yet.
    for (int member = 0;; ++member) {
      bool taken = false;
      for (int j = 0; j < i; ++j) taken |= out[j] == member;
      if (taken || k-- > 0) continue;
      out[i] = member;
      break;
    }
  }
}

// Rollouts beyond this have left what any reward means.
constexpr float exploded_score = 1e30f;

}  // namespace tendon
