// Threads that help a caller with its job (base/team.h). Work is cut into more pieces than there are threads,
// and each takes the next when it has done one: whoever is slowed down or stopped by other work on the
// machine takes fewer. A helper that has no core holds nothing up but the one piece that it may be in the
// middle of; for that the caller hands it its own core.
#pragma once

#include <sched.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/priority.h"
#include "base/team.h"
#include "base/thread.h"

namespace tendon {

// What a job took, and what it would have taken its caller alone, by the pieces that the caller did itself.
struct JobTimes {
  int64_t ns, alone_ns;
};

class Pool {
 public:
  // `threads` members including the caller of run(). 0: default_threads() (base/cores.h), or as many of them
  // as the system gives. Throws BuildError out_of_resources when it does not give the number that was asked
  // for.
  explicit Pool(int threads = 0, const Priority& priority = {});
  // A member for each of these cores, bound to it: workers for good, the caller for as long as its job lasts.
  // Throws BuildError config_invalid for a core named twice or one that this process cannot run on, and
  // out_of_resources.
  explicit Pool(std::vector<int> cores, const Priority& priority = {});
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int size() const { return size_; }
  const std::vector<int>& cores() const { return cores_; }  // by member; empty: nothing is bound
  // For people: what of the priority was refused and why; empty when it was given or none was asked for.
  const std::string& refused() const { return refused_; }

  // Runs a job on the calling thread, with helpers for what it shares. Jobs of several callers take turns.
  // Denormal numbers count as zero in a job, on every member (base/flush_denormals.h).
  JobTimes run(const std::function<void(const Team&)>& job);
  // The same without helpers: for work too short to wake others for.
  JobTimes run_alone(const std::function<void(const Team&)>& job);
  // Wakes the helpers for a job that is on its way, from any thread; not when the last job was its caller's.
  void expect();

 private:
  friend class Team;
  using Call = void (*)(const void* body, int piece, int member);

  // Pieces of the work on offer that are still there to take, of those that were meant for one member:
  // the number of the offer, the next piece and the end, in one word, so that a piece can be taken only of
  // the offer that was looked at.
  struct alignas(64) Stretch {
    std::atomic<uint64_t> left{0};
    std::atomic<bool> inside{false};  // its member is in the middle of a piece
  };

  void start_workers(int threads);
  Priority of_caller() const;
  void serve(int member);
  void offer(int pieces, Call call, const void* body);
  // Does pieces as long as there are any; how many.
  int take_part(int member);
  bool take(int from, bool front, int& piece);
  void wait_for_last(int64_t piece_ns);
  void wake();
  void keep_off(int core);
  void lend_core(bool lend);

  int size_ = 1;
  const std::vector<int> cores_;
  const Priority priority_;
  const std::string refused_;
  int caller_core_ = -1;  // where the last job's caller ran
  cpu_set_t fast_{};      // cores of the fast kind
  cpu_set_t others_{};    // what helpers may use beside the caller's
  std::mutex turn_;       // one job at a time

  // The work on offer. Written by the caller while no piece is left, read by whoever has taken one.
  Call call_ = nullptr;
  const void* body_ = nullptr;
  uint32_t number_ = 0;
  int64_t saved_ns_ = 0;  // what this job's helpers saved its caller so far
  std::unique_ptr<Stretch[]> stretches_;
  alignas(64) std::atomic<int> undone_{0};
  std::atomic<bool> caller_sleeps_{false};
  // Changes with every offer; helpers wait for that.
  alignas(64) std::atomic<uint32_t> signal_{0};
  std::atomic<int> asleep_{0};
  std::atomic<bool> shared_last_{false};
  std::atomic<bool> closing_{false};

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
