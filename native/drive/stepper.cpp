#include "drive/stepper.h"

#include <algorithm>

#include "base/error.h"
#include "realtime/resident.h"

namespace tendon {

namespace {

void bump(std::atomic<uint64_t>& count) {
  count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

Track blank(const StepperOptions& options) {
  Track track;
  track.start.resize(static_cast<size_t>(options.joints));
  track.values.resize(static_cast<size_t>(options.joints) * static_cast<size_t>(options.most_rows));
  return track;
}

}  // namespace

const char* phase_name(Phase phase) {
  switch (phase) {
    case Phase::idle:
      return "idle";
    case Phase::following:
      return "following";
    case Phase::holding:
      return "holding";
    case Phase::stopped:
      return "stopped";
    case Phase::interrupted:
      return "interrupted";
  }
  return "?";
}

void StepperOptions::check() const {
  if (joints < 1 || joints > 1024)
    throw BuildError("config_invalid", format("executor: expected 1 to 1024 joints, got %d", joints));
  if (most_rows < 1 || most_rows > 1 << 16)
    throw BuildError("config_invalid", format("executor: expected 1 to 65536 rows, got %d", most_rows));
  if (period_ns < 1'000'000 || period_ns > 1'000'000'000)
    throw BuildError("config_invalid", "executor: expected a rate from 1 to 1000 Hz");
  if (heartbeat_ns < period_ns)
    throw BuildError("config_invalid", "executor: the heartbeat must be at least a period long");
  if (gap_ns < period_ns)
    throw BuildError("config_invalid",
                     "executor: the gap between two commands must be at least a period long");
  limits.check(static_cast<size_t>(joints));
}

Stepper::Stepper(StepperOptions options)
    : options_((options.check(), std::move(options))),
      start_(static_cast<size_t>(options_.joints)),
      mailbox_(blank(options_)),
      limiter_(options_.limits, start_.size()),
      desired_(start_.size()) {}

bool Stepper::keep_data_resident() const {
  const auto keep = [](const std::vector<double>& v) {
    return keep_resident(v.data(), v.size() * sizeof(double));
  };
  bool kept = keep(desired_) && limiter_.keep_data_resident();
  for (const Track& track : mailbox_.boxes()) kept = kept && keep(track.start) && keep(track.values);
  return kept;
}

void Stepper::begin(const double* start, int64_t now_ns, std::optional<int64_t> elapsed_ns) {
  std::copy_n(start, start_.size(), start_.begin());
  begun_elapsed_ns_ = elapsed_ns;
  ++episode_;
  hold();
  beat(now_ns);
  // After the letter: who sees the stop cleared sees the new episode too.
  stop_.store(false, std::memory_order_release);
}

bool Stepper::feed(int64_t stamp_ns, int64_t period_ns, int rows, const float* actions, int64_t now_ns) {
  if (rows < 0 || rows > options_.most_rows || period_ns <= 0) return false;
  Track& track = mailbox_.draft();
  address(track);
  track.stamp_ns = stamp_ns;
  track.period_ns = period_ns;
  track.rows = rows;
  std::copy_n(actions, static_cast<size_t>(rows) * start_.size(), track.values.begin());
  beat(now_ns);
  mailbox_.post();
  return true;
}

void Stepper::address(Track& track) const {
  track.episode = episode_;
  track.begun_ns = begun_elapsed_ns_;
  std::copy(start_.begin(), start_.end(), track.start.begin());
}

void Stepper::hold() {
  Track& track = mailbox_.draft();
  address(track);
  track.rows = 0;
  mailbox_.post();
}

bool Stepper::step(int64_t at_ns) {
  const bool stopped = stopping();
  if (mailbox_.collect()) {
    dropped_ = mailbox_.letter().rows == 0;
    collected_ns_ = at_ns;
  }
  const Track& track = mailbox_.letter();
  if (stopped) {
    enter(Phase::stopped);
    return false;
  }
  if (track.episode == 0) return false;
  if (track.episode != begun_) {
    begun_ = track.episode;
    limiter_.restart(track.start.data());
    interrupted_ = false;
    released_ns_ = track.begun_ns;
  }
  if (interrupted_) return false;
  const int64_t silent_from_ns = beat_ns_.load(std::memory_order_relaxed) + options_.heartbeat_ns;
  if (!dropped_ && at_ns > silent_from_ns) begin_hold(steps_.heartbeats_lost, silent_from_ns, at_ns);
  if (!dropped_ && !sample(track, options_.interpolation, at_ns, desired_.data()))
    begin_hold(steps_.used_up, track.end_ns(), at_ns);
  // What is not followed is braked: the limiter stops where it can and stays.
  if (dropped_) std::copy_n(limiter_.previous(), desired_.size(), desired_.begin());
  enter(dropped_ ? Phase::holding : Phase::following);
  const double dt = static_cast<double>(options_.period_ns) / 1e9;
  if (limiter_.limit(desired_.data(), dt, desired_.data()) != 0 && !dropped_) bump(steps_.limited);
  return true;
}

bool Stepper::release(int64_t elapsed_ns) {
  if (stopping()) return false;
  if (released_ns_ && elapsed_ns - *released_ns_ > options_.gap_ns) {
    bump(steps_.interruptions);
    interrupted_ = true;
    enter(Phase::interrupted);
    return false;
  }
  released_ns_ = elapsed_ns;
  bump(steps_.commands);
  return true;
}

void Stepper::begin_hold(std::atomic<uint64_t>& cause, int64_t due_ns, int64_t at_ns) {
  bump(cause);
  // A track that was over when it came was due to be held from then on.
  if (at_ns - std::max(due_ns, collected_ns_) > options_.period_ns) bump(steps_.missed_holds);
  dropped_ = true;
}

}  // namespace tendon
