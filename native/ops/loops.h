// The one list of what is done around a network: steps of samplers, camera frames. Each gives the definition
// of one number (`at`) and how many there are (`numbers`); every backend's kernels are made from that. A
// backend with a faster way overloads it by the arguments' type (backend/cpu/loops.cpp).
#pragma once

#include <variant>

#include "ops/frames.h"
#include "ops/sampler.h"

// Name and arguments.
#define TENDON_LOOP_OPS(X) \
  X(feed, FeedArgs)        \
  X(combine, CombineArgs)  \
  X(follow, FollowArgs)    \
  X(draw, DrawArgs)        \
  X(crop, CropArgs)        \
  X(across, AcrossArgs)    \
  X(down, DownArgs)

namespace tendon {

template <class Args>
concept LoopOp = requires(const Args& a, int64_t i) {
  a.numbers();
  a.at(i);
};

}  // namespace tendon
