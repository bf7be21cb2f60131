#include "base/pool.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <pthread.h>
#include <sched.h>

#include <algorithm>

namespace tendon {

namespace {

// Polite spinning, longer than any hand-over between two ops; then the core is offered to others, in case the
// one that is waited for has none; then sleep.
constexpr int spins = 2000, yields = 32;

inline void pause_briefly() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

template <class T>
void wait_while_equal(const std::atomic<T>& value, T old) {
  for (int i = 0; i < spins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    pause_briefly();
  }
  for (int i = 0; i < yields; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    sched_yield();
  }
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

}  // namespace

void Barrier::wait() {
  const uint32_t phase = phase_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) == members_ - 1) {
    arrived_.store(0, std::memory_order_relaxed);
    phase_.store(phase + 1, std::memory_order_release);
    phase_.notify_all();
  } else {
    wait_while_equal(phase_, phase);
  }
}

Pool::Pool(int threads, bool pin)
    : size_(threads > 0 ? threads : std::max(1u, std::thread::hardware_concurrency())),
      pinned_(pin),
      barrier_(size_) {
  if (sched_getaffinity(0, sizeof cores_, &cores_) != 0)
    pinned_ = true;  // nothing is known: nothing is moved
  for (int member = 1; member < size_; ++member) {
    workers_.emplace_back([this, member] { serve(member); });
    if (pin) {
      cpu_set_t cores;
      CPU_ZERO(&cores);
      CPU_SET(member, &cores);
      pthread_setaffinity_np(workers_.back().native_handle(), sizeof cores, &cores);
    }
  }
}

Pool::~Pool() {
  closing_.store(true, std::memory_order_relaxed);
  ticket_.fetch_add(1, std::memory_order_release);
  ticket_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Pool::run(const std::function<void(const Team&)>& job) {
  std::lock_guard<std::mutex> turn(turn_);
  keep_off(sched_getcpu());
  job_ = &job;
  busy_.store(size_ - 1, std::memory_order_relaxed);
  ticket_.fetch_add(1, std::memory_order_release);
  if (size_ > 1) ticket_.notify_all();
  job(Team{0, size_, &barrier_});
  for (int left = busy_.load(std::memory_order_acquire); left != 0;
       left = busy_.load(std::memory_order_acquire))
    wait_while_equal(busy_, left);
}

void Pool::run_alone(const std::function<void(const Team&)>& job) {
  std::lock_guard<std::mutex> turn(turn_);
  job(Team{0, 1, nullptr});
}

// A worker that wakes on the caller's core would wait for it to stop spinning, which it does for the worker.
void Pool::keep_off(int core) {
  if (pinned_ || core < 0 || core == caller_core_) return;
  caller_core_ = core;
  cpu_set_t others = cores_;
  CPU_CLR(core, &others);
  if (CPU_COUNT(&others) == 0) return;
  for (std::thread& worker : workers_) pthread_setaffinity_np(worker.native_handle(), sizeof others, &others);
}

void Pool::serve(int member) {
  // The ticket before the first job is 0: a worker that starts late must not miss that job.
  uint32_t seen = 0;
  for (;;) {
    wait_while_equal(ticket_, seen);
    ++seen;
    if (closing_.load(std::memory_order_relaxed)) return;
    (*job_)(Team{member, size_, &barrier_});
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_all();
  }
}

}  // namespace tendon
