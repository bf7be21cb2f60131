// One control period of the real-time executor, as arithmetic: what has been left in the mailbox, the target
// for this moment, the limits, the command. It knows no thread, socket or clock, so that a test (or a replay)
// can step it through any time it likes. Whoever feeds it may be slow, late or gone: it finishes what it has,
// brakes within the limits and holds.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "drive/limiter.h"
#include "drive/track.h"
#include "realtime/mailbox.h"

namespace tendon {

// Interrupted: this process, or the machine, stood still for too long. Nothing leaves until `begin`.
enum class Phase : uint8_t { idle, following, holding, stopped, interrupted };
const char* phase_name(Phase phase);

struct StepperOptions {
  int joints = 0;
  int most_rows = 256;
  int64_t period_ns = 1'000'000;
  // Without a sign of life from the feeder for this long the track is not followed any more.
  int64_t heartbeat_ns = 100'000'000;
  // Two commands further apart than this do not belong to one motion: the robot is not where the last one
  // was.
  int64_t gap_ns = 50'000'000;
  Limits limits;
  Interpolation interpolation = Interpolation::linear;

  // Throws BuildError config_invalid.
  void check() const;
};

struct Steps {
  std::atomic<uint64_t> commands{0}, limited{0};
  // Times that it had to hold by itself, by cause.
  std::atomic<uint64_t> used_up{0}, heartbeats_lost{0};
  // Holds that began a whole period or more after they were due.
  std::atomic<uint64_t> missed_holds{0};
  // Times that it could not go on after a gap.
  std::atomic<uint64_t> interruptions{0};
};

class Stepper {
 public:
  explicit Stepper(StepperOptions options);

  // ---- The feeder's side: one thread, never waits, allocates nothing --------------------------------------
  // Commands begin anew at `start` (joints), at rest; also clears a stop and an interruption. `elapsed_ns`:
  // the time at which that position was good, as `release` counts it; none: that of the first release.
  void begin(const double* start, int64_t now_ns, std::optional<int64_t> elapsed_ns = std::nullopt);
  // Follows these rows (rows, joints) from now on. False, and nothing changes, for more rows than
  // `most_rows`.
  bool feed(int64_t stamp_ns, int64_t period_ns, int rows, const float* actions, int64_t now_ns);
  // Follows nothing: brakes and holds.
  void hold();
  void beat(int64_t now_ns) { beat_ns_.store(now_ns, std::memory_order_relaxed); }
  // In force at the next step at the latest: no command leaves until `begin`.
  void stop() { stop_.store(true, std::memory_order_release); }
  bool stopping() const { return stop_.load(std::memory_order_acquire); }

  // ---- The executor's side --------------------------------------------------------------------------------
  // The command for `at_ns`; false when none must leave. Allocates nothing, waits for nothing.
  bool step(int64_t at_ns);
  const double* command() const { return limiter_.previous(); }
  // To be asked right before that command is sent: false when it must not leave after all, because of a stop
  // or because this is too long after the one before. `elapsed_ns` counts time in which the machine slept
  // too.
  bool release(int64_t elapsed_ns);

  // Before the first step; false, with errno set, where the system refuses.
  bool keep_data_resident() const;

  Phase phase() const { return phase_.load(std::memory_order_relaxed); }
  const Steps& steps() const { return steps_; }
  const StepperOptions& options() const { return options_; }

 private:
  // Writes on a letter which episode it belongs to.
  void address(Track& track) const;
  void begin_hold(std::atomic<uint64_t>& cause, int64_t due_ns, int64_t at_ns);
  void enter(Phase phase) { phase_.store(phase, std::memory_order_relaxed); }

  const StepperOptions options_;
  // The feeder's: what every letter carries on.
  uint64_t episode_ = 0;
  std::vector<double> start_;
  std::optional<int64_t> begun_elapsed_ns_;
  Mailbox<Track> mailbox_;
  std::atomic<int64_t> beat_ns_{0};
  std::atomic<bool> stop_{false};

  // The executor's.
  Limiter limiter_;
  std::vector<double> desired_;
  uint64_t begun_ = 0;  // the episode that commands belong to; 0: none yet
  bool interrupted_ = false;
  std::optional<int64_t> released_ns_;  // the last release of this episode, or its beginning
  bool dropped_ = true;                 // the track in the box is not followed any more
  int64_t collected_ns_ = 0;
  std::atomic<Phase> phase_{Phase::idle};
  Steps steps_;
};

}  // namespace tendon
