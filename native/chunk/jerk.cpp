// Compiled without contraction (CMakeLists.txt): a fused multiply-add would round otherwise than JavaScript.
#include "chunk/jerk.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tendon {

namespace {

constexpr int halvings = 10;       // of the interval in which the acceleration is sought
constexpr int most_steps = 20000;  // no braking is longer; what claims to be is not safe

// Speed that is lost while an acceleration below zero returns to it.
double ramp_out(double acceleration, double jerk_dt, double dt) {
  if (acceleration >= 0) return 0;
  const double n = std::ceil(-acceleration / jerk_dt);
  return dt * ((n - 1) * -acceleration - (jerk_dt * n * (n - 1)) / 2);
}

// The acceleration of the next period that stops soonest without turning back.
double brake(double speed, double acceleration, double most, double jerk_dt, double dt) {
  const double sign = speed > 0 || (speed == 0 && acceleration > 0) ? 1 : -1;
  const double v = sign * speed, a = sign * acceleration, end = -v / dt;
  if (-end <= jerk_dt && std::fabs(end - a) <= jerk_dt && -end <= most) return sign * end;
  const double harder = std::max(a - jerk_dt, -most);
  if (v + harder * dt >= ramp_out(harder, jerk_dt, dt)) return sign * harder;
  if (v + a * dt >= ramp_out(a, jerk_dt, dt)) return sign * a;
  return sign * std::min(a + jerk_dt, most);
}

// The last step of braking ends at 0 but for rounding.
double at_rest(double speed, double most, double dt) {
  return std::fabs(speed) < 1e-12 * most * dt ? 0 : speed;
}

struct Bounds {
  double lowest, highest, fastest;
};

// Follows braking to its end; false as soon as it leaves the bounds. Its extremes go to `met`.
bool stops(JointMotion joint, double most, double jerk_dt, double dt, const Bounds& within, Bounds& met) {
  auto& [p, v, a] = joint;
  met = {p, p, std::fabs(v)};
  for (int i = 0; i < most_steps; ++i) {
    if (p < within.lowest || p > within.highest || std::fabs(v) > within.fastest) return false;
    if (v == 0 && a == 0) return true;
    a = brake(v, a, most, jerk_dt, dt);
    v = at_rest(v + a * dt, most, dt);
    p += v * dt;
    met.lowest = std::min(met.lowest, p);
    met.highest = std::max(met.highest, p);
    met.fastest = std::max(met.fastest, std::fabs(v));
  }
  return false;
}

}  // namespace

void jerk_limited_step(JointMotion& joint, double target, const JointLimits& limits, double dt) {
  const double most = limits.acceleration, jerk_dt = limits.jerk * dt;
  const double speed = joint.speed, now = joint.acceleration;
  constexpr double unbounded = std::numeric_limits<double>::infinity();
  double chosen = brake(speed, now, most, jerk_dt, dt);
  // What braking passes through cannot be avoided any more: a robot found outside its range is led back by
  // it.
  Bounds met;
  stops(joint, most, jerk_dt, dt, {-unbounded, unbounded, unbounded}, met);
  if (target > met.highest || target < met.lowest) {
    const bool up = target > met.highest;
    Bounds within{std::min(limits.lower, met.lowest), std::max(limits.upper, met.highest),
                  std::max(limits.speed, met.fastest)};
    if (up)
      within.highest = std::min(within.highest, target);
    else
      within.lowest = std::max(within.lowest, target);
    const auto safe = [&](double a) {
      const double v = at_rest(speed + a * dt, most, dt);
      Bounds ignored;
      return stops({joint.position + v * dt, v, a}, most, jerk_dt, dt, within, ignored);
    };
    double bad = up ? std::min(now + jerk_dt, most) : std::max(now - jerk_dt, -most);
    if (safe(bad))
      chosen = bad;
    else
      for (int i = 0; i < halvings; ++i) {
        const double middle = (chosen + bad) / 2;
        (safe(middle) ? chosen : bad) = middle;
      }
  }
  joint.acceleration = chosen;
  joint.speed = at_rest(speed + chosen * dt, most, dt);
  joint.position += joint.speed * dt;
}

}  // namespace tendon
