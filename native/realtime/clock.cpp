#include "realtime/clock.h"

#include <time.h>

#include <algorithm>
#include <cerrno>

namespace tendon {

namespace {

int64_t read_ns(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return int64_t{1'000'000'000} * t.tv_sec + t.tv_nsec;
}

}  // namespace

#if defined(__linux__)
int64_t elapsed_ns() { return read_ns(CLOCK_BOOTTIME); }
#else
int64_t elapsed_ns() { return read_ns(CLOCK_MONOTONIC); }  // of macOS, which goes on while it sleeps
#endif
int64_t epoch_ns() { return read_ns(CLOCK_REALTIME); }

void sleep_until(int64_t at_ns) {
#if defined(__linux__)
  const timespec t{static_cast<time_t>(at_ns / 1'000'000'000), static_cast<long>(at_ns % 1'000'000'000)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, nullptr) == EINTR) {
  }
#else
  // No absolute sleep here: what is left is asked for anew, so that lateness does not add up.
  for (int64_t left = at_ns - monotonic_ns(); left > 0; left = at_ns - monotonic_ns()) {
    const timespec t{static_cast<time_t>(left / 1'000'000'000), static_cast<long>(left % 1'000'000'000)};
    nanosleep(&t, nullptr);
  }
#endif
}

Pace::Turn Pace::wake(int64_t now_ns) {
  const int64_t late = std::max<int64_t>(0, now_ns - due_ns_), missed = late / period_ns_;
  const int64_t at = due_ns_ + missed * period_ns_;
  due_ns_ = at + period_ns_;
  return {at, late, missed};
}

}  // namespace tendon
