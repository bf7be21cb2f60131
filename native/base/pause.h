// Waiting for another thread that is about to be done: for a time that is measured, because a pause takes 140
// cycles on one processor, 10 on another and none on a third.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <time.h>

#include <cstdint>

namespace tendon {

// CLOCK_MONOTONIC, ns.
inline int64_t monotonic_now_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{1'000'000'000} * t.tv_sec + t.tv_nsec;
}

inline void pause_briefly() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  // `yield` does nothing on most Arm cores; this waits for the pipeline to empty, some tens of ns.
  asm volatile("isb" ::: "memory");
#endif
}

// Until `done()` or for `ns`, whichever comes first; whether it is done.
template <class Done>
bool spin_for(int64_t ns, Done done) {
  constexpr int pauses_per_look = 16;  // at the clock
  for (int64_t until = 0;;) {
    for (int i = 0; i < pauses_per_look; ++i) {
      if (done()) return true;
      pause_briefly();
    }
    const int64_t now = monotonic_now_ns();
    if (until == 0) until = now + ns;
    if (now >= until) return done();
  }
}

}  // namespace tendon
