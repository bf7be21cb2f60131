// One team of threads that runs a whole inference together: a job is entered once by every member and keeps
// in step by barriers, so that handing over from one op to the next costs well under a microsecond. Members
// spin briefly, then sleep.
#pragma once

#include <sched.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace tendon {

// Where the members of a running job wait for each other. Sense-reversing; spins, then sleeps on the futex.
class Barrier {
 public:
  explicit Barrier(int members) : members_(members) {}
  void wait();

 private:
  const int members_;
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
  // `threads` members including the caller of run(); 0 means one per core.
  explicit Pool(int threads = 0);
  // A member for each of these cores, bound to it: workers for good, the caller for as long as its job lasts.
  // Throws BuildError config_invalid for a core named twice or one that this process cannot run on.
  explicit Pool(std::vector<int> cores);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int size() const { return size_; }
  const std::vector<int>& cores() const { return cores_; }  // by member; empty: nothing is bound
  // Runs job(team) on every member and returns when all have left it. Jobs of several callers take turns.
  void run(const std::function<void(const Team&)>& job);
  // The same with the caller as the only member: for work too short to wake others for.
  void run_alone(const std::function<void(const Team&)>& job);

 private:
  void start_workers();
  void serve(int member);
  void keep_off(int core);

  int size_;
  const std::vector<int> cores_;
  cpu_set_t allowed_;     // that this process may use
  bool known_ = false;    // whether `allowed_` is; else nothing is moved
  int caller_core_ = -1;  // where the last job's caller ran
  Barrier barrier_;
  std::mutex turn_;  // one job at a time
  std::atomic<uint32_t> ticket_{0};
  std::atomic<int> busy_{0};
  std::atomic<bool> closing_{false};
  const std::function<void(const Team&)>* job_ = nullptr;
  std::vector<std::thread> workers_;
};

}  // namespace tendon
