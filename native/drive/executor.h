// The real-time executor: a thread of its own that steps a Stepper by absolute times, whatever the rest of
// the process is doing, and sends each command as a datagram and into a ring that JavaScript drains. Its loop
// takes no lock and allocates nothing.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "drive/stepper.h"
#include "drive/udp.h"
#include "realtime/clock.h"
#include "realtime/histogram.h"
#include "realtime/ring.h"
#include "realtime/thread.h"

namespace tendon {

struct ExecutorOptions {
  StepperOptions step;
  // A command expires this long after its stamp.
  int64_t lifetime_ns = 100'000'000;
  int ring_rows = 1024;
  std::string udp_host;  // empty: no datagrams
  int udp_port = 0;
  int fifo_priority = 0;     // 1 to 99: SCHED_FIFO; 0: as any other thread
  bool lock_memory = false;  // the thread's program, stack and data stay in memory
};

// A row of the ring: sequence, stamp and expiry in monotonic ns, phase, then the joints.
constexpr size_t ring_head = 4;

class Executor {
 public:
  // Throws BuildError.
  explicit Executor(ExecutorOptions options);
  ~Executor() { close(); }
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Starts the thread. Without it `tick` steps by hand.
  void start();
  // Ends the thread; the drive is left to its own watchdog.
  void close();
  bool running() const { return thread_.running(); }

  // One period at `at_ns`, on the caller's thread, which is taken to be the time it is.
  void tick(int64_t at_ns);

  // Commands begin anew at `position` (joints), as it was measured just now.
  void begin(const double* position);

  Stepper& stepper() { return stepper_; }
  Ring& ring() { return ring_; }
  const ExecutorOptions& options() const { return options_; }

  // For people: what the system refused of a real-time thread; empty when nothing.
  const std::string& refused() const { return refused_; }
  const Histogram& lateness() const { return lateness_; }
  uint64_t missed() const { return missed_.load(std::memory_order_relaxed); }
  uint64_t ring_full() const { return ring_full_.load(std::memory_order_relaxed); }
  uint64_t unsent() const { return unsent_.load(std::memory_order_relaxed); }

 private:
  void loop();
  // Sends the command for `at_ns` unless it is too late for it.
  void emit(int64_t at_ns, bool by_hand);

  const ExecutorOptions options_;
  Stepper stepper_;
  Ring ring_;
  std::unique_ptr<UdpSender> udp_;
  std::string refused_;
  Thread thread_;
  std::atomic<bool> quit_{false};
  uint64_t sequence_ = 0;
  Histogram lateness_;
  std::atomic<uint64_t> missed_{0}, ring_full_{0}, unsent_{0};
};

}  // namespace tendon
