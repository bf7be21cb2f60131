// The one clock.
#pragma once

#include <time.h>

#include <cstdint>

namespace tendon {

// CLOCK_MONOTONIC, ns.
inline int64_t monotonic_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

}  // namespace tendon
