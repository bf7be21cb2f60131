#include "base/pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <string>

#include "base/cores.h"
#include "base/error.h"
#include "base/flush_denormals.h"
#include "base/pause.h"

namespace tendon {

namespace {

// How long a helper looks out for more work before it sleeps: longer than what a caller does by itself
// between two offers takes, and little beside the slice of time for which the system stops a thread.
constexpr int64_t look_out_ns = 50'000;
// How long a caller waits for the last pieces before it takes their members for stopped: for so long, or
// twice what a piece took itself.
constexpr int64_t patience_ns = 20'000;

uint64_t word_of(uint32_t number, int next, int end) {
  return uint64_t{number} << 32 | static_cast<uint64_t>(next) << 16 | static_cast<uint64_t>(end);
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

void Team::offer(int pieces, Call call, const void* body) const { pool_->offer(pieces, call, body); }

Pool::Pool(int threads, const Priority& priority) : priority_(priority), refused_(refusal_of(priority)) {
  try {
    start_workers(threads > 0 ? threads : default_threads());
  } catch (const BuildError&) {
    // Who asked for a number gets that number or an error.
    if (threads > 0) throw;
  }
}

Pool::Pool(std::vector<int> cores, const Priority& priority)
    : cores_(std::move(cores)), priority_(priority), refused_(refusal_of(priority)) {
  check_cores(cores_);
  start_workers(static_cast<int>(cores_.size()));
}

void Pool::start_workers(int threads) {
  CPU_ZERO(&fast_);
  for (const int core : fast_cores(allowed_cores(), cores_folder)) CPU_SET(core, &fast_);
  stretches_ = std::make_unique<Stretch[]>(static_cast<size_t>(threads));
  workers_.threads.reserve(static_cast<size_t>(threads));
  for (int member = 1; member < threads; ++member) {
    workers_.threads.emplace_back([this, member] { serve(member); });
    const Thread& worker = workers_.threads.back();
    if (!cores_.empty()) bind_to_core(worker.handle(), cores_[static_cast<size_t>(member)]);
    size_ = member + 1;
  }
}

Pool::Workers::~Workers() {
  pool.closing_.store(true);
  pool.wake();
}

JobTimes Pool::run(const std::function<void(const Team&)>& job) {
  std::lock_guard<std::mutex> turn(turn_);
  const Bound here(cores_.empty() ? -1 : cores_[0]);
  const Preferred preferred(of_caller());
  const FlushDenormals fast;
  const int64_t begin = monotonic_now_ns();
  keep_off(sched_getcpu());
  shared_last_.store(true, std::memory_order_relaxed);
  if (size_ > 1) wake();
  saved_ns_ = 0;
  job(Team(*this, size_));
  const int64_t ns = monotonic_now_ns() - begin;
  return {ns, ns + saved_ns_};
}

JobTimes Pool::run_alone(const std::function<void(const Team&)>& job) {
  std::lock_guard<std::mutex> turn(turn_);
  const Bound here(cores_.empty() ? -1 : cores_[0]);
  const Preferred preferred(of_caller());
  const FlushDenormals fast;
  shared_last_.store(false, std::memory_order_relaxed);
  const int64_t begin = monotonic_now_ns();
  job(Team());
  const int64_t ns = monotonic_now_ns() - begin;
  return {ns, ns};
}

void Pool::expect() {
  if (size_ > 1 && shared_last_.load(std::memory_order_relaxed)) wake();
}

void Pool::wake() {
  signal_.fetch_add(1);
  if (asleep_.load() > 0) signal_.notify_all();
}

void Pool::offer(int pieces, Call call, const void* body) {
  const int64_t begin = monotonic_now_ns();
  call_ = call;
  body_ = body;
  ++number_;
  undone_.store(pieces, std::memory_order_relaxed);
  // Each member begins where it began the last time: what it read then may still be in its cache.
  for (int m = 0; m < size_; ++m) {
    const auto at = [&](int member) { return static_cast<int>(int64_t{pieces} * member / size_); };
    stretches_[static_cast<size_t>(m)].left.store(word_of(number_, at(m), at(m + 1)),
                                                  std::memory_order_release);
  }
  wake();
  const int own = take_part(0);
  const int64_t done = monotonic_now_ns();
  const int64_t piece_ns = (done - begin) / std::max(own, 1);
  if (undone_.load(std::memory_order_acquire) > 0) wait_for_last(piece_ns);
  saved_ns_ += piece_ns * pieces - (monotonic_now_ns() - begin);
}

bool Pool::take(int from, bool front, int& piece) {
  std::atomic<uint64_t>& left = stretches_[static_cast<size_t>(from)].left;
  uint64_t word = left.load(std::memory_order_acquire);
  for (;;) {
    const auto number = static_cast<uint32_t>(word >> 32);
    const int next = static_cast<int>(word >> 16 & 0xFFFF), end = static_cast<int>(word & 0xFFFF);
    if (next >= end) return false;
    piece = front ? next : end - 1;
    const uint64_t rest = front ? word_of(number, next + 1, end) : word_of(number, next, end - 1);
    if (left.compare_exchange_weak(word, rest, std::memory_order_acq_rel, std::memory_order_acquire))
      return true;
  }
}

int Pool::take_part(int member) {
  int done = 0;
  std::atomic<bool>& inside = stretches_[static_cast<size_t>(member)].inside;
  for (int i = 0; i < size_; ++i) {
    const int from = (member + i) % size_;
    for (int piece; take(from, i == 0, piece); ++done) {
      inside.store(true, std::memory_order_relaxed);
      call_(body_, piece, member);
      inside.store(false, std::memory_order_relaxed);
      if (undone_.fetch_sub(1) == 1 && caller_sleeps_.load()) undone_.notify_one();
    }
  }
  return done;
}

// Most likely its members are on their way. One that is not has been stopped for the time that the system
// gives to something else, which would be lost: it is given the caller's core, while the caller sleeps.
void Pool::wait_for_last(int64_t piece_ns) {
  if (spin_for(std::max(patience_ns, 2 * piece_ns),
               [&] { return undone_.load(std::memory_order_acquire) == 0; }))
    return;
  lend_core(true);
  caller_sleeps_.store(true);
  for (int left = undone_.load(); left != 0; left = undone_.load()) undone_.wait(left);
  caller_sleeps_.store(false);
  lend_core(false);
}

void Pool::lend_core(bool lend) {
  const int core = sched_getcpu();
  if (!cores_.empty() || caller_core_ < 0 || core < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  for (size_t i = 0; i < workers_.threads.size(); ++i)
    if (!lend || stretches_[i + 1].inside.load(std::memory_order_relaxed))
      pthread_setaffinity_np(workers_.threads[i].handle(), sizeof set, lend ? &set : &others_);
}

// A helper that wakes on the caller's core would take it from the caller. What the caller may use is asked
// each time: it may have changed since (taskset, a cpuset).
void Pool::keep_off(int core) {
  if (!cores_.empty() || core < 0 || core == caller_core_) return;
  cpu_set_t others;
  if (sched_getaffinity(0, sizeof others, &others) != 0) return;
  caller_core_ = core;
  // Slow cores would be taken for helpers only to be waited for with the last pieces.
  cpu_set_t rest;
  CPU_AND(&rest, &others, &fast_);
  if (CPU_COUNT(&rest) >= size_) others = rest;
  rest = others;
  CPU_CLR(core, &rest);
  if (CPU_COUNT(&rest) > 0) others = rest;
  others_ = others;
  for (Thread& worker : workers_.threads) pthread_setaffinity_np(worker.handle(), sizeof others, &others);
}

// A caller that gave way for its job might not be allowed to take that back.
Priority Pool::of_caller() const {
  const bool gives_way = priority_.kind == Priority::Kind::nice && priority_.level > 0;
  return gives_way ? Priority{} : priority_;
}

void Pool::serve(int member) {
  const Preferred preferred(priority_);
  const FlushDenormals fast;
  // The signal before the first job is 0: a helper that starts late must not miss that job.
  for (uint32_t seen = 0;;) {
    const auto changed = [&] { return signal_.load(std::memory_order_acquire) != seen; };
    if (!spin_for(look_out_ns, changed)) {
      asleep_.fetch_add(1);
      signal_.wait(seen);
      asleep_.fetch_sub(1);
    }
    // Before looking for work: what is offered after that changes the signal again.
    seen = signal_.load();
    if (closing_.load()) return;
    take_part(member);
  }
}

}  // namespace tendon
