// Time as real-time threads keep it, and how they are started.
#pragma once

#include <pthread.h>

#include <cstdint>
#include <string>

namespace tendon {

// CLOCK_MONOTONIC, ns: the time of every stamp here.
int64_t monotonic_ns();
// CLOCK_REALTIME, ns: for those who are on another machine.
int64_t epoch_ns();

void sleep_until(int64_t at_ns);

// A thread that no signal disturbs (those are Node's) and that is woken without the slack that saves
// interrupts. Throws BuildError when there is none to be had.
pthread_t start_thread(void (*body)(void*), void* argument);

// SCHED_FIFO at 1 to 99. Empty, or for people: what was refused and why.
std::string prefer(pthread_t thread, int fifo_priority);

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
