#include "chunk/executor.h"

#include <signal.h>
#include <time.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "chunk/resident.h"

namespace tendon {

namespace {

int64_t read_ns(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return int64_t{1'000'000'000} * t.tv_sec + t.tv_nsec;
}

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

void bump(std::atomic<uint64_t>& count, uint64_t by = 1) {
  count.store(count.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

}  // namespace

int64_t monotonic_ns() { return read_ns(CLOCK_MONOTONIC); }

Pace::Turn Pace::wake(int64_t now_ns) {
  const int64_t late = std::max<int64_t>(0, now_ns - due_ns_), missed = late / period_ns_;
  const int64_t at = due_ns_ + missed * period_ns_;
  due_ns_ = at + period_ns_;
  return {at, late, missed};
}

Executor::Executor(ExecutorOptions options)
    : options_(std::move(options)),
      stepper_(options_.step),
      ring_(static_cast<size_t>(std::max(1, options_.ring_rows)),
            ring_head + static_cast<size_t>(options_.step.joints)) {
  if (options_.lifetime_ns <= 0)
    throw BuildError("config_invalid", "executor: a command must live longer than 0 ns");
  if (!options_.udp_host.empty())
    udp_ = std::make_unique<UdpSender>(options_.udp_host, options_.udp_port, options_.step.joints);
}

void Executor::start() {
  if (thread_) return;
  if (options_.lock_memory && !(keep_program_resident() && keep_resident(this, sizeof *this) &&
                                stepper_.keep_data_resident() && keep_resident(ring_.data(), ring_.bytes())))
    refused_ += format("locked memory (%s; see ulimit -l). ", std::strerror(errno));
  // Signals are for the threads of Node.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  const int failed = pthread_create(
      &thread, nullptr,
      [](void* self) -> void* {
        static_cast<Executor*>(self)->loop();
        return nullptr;
      },
      this);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (failed != 0) throw BuildError("internal", format("executor: no thread: %s", std::strerror(failed)));
  thread_ = thread;
  if (options_.fifo_priority > 0) {
    sched_param wanted{};
    wanted.sched_priority = options_.fifo_priority;
    if (const int why = pthread_setschedparam(thread, SCHED_FIFO, &wanted); why != 0)
      refused_ +=
          format("SCHED_FIFO priority %d (%s; see ulimit -r). ", options_.fifo_priority, std::strerror(why));
  }
}

void Executor::close() {
  if (!thread_) return;
  quit_.store(true, std::memory_order_relaxed);
  pthread_join(*thread_, nullptr);
  thread_.reset();
  quit_.store(false, std::memory_order_relaxed);
}

void Executor::loop() {
#if defined(__linux__)
  // Without SCHED_FIFO the kernel may wake a sleeper 50 µs late to save a timer interrupt.
  prctl(PR_SET_TIMERSLACK, 1UL);
#endif
  // Refused by the same limit as the rest, of which `start` has told.
  if (options_.lock_memory) (void)keep_stack_resident();
  Pace pace(monotonic_ns() + stepper_.options().period_ns, stepper_.options().period_ns);
  while (!quit_.load(std::memory_order_relaxed)) {
    sleep_until(pace.due_ns());
    const Pace::Turn turn = pace.wake(monotonic_ns());
    lateness_.add(turn.late_ns);
    bump(missed_, static_cast<uint64_t>(turn.missed));
    tick(turn.at_ns);
  }
}

void Executor::tick(int64_t at_ns) {
  if (stepper_.step(at_ns)) emit(at_ns);
}

void Executor::emit(int64_t at_ns) {
  const double* values = stepper_.command();
  const int64_t expires_ns = at_ns + options_.lifetime_ns;
  const auto phase = static_cast<uint16_t>(stepper_.phase());
  ++sequence_;
  if (udp_) {
    // Monotonic time means nothing to another machine.
    const int64_t epoch_ns = read_ns(CLOCK_REALTIME) - monotonic_ns();
    if (!udp_->send(phase, sequence_, epoch_ns + at_ns, epoch_ns + expires_ns, values)) bump(unsent_);
  }
  double* row = ring_.next();
  if (row == nullptr) {
    bump(ring_full_);
    return;
  }
  *row++ = static_cast<double>(sequence_);
  *row++ = static_cast<double>(at_ns);
  *row++ = static_cast<double>(expires_ns);
  *row++ = static_cast<double>(phase);
  std::copy_n(values, options_.step.joints, row);
  ring_.push();
}

}  // namespace tendon
