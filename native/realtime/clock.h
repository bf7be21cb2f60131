// Time as real-time threads keep it.
#pragma once

#include <cstdint>

#include "base/clock.h"

namespace tendon {

// The monotonic clock, ns, with the time in which the machine was suspended: only differences mean anything.
int64_t elapsed_ns();
// CLOCK_REALTIME, ns: for those who are on another machine.
int64_t epoch_ns();

void sleep_until(int64_t at_ns);

// The absolute times of a loop: periods that are past are skipped, never made up for.
class Pace {
 public:
  Pace(int64_t first_ns, int64_t period_ns) : due_ns_(first_ns), period_ns_(period_ns) {}
  int64_t due_ns() const { return due_ns_; }
  // Awake at `now_ns`: the latest moment that is due, and how many before it were missed; moves on.
  struct Turn {
    int64_t at_ns, late_ns, missed;
  };
  Turn wake(int64_t now_ns);

 private:
  int64_t due_ns_, period_ns_;
};

}  // namespace tendon
