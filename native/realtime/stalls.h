// When the machine itself stood still. On every processor of this process a real-time thread sleeps a
// millisecond at a time and notes when it was woken late: nothing of ours keeps such a thread from running,
// so it was the hypervisor, the firmware or the kernel.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <string>

#include "base/thread.h"
#include "realtime/ring.h"

namespace tendon {

// A row of `drain`: from and to in monotonic ns, and the processor.
constexpr size_t stall_row = 3;

class Stalls {
 public:
  // Stalls shorter than `least_ns` are not noted. Throws BuildError when there is no thread to be had.
  explicit Stalls(int64_t least_ns);
  ~Stalls();
  Stalls(const Stalls&) = delete;
  Stalls& operator=(const Stalls&) = delete;

  // For people: why lateness here says nothing about the machine; empty when it does.
  const std::string& refused() const { return refused_; }

  // Up to `most` rows into `out`; how many. Beyond a thousand stalls undrained the newest are lost.
  size_t drain(double* out, size_t most);

 private:
  struct Watch {
    Watch(int cpu_, int64_t least) : cpu(cpu_), least_ns(least), ring(1024, stall_row) {}
    const int cpu;
    const int64_t least_ns;
    Ring ring;
    std::atomic<bool> quit{false};
    Thread thread;
  };
  static void watch(Watch& own);
  void watch_on(int cpu, int64_t least_ns);
  void end();

  std::deque<Watch> watches_;
  std::string refused_;
};

}  // namespace tendon
