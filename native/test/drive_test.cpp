// The real-time executor by an injected clock: when it follows, when it holds, what it lets out.
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <set>
#include <thread>

#include "base/error.h"
#include "base/philox.h"
#include "drive/executor.h"
#include "realtime/stalls.h"
#include "test/allocations.h"
#include "test/check.h"

namespace tendon {
namespace {

constexpr int64_t ms = 1'000'000;

StepperOptions two_joints() {
  StepperOptions options;
  options.joints = 2;
  options.most_rows = 8;
  options.heartbeat_ns = 50 * ms;
  options.limits = {{-1, -1}, {1, 1}, {2, 2}, {20, 20}, {}};
  return options;
}

// Steps from `from` to before `to` in periods of 1 ms; the fastest change of speed seen, per s².
double run(Stepper& stepper, int64_t from, int64_t to, bool beat) {
  double fastest = 0;
  static thread_local double last = 0, speed = 0;
  last = stepper.command()[0];
  speed = NAN;
  for (int64_t at = from; at < to; at += ms) {
    if (beat) stepper.beat(at);
    if (!stepper.step(at)) continue;
    const double now = (stepper.command()[0] - last) / 1e-3;
    if (!std::isnan(speed)) fastest = std::fmax(fastest, std::fabs(now - speed) / 1e-3);
    speed = now;
    last = stepper.command()[0];
  }
  return fastest;
}

TEST("drive: nothing leaves before it has begun, then from where the robot is") {
  Stepper stepper(two_joints());
  CHECK(!stepper.step(1 * ms) && stepper.phase() == Phase::idle);
  const float row[] = {0.5f, 0.5f};
  CHECK(stepper.feed(0, ms, 1, row, 0));
  CHECK(!stepper.step(2 * ms));
  const double start[] = {0.25, -0.25};
  stepper.begin(start, 2 * ms);
  CHECK(stepper.step(3 * ms) && stepper.phase() == Phase::holding);
  CHECK(stepper.command()[0] == 0.25 && stepper.command()[1] == -0.25);
}

TEST("drive: a chunk is followed by the clock, finished, braked and held") {
  Stepper stepper(two_joints());
  const double start[] = {0, 0};
  stepper.begin(start, 0);
  // 0.1 in 100 ms, then over: 1 per s, well inside the limits.
  const float rows[] = {0, 0, 0.1f, 0, 0.2f, 0};
  CHECK(stepper.feed(0, 100 * ms, 3, rows, 0));
  CHECK(run(stepper, 0, 200 * ms, true) <= 20 * (1 + 1e-6));
  CHECK(stepper.phase() == Phase::following);
  run(stepper, 200 * ms, 310 * ms, true);
  CHECK(stepper.phase() == Phase::holding && stepper.steps().used_up == 1);
  const double held = stepper.command()[0];
  CHECK(std::fabs(held - 0.2) < 1e-6);
  run(stepper, 310 * ms, 400 * ms, true);
  CHECK(stepper.command()[0] == held && stepper.steps().missed_holds == 0);
}

TEST("drive: without a sign of life it brakes within its limits, and holds from the period after") {
  Stepper stepper(two_joints());
  const double start[] = {0, 0};
  stepper.begin(start, 0);
  const float rows[] = {0, 0, 0.9f, 0, 0.9f, 0, 0.9f, 0};
  CHECK(stepper.feed(0, 500 * ms, 4, rows, 0));
  run(stepper, 0, 51 * ms, false);  // the heartbeat of time 0 is good until 50 ms
  CHECK(stepper.phase() == Phase::following);
  run(stepper, 51 * ms, 52 * ms, false);
  CHECK(stepper.phase() == Phase::holding && stepper.steps().heartbeats_lost == 1);
  CHECK(run(stepper, 52 * ms, 400 * ms, false) <= 20 * (1 + 1e-6));
  const double held = stepper.command()[0];
  // A beat alone does not set it going again; a new chunk does.
  run(stepper, 400 * ms, 420 * ms, true);
  CHECK(stepper.command()[0] == held);
  CHECK(stepper.feed(420 * ms, 500 * ms, 4, rows, 420 * ms));
  CHECK(stepper.step(421 * ms) && stepper.phase() == Phase::following);
}

TEST("drive: a stop is in force at the next step and lasts until a new beginning") {
  Stepper stepper(two_joints());
  const double start[] = {0, 0}, elsewhere[] = {0.5, 0.5};
  stepper.begin(start, 0);
  const float rows[] = {0.1f, 0.1f};
  CHECK(stepper.feed(0, 1000 * ms, 1, rows, 0));
  CHECK(stepper.step(1 * ms));
  stepper.stop();
  CHECK(!stepper.step(2 * ms) && stepper.phase() == Phase::stopped);
  CHECK(stepper.feed(3 * ms, 1000 * ms, 1, rows, 3 * ms));
  CHECK(!stepper.step(4 * ms));
  stepper.begin(elsewhere, 5 * ms);
  CHECK(stepper.step(5 * ms) && stepper.command()[0] == 0.5 && stepper.phase() == Phase::holding);
}

TEST("drive: 100 000 chunks of any kind never leave the limits") {
  Stepper stepper(two_joints());
  const double start[] = {0, 0};
  stepper.begin(start, 0);
  std::vector<float> noise(16);
  double last[2] = {0, 0}, speed[2] = {0, 0};
  bool inside = true;
  for (int64_t i = 0; i < 100'000; ++i) {
    fill_normal(7, 1, static_cast<uint64_t>(16 * i), noise.data(), 16);
    if (i % 7 == 0) noise[static_cast<size_t>(i % 16)] = NAN;
    if (i % 11 == 0) noise[static_cast<size_t>(i % 16)] = INFINITY;
    stepper.feed(i * ms - (i % 13) * ms, (1 + i % 5) * ms / 2, static_cast<int>(i % 9), noise.data(), i * ms);
    if (!stepper.step(i * ms)) inside = false;
    for (int j = 0; j < 2; ++j) {
      const double now = (stepper.command()[j] - last[j]) / 1e-3;
      inside &= std::fabs(stepper.command()[j]) <= 1 && std::fabs(now) <= 2 * (1 + 1e-9);
      inside &= std::fabs(now - speed[j]) <= 20e-3 * (1 + 1e-6);
      last[j] = stepper.command()[j], speed[j] = now;
    }
  }
  CHECK(inside);
}

TEST(
    "drive: under random jerk limits every step keeps them all, from any state on, and targets are reached") {
  uint64_t next = 0;
  const auto uniform = [&](double low, double high) {
    float u;
    fill_uniform(21, 0, next++, &u, 1);
    return low + (high - low) * static_cast<double>(u);
  };
  const auto between = [&](double low, double high) { return low * std::pow(high / low, uniform(0, 1)); };
  int broken = 0, unreached = 0;
  for (int machine = 0; machine < 150; ++machine) {
    const double dt = between(1e-3, 0.05), speed = between(0.01, 10);
    const double acceleration = speed * between(0.05, 200);
    const JointLimits limits{-2, 2, speed, acceleration, acceleration * between(0.05, 1000)};
    JointMotion motion;
    motion.position = uniform(-2, 2);
    const auto step = [&](double target) {
      const JointMotion before = motion;
      jerk_limited_step(motion, target, limits, dt);
      const double moved = (motion.position - before.position) / dt;
      const bool kept = std::fabs(motion.position) <= 2 && std::fabs(motion.speed) <= speed * (1 + 1e-9) &&
                        std::fabs(moved - motion.speed) <= 1e-15 / dt &&
                        std::fabs(motion.speed - before.speed) <= acceleration * dt * (1 + 1e-9) &&
                        std::fabs((motion.speed - before.speed) / dt - before.acceleration) <=
                            limits.jerk * dt * (1 + 1e-6) + 1e-12 * acceleration;
      if (!kept) ++broken;
    };
    double target = motion.position;
    for (int i = 0; i < 3000; ++i) {
      if (machine % 2 == 0 ? i % 60 == 0 : uniform(0, 1) < 0.5) target = uniform(-2, 2);
      step(target);
    }
    target = uniform(-2, 2);
    const double enough = 8 * (4 / speed + speed / acceleration + acceleration / limits.jerk) / dt;
    for (double i = 0; i < enough && !(std::fabs(motion.position - target) < 1e-12 && motion.speed == 0); ++i)
      step(target);
    if (std::fabs(motion.position - target) > 1e-9) ++unreached;
  }
  CHECK(broken == 0);
  CHECK(unreached == 0);
}

TEST("drive: rows are met exactly and cubic passes through them without a kink") {
  Track track;
  track.start.resize(1);
  track.period_ns = 10 * ms;
  track.rows = 4;
  track.values = {0, 1, 0.5, 2};
  double out, before, after;
  for (const Interpolation how :
       {Interpolation::hold, Interpolation::linear, Interpolation::cubic, Interpolation::quintic})
    for (int row = 0; row < 4; ++row)
      CHECK(sample(track, how, row * 10 * ms, &out) && out == track.values[static_cast<size_t>(row)]);
  CHECK(sample(track, Interpolation::linear, 5 * ms, &out) && out == 0.5);
  CHECK(sample(track, Interpolation::hold, 19 * ms, &out) && out == 1);
  // One-sided slopes at a row differ by the curvature times the step: 1e-6 of a period here.
  CHECK(sample(track, Interpolation::cubic, 10 * ms - 10, &before) &&
        sample(track, Interpolation::cubic, 10 * ms + 10, &after));
  CHECK(std::fabs((1 - before) - (after - 1)) < 1e-10);
  CHECK(!sample(track, Interpolation::cubic, 40 * ms, &out));
  CHECK(sample(track, Interpolation::cubic, -5 * ms, &out) && out == 0);
}

TEST("realtime: periods that are past are skipped and counted") {
  Pace pace(10 * ms, ms);
  Pace::Turn turn = pace.wake(10 * ms + 300);
  CHECK(turn.at_ns == 10 * ms && turn.late_ns == 300 && turn.missed == 0 && pace.due_ns() == 11 * ms);
  turn = pace.wake(14 * ms + 500);
  CHECK(turn.at_ns == 14 * ms && turn.missed == 3 && pace.due_ns() == 15 * ms);
}

TEST("drive: after a gap nothing leaves until it begins anew") {
  Stepper stepper(two_joints());
  const double start[] = {0, 0}, found[] = {0.3, 0.3};
  stepper.begin(start, 0, 0);
  const float rows[] = {0.1f, 0.1f, 0.2f, 0.2f};
  CHECK(stepper.feed(0, 1000 * ms, 2, rows, 0));
  // 50 ms is the default; a gap as long as that is still one motion.
  CHECK(stepper.step(10 * ms) && stepper.release(10 * ms));
  CHECK(stepper.step(60 * ms) && stepper.release(60 * ms));
  // The tick began in time and its thread was stopped before it could send.
  CHECK(stepper.step(61 * ms) && !stepper.release(361 * ms));
  CHECK(stepper.phase() == Phase::interrupted && stepper.steps().interruptions == 1);
  // Neither time nor a beat nor another chunk sets it going.
  stepper.beat(362 * ms);
  CHECK(stepper.feed(362 * ms, 1000 * ms, 2, rows, 362 * ms));
  for (int64_t at = 362 * ms; at < 400 * ms; at += ms) CHECK(!stepper.step(at));
  CHECK(stepper.phase() == Phase::interrupted && stepper.steps().commands == 2);
  stepper.begin(found, 400 * ms, 400 * ms);
  CHECK(stepper.step(401 * ms) && stepper.release(401 * ms));
  CHECK(stepper.command()[0] == 0.3 && stepper.phase() == Phase::holding);
  // A position that was good long before the first command could leave is none to begin at.
  stepper.begin(start, 500 * ms, 500 * ms);
  CHECK(stepper.step(600 * ms) && !stepper.release(600 * ms) && stepper.phase() == Phase::interrupted);
  // Time in which the machine slept counts too, though its monotonic clock stood still.
  stepper.begin(start, 601 * ms, 5'000 * ms);
  CHECK(stepper.step(602 * ms) && stepper.release(5'001 * ms));
  CHECK(stepper.step(603 * ms) && !stepper.release(65'000 * ms) && stepper.steps().interruptions == 3);
}

TEST("drive: a hold that a skipped period should have begun is counted as missed") {
  Stepper stepper(two_joints());
  const double start[] = {0, 0};
  stepper.begin(start, 0);
  const float rows[] = {0.1f, 0.1f};
  CHECK(stepper.feed(0, 10 * ms, 1, rows, 0));
  run(stepper, 0, 9 * ms, true);
  CHECK(stepper.step(14 * ms) && stepper.steps().used_up == 1 && stepper.steps().missed_holds == 1);
}

TEST("realtime: quantiles are never too low and at most 1/32 too high") {
  Histogram histogram;
  CHECK(histogram.quantile(0.5) == 0);
  for (int64_t v = 1; v <= 100'000; ++v) histogram.add(v);
  for (const double q : {0.5, 0.99, 0.999}) {
    const double exact = q * 100'000, got = static_cast<double>(histogram.quantile(q));
    CHECK(got >= exact && got <= exact * (1 + 1.0 / 32));
  }
  CHECK(histogram.quantile(1) == 100'000 && histogram.most() == 100'000);
}

TEST("realtime: a letter is read whole or not at all, and the newest wins") {
  Mailbox<std::array<uint64_t, 64>> mailbox({});
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (uint64_t n = 1; n <= 200'000; ++n) {
      mailbox.draft().fill(n);
      mailbox.post();
    }
    done = true;
  });
  uint64_t last = 0;
  bool whole = true, onwards = true;
  for (bool over = false; !over;) {
    over = done;
    if (!mailbox.collect()) continue;
    const auto& letter = mailbox.letter();
    for (const uint64_t n : letter) whole &= n == letter[0];
    onwards &= letter[0] > last;
    last = letter[0];
  }
  writer.join();
  CHECK(whole && onwards && last == 200'000);
}

TEST("realtime: a ring keeps order and refuses what does not fit") {
  Ring ring(4, 1);
  std::vector<double> out(8);
  for (int i = 0; i < 6; ++i)
    if (double* row = ring.next()) *row = i, ring.push();
  CHECK(ring.next() == nullptr && ring.drain(out.data(), 8) == 4 && out[0] == 0 && out[3] == 3);
  CHECK(ring.next() != nullptr && ring.drain(out.data(), 8) == 0);
}

TEST("drive: the thread runs, allocates nothing, and ends") {
  ExecutorOptions options;
  options.step = two_joints();
  options.step.gap_ns = 60'000 * ms;  // of a busy machine
  options.lifetime_ns = 60'000 * ms;
  options.udp_host = "127.0.0.1";
  options.lock_memory = true;
  options.udp_port = 9;  // nobody listens: refusals must not disturb the loop
  Executor executor(options);
  const double start[] = {0.1, 0.2};
  executor.stepper().begin(start, monotonic_ns());
  executor.start();
  // Refused only where ulimit -l is smaller than this program, and then in words.
  CHECK(executor.refused().empty() || executor.refused().find("locked memory") == 0);
  while (executor.lateness().total() < 3) std::this_thread::yield();
  const int64_t before = test::allocations();
  const float rows[] = {0.1f, 0.1f};
  executor.stepper().feed(monotonic_ns(), 10 * ms, 1, rows, monotonic_ns());
  while (executor.lateness().total() < 30) std::this_thread::yield();
  CHECK(test::allocations() == before);
  executor.close();
  const uint64_t ticks = executor.lateness().total();
  CHECK(executor.stepper().steps().commands > 0 && executor.lateness().total() == ticks);
  std::vector<double> out(6 * 1024);
  const size_t rows_out = executor.ring().drain(out.data(), 1024);
  CHECK(rows_out == executor.stepper().steps().commands && out[0] == 1 && out[2] - out[1] == 60'000 * ms);
}

TEST("realtime: every processor is watched for stalls, and only those long enough are told") {
  std::vector<double> out(stall_row * 4096);
  std::set<int> processors;
  Stalls all(0);
  for (const int64_t end_ns = monotonic_ns() + 2000 * ms;
       all.refused().empty() && processors.size() < std::thread::hardware_concurrency() &&
       monotonic_ns() < end_ns;) {
    const size_t count = all.drain(out.data(), 4096);
    for (size_t i = 0; i < count; ++i) {
      const double* row = out.data() + i * stall_row;
      CHECK(row[0] <= row[1] && row[1] <= static_cast<double>(monotonic_ns()));
      processors.insert(static_cast<int>(row[2]));
    }
  }
  CHECK(!all.refused().empty() || processors.size() == std::thread::hardware_concurrency());
  Stalls none(int64_t{3600} * 1000 * ms);
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  CHECK(none.drain(out.data(), 4096) == 0);
}

TEST("drive: options that cannot work are refused") {
  StepperOptions options = two_joints();
  options.limits.lower[0] = NAN;
  CHECK_THROWS(Stepper{options}, "config_invalid");
  options = two_joints();
  options.limits.upper[1] = -2;
  CHECK_THROWS(Stepper{options}, "config_invalid");
  options = two_joints();
  options.period_ns = 100;
  CHECK_THROWS(Stepper{options}, "config_invalid");
  ExecutorOptions whole;
  whole.step = two_joints();
  whole.udp_host = "no-such-name";
  CHECK_THROWS(Executor{whole}, "config_invalid");
}

}  // namespace
}  // namespace tendon
