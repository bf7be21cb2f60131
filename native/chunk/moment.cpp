#include "chunk/moment.h"

#include <signal.h>
#include <time.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "base/error.h"

namespace tendon {

namespace {

int64_t read_ns(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return int64_t{1'000'000'000} * t.tv_sec + t.tv_nsec;
}

struct Start {
  void (*body)(void*);
  void* argument;
};

void* run(void* start) {
  const Start what = *std::unique_ptr<Start>(static_cast<Start*>(start));
#if defined(__linux__)
  // Without SCHED_FIFO the kernel may wake a sleeper 50 µs late to save a timer interrupt.
  prctl(PR_SET_TIMERSLACK, 1UL);
#endif
  what.body(what.argument);
  return nullptr;
}

}  // namespace

int64_t monotonic_ns() { return read_ns(CLOCK_MONOTONIC); }
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

pthread_t start_thread(void (*body)(void*), void* argument) {
  auto start = std::make_unique<Start>(Start{body, argument});
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  const int failed = pthread_create(&thread, nullptr, run, start.get());
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (failed != 0) throw BuildError("internal", format("no real-time thread: %s", std::strerror(failed)));
  (void)start.release();  // the thread's
  return thread;
}

std::string prefer(pthread_t thread, int fifo_priority) {
  sched_param wanted{};
  wanted.sched_priority = fifo_priority;
  const int why = pthread_setschedparam(thread, SCHED_FIFO, &wanted);
  if (why == 0) return "";
  return format("SCHED_FIFO priority %d (%s; see ulimit -r)", fifo_priority, std::strerror(why));
}

Pace::Turn Pace::wake(int64_t now_ns) {
  const int64_t late = std::max<int64_t>(0, now_ns - due_ns_), missed = late / period_ns_;
  const int64_t at = due_ns_ + missed * period_ns_;
  due_ns_ = at + period_ns_;
  return {at, late, missed};
}

}  // namespace tendon
