#include "base/pool.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <string>

#include "base/cores.h"
#include "base/error.h"
#include "base/flush_denormals.h"

namespace tendon {

namespace {

// Spin for longer than passing from one op to the next takes; then offer the core to other threads, in case
// the one that is waited for has no core; then sleep.
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

// The calling thread on one core, until this ends; on all it had, when core is negative.
class Bound {
 public:
  explicit Bound(int core) {
    if (core < 0 || sched_getaffinity(0, sizeof before_, &before_) != 0) return;
    bound_ = bind_to_core(pthread_self(), core);
  }
  ~Bound() {
    if (bound_) sched_setaffinity(0, sizeof before_, &before_);
  }
  Bound(const Bound&) = delete;
  Bound& operator=(const Bound&) = delete;
  bool holds() const { return bound_; }

 private:
  cpu_set_t before_;
  bool bound_ = false;
};

// By trying: what an isolated core or a container allows, no list says for sure.
void check_cores(const std::vector<int>& cores) {
  if (cores.empty()) throw BuildError("config_invalid", "pin: expected at least one core");
  for (size_t i = 0; i < cores.size(); ++i) {
    const int core = cores[i];
    if (std::find(cores.begin(), cores.begin() + static_cast<long>(i), core) !=
        cores.begin() + static_cast<long>(i))
      throw BuildError("config_invalid", format("pin: core %d is named twice; each takes one thread", core));
    if (core >= 0 && core < CPU_SETSIZE && Bound(core).holds()) continue;
    std::string names;
    for (const int allowed : allowed_cores()) names += (names.empty() ? "" : ", ") + std::to_string(allowed);
    throw BuildError("config_invalid",
                     format("pin: this process cannot run on core %d; it may use %s", core, names.c_str()));
  }
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

Pool::Pool(int threads) {
  try {
    start_workers(threads > 0 ? threads : default_threads());
  } catch (const BuildError&) {
    // Who asked for a number gets that number or an error: results depend on it.
    if (threads > 0) throw;
  }
  barrier_ = Barrier(size_);
}

Pool::Pool(std::vector<int> cores) : cores_(std::move(cores)) {
  check_cores(cores_);
  start_workers(static_cast<int>(cores_.size()));
  barrier_ = Barrier(size_);
}

void Pool::start_workers(int threads) {
  workers_.threads.reserve(static_cast<size_t>(threads));
  for (; size_ < threads; ++size_) {
    workers_.threads.emplace_back([this, member = size_] { serve(member); });
    if (!cores_.empty()) bind_to_core(workers_.threads.back().handle(), cores_[static_cast<size_t>(size_)]);
  }
}

Pool::Workers::~Workers() {
  pool.closing_.store(true, std::memory_order_relaxed);
  pool.ticket_.fetch_add(1, std::memory_order_release);
  pool.ticket_.notify_all();
}

void Pool::run(const std::function<void(const Team&)>& job) {
  std::lock_guard<std::mutex> turn(turn_);
  const Bound here(cores_.empty() ? -1 : cores_[0]);
  const FlushDenormals fast;
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
  const Bound here(cores_.empty() ? -1 : cores_[0]);
  const FlushDenormals fast;
  job(Team{0, 1, nullptr});
}

// A worker that wakes on the caller's core would wait for the caller to stop spinning, while the caller spins
// for the worker. What the caller may use is asked each time: it may have changed since (taskset, a cpuset).
void Pool::keep_off(int core) {
  if (!cores_.empty() || core < 0 || core == caller_core_) return;
  caller_core_ = core;
  cpu_set_t others;
  if (sched_getaffinity(0, sizeof others, &others) != 0) return;
  CPU_CLR(core, &others);
  if (CPU_COUNT(&others) == 0) return;
  for (Thread& worker : workers_.threads) pthread_setaffinity_np(worker.handle(), sizeof others, &others);
}

void Pool::serve(int member) {
  const FlushDenormals fast;
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
