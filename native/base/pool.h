// One team of threads that runs a whole inference together: every member enters a job once, and barriers keep
// them in step. Members that wait spin for a counted number of pauses (about 100 µs where a pause takes 140
// cycles, less on older and on Arm processors), then sleep.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <vector>

#include "base/thread.h"

namespace tendon {

// Where the members of a running job wait for each other. Sense-reversing; spins, then sleeps on the futex.
class Barrier {
 public:
  explicit Barrier(int members = 1) : members_(members) {}
  // Not while anyone waits.
  Barrier& operator=(const Barrier& other) {
    members_ = other.members_;
    return *this;
  }
  void wait();

 private:
  int members_;
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<uint32_t> phase_{0};
};

// A member's view of the running job.
struct Team {
  int member;
  int size;
  Barrier* barrier;
  void sync() const {
    if (size > 1) barrier->wait();
  }
};

class Pool {
 public:
  // `threads` members including the caller of run(). 0: default_threads() (base/cores.h), or as many of them
  // as the system gives. Throws BuildError out_of_resources when it does not give the number that was asked
  // for.
  explicit Pool(int threads = 0);
  // A member for each of these cores, bound to it: workers for good, the caller for as long as its job lasts.
  // Throws BuildError config_invalid for a core named twice or one that this process cannot run on, and
  // out_of_resources.
  explicit Pool(std::vector<int> cores);
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int size() const { return size_; }
  const std::vector<int>& cores() const { return cores_; }  // by member; empty: nothing is bound
  // Runs job(team) on every member and returns when all have left it. Jobs of several callers take turns.
  // Denormal numbers count as zero in a job, on every member (base/flush_denormals.h).
  void run(const std::function<void(const Team&)>& job);
  // The same with the caller as the only member: for work too short to wake others for.
  void run_alone(const std::function<void(const Team&)>& job);

 private:
  void start_workers(int threads);
  void serve(int member);
  void keep_off(int core);

  int size_ = 1;
  const std::vector<int> cores_;
  int caller_core_ = -1;  // where the last job's caller ran
  Barrier barrier_;
  std::mutex turn_;  // one job at a time
  std::atomic<uint32_t> ticket_{0};
  std::atomic<int> busy_{0};
  std::atomic<bool> closing_{false};
  const std::function<void(const Team&)>* job_ = nullptr;
  // Last, so that the workers end before what they read, and when a constructor throws too: told to end here,
  // then joined by Thread.
  struct Workers {
    explicit Workers(Pool& own) : pool(own) {}
    ~Workers();
    Pool& pool;
    std::vector<Thread> threads;
  };
  Workers workers_{*this};
};

}  // namespace tendon
