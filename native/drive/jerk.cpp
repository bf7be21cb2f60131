// Compiled without contraction (CMakeLists.txt), so that every machine rounds alike.
#include "drive/jerk.h"

#include <algorithm>
#include <cmath>

namespace tendon {

namespace {

constexpr int halvings = 10;  // of the interval in which the acceleration is sought
constexpr double hair = 1 + 1e-12;

// All in periods: speed is way per period, acceleration the change of that per period, jerk the change of
// that. The speed at the end of `n` periods, and the way, with acceleration a + k·d in the k-th.
double speed_after(double n, double v, double a, double d) { return v + n * (a + d * (n + 1) / 2); }
double way_after(double n, double v, double a, double d) {
  return n * (v + (n + 1) * (a / 2 + d * (n + 2) / 6));
}

// Of a pulse against the motion: `down` periods from a to −peak, `hold` at −peak, `up` periods back to 0.
struct Pulse {
  double down, hold, up, peak;
};

// Takes the speed v + what is left of it by the acceleration a ≥ 0, more than 0, to 0 exactly. Whole numbers
// of periods as for continuous time (a trapezoid of acceleration), rounded up; the peak that then ends at
// rest is lower, so that no limit is exceeded.
Pulse pulse_from(double v, double a, double most, double jerk) {
  double peak = std::sqrt(jerk * v + a * a / 2), hold = 0;
  if (peak > most) {
    hold = std::ceil((v + (a * a / 2 - most * most) / jerk) / most);
    peak = most;
  }
  const double down = std::max(1.0, std::ceil((a + peak) / jerk)), up = std::max(1.0, std::ceil(peak / jerk));
  return {down, hold, up, (v + a * (down - 1) / 2) / ((down + up) / 2 + hold)};
}

// The same where the joint brakes already, by b > 0, and would not stop by letting go; false where rounding
// to whole periods leaves no trapezoid.
bool pulse_beyond(double v, double b, double most, double jerk, Pulse& out) {
  double peak = std::max(b, std::sqrt(jerk * v + b * b / 2)), hold = 0;
  if (peak > most) {
    hold = std::max(0.0, std::ceil((v + (b * b / 2 - most * most) / jerk) / most));
    peak = most;
  }
  const double down = std::max(1.0, std::ceil((peak - b) / jerk)), up = std::max(1.0, std::ceil(peak / jerk));
  for (const double more : {0.0, 1.0}) {
    const double exact = (v - b * (down - 1) / 2) / ((down + up) / 2 + hold + more);
    if (exact >= 0 && std::fabs(exact - b) <= down * jerk * hair &&
        exact <= std::min(most, up * jerk) * hair) {
      out = {down, hold + more, up, exact};
      return true;
    }
  }
  return false;
}

// A way to stop from (position, speed, acceleration).
StopPlan stop_from(double position, double speed, double acceleration, const JointLimits& limits, double dt) {
  StopPlan plan;
  plan.dt = dt;
  plan.end = plan.turn = position;
  const double most = limits.acceleration * dt * dt, jerk = limits.jerk * dt * dt * dt,
               to_acceleration = 1 / (dt * dt);
  const double v = speed * dt, a = acceleration * dt * dt;
  const double release = std::ceil(std::fabs(a) / jerk);  // periods in which the acceleration returns to 0
  const double left = release > 0 ? v + a * (release - 1) / 2 : v;  // the speed then
  if (std::fabs(left) <= 1e-12 * most && a == 0) return plan;
  // From here on in the direction in which it moves at last.
  const double sign = std::fabs(left) <= 1e-12 * most ? (a < 0 ? 1 : -1) : left > 0 ? 1 : -1;
  const double V = sign * v, A = sign * a;
  plan.direction = sign;
  plan.fastest = std::fabs(v);
  double way = 0;
  double at_speed = V, at_acceleration = A;
  int count = 0;
  const auto add = [&](double periods, double change) {
    if (periods <= 0) return;
    way += way_after(periods, at_speed, at_acceleration, change);
    at_speed = speed_after(periods, at_speed, at_acceleration, change);
    at_acceleration += periods * change;
    plan.stretches[static_cast<size_t>(count++)] = {periods, sign * change * to_acceleration};
  };
  Pulse pulse;
  if (std::fabs(left) <= 1e-12 * most) {
    add(release, -A / release);
  } else {
    if (A >= 0) {
      pulse = pulse_from(V, A, most, jerk);
    } else if (!pulse_beyond(V, -A, most, jerk, pulse)) {
      add(release, -A / release);
      at_acceleration = 0;
      pulse = pulse_from(at_speed, 0, most, jerk);
    }
    const double change = (pulse.peak + at_acceleration) / pulse.down;
    if (A > 0) {
      // It still gains speed, in its last direction, until the acceleration changes its sign.
      const double gaining = std::min(pulse.down, std::floor(A / change));
      plan.fastest = std::max(plan.fastest, speed_after(gaining, V, A, -change));
      if (V < 0) {
        const double half = A - change / 2;
        const double back =
            std::floor(-2 * V / (half + std::sqrt(std::max(0.0, half * half + 2 * change * V))));
        plan.turn = position + sign * way_after(back, V, A, -change);
      }
    }
    add(pulse.down, -change);
    add(pulse.hold, 0);
    add(pulse.up, pulse.peak / pulse.up);
  }
  plan.fastest /= dt;
  plan.end = position + sign * way;
  return plan;
}

struct Bounds {
  double lowest, highest, fastest;
};

// What is met on the way from here to rest.
Bounds met_by(const JointMotion& joint) {
  const StopPlan& stop = joint.stop;
  const double along = joint.speed * stop.direction;
  const double turn = along < 0 ? stop.turn : joint.position;
  const bool gains = joint.acceleration * stop.direction > 0;
  return {std::min({joint.position, stop.end, turn}), std::max({joint.position, stop.end, turn}),
          std::max(std::fabs(joint.speed), gains ? stop.fastest : 0.0)};
}

// One period of the way to stop.
void follow_stop(JointMotion& joint, double dt) {
  StopPlan& stop = joint.stop;
  auto* stretch =
      std::find_if(stop.stretches.begin(), stop.stretches.end(), [](auto& s) { return s.periods > 0; });
  if (stretch == stop.stretches.end()) {
    joint.speed = joint.acceleration = 0;
    return;
  }
  stretch->periods -= 1;
  joint.acceleration += stretch->change;
  joint.speed += joint.acceleration * dt;
  const bool last = stretch->periods <= 0 &&
                    std::all_of(stretch + 1, stop.stretches.end(), [](auto& s) { return s.periods <= 0; });
  if (last) joint.speed = joint.acceleration = 0;
  joint.position += joint.speed * dt;
}

}  // namespace

void jerk_limited_step(JointMotion& joint, double target, const JointLimits& limits, double dt) {
  const double last = joint.position, speed = joint.speed, now = joint.acceleration;
  if (joint.stop.dt != dt) joint.stop = stop_from(last, speed, now, limits, dt);
  const Bounds met = met_by(joint);
  bool moved = false;
  const double slack = 1e-15 * (std::fabs(last) + std::fabs(target)) + 1e-13 * limits.speed * dt;
  if (target > met.highest + slack || target < met.lowest - slack) {
    const bool up = target > met.highest;
    // What stopping passes through cannot be avoided: a robot found outside its range is led back.
    Bounds within{std::min(limits.lower, met.lowest), std::max(limits.upper, met.highest),
                  std::max(limits.speed, met.fastest)};
    if (up)
      within.highest = std::min(within.highest, target);
    else
      within.lowest = std::max(within.lowest, target);
    const auto move = [&](double acceleration) {
      JointMotion next;
      next.acceleration = acceleration;
      next.speed = speed + acceleration * dt;
      if (std::fabs(next.speed) < 1e-12 * limits.acceleration * dt) next.speed = 0;
      next.position = last + next.speed * dt;
      next.stop = stop_from(next.position, next.speed, acceleration, limits, dt);
      const Bounds to_rest = met_by(next);
      if (to_rest.lowest < within.lowest - slack || to_rest.highest > within.highest + slack ||
          to_rest.fastest > within.fastest * hair)
        return false;
      joint = next;
      return moved = true;
    };
    const double change = limits.jerk * dt, most = limits.acceleration;
    const double land = ((target - last) / dt - speed) / dt;  // at the target in this period
    const double swiftest = ((up ? within.fastest : -within.fastest) - speed) / dt;
    // The furthest that the limits of this period allow.
    double bad =
        up ? std::min({now + change, most, land, swiftest}) : std::max({now - change, -most, land, swiftest});
    if (!move(bad)) {
      JointMotion kept = joint;
      follow_stop(kept, dt);
      double good = kept.acceleration;
      for (int i = 0; i < halvings; ++i) {
        const double middle = (good + bad) / 2;
        (move(middle) ? good : bad) = middle;
      }
    }
  }
  if (!moved) follow_stop(joint, dt);
  if (last >= limits.lower && last <= limits.upper)
    joint.position = std::min(limits.upper, std::max(limits.lower, joint.position));
}

}  // namespace tendon
