#include "drive/limiter.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "realtime/resident.h"

namespace tendon {

namespace {

double sign(double x) { return x > 0 ? 1 : x < 0 ? -1 : 0; }

// The fastest speed from which `distance` is enough to stop, braking by `acceleration` once a period: the
// whole periods of braking that fit, k, then the speed that ends exactly there.
double fastest(double distance, double acceleration, double dt) {
  if (distance <= 0) return 0;
  const double k = std::floor((std::sqrt(1 + (8 * distance) / (acceleration * dt * dt)) - 1) / 2);
  return (distance / dt + (acceleration * dt * k * (k + 1)) / 2) / (k + 1);
}

void check_each(const char* name, const std::vector<double>& values, size_t joints, bool positive) {
  if (values.size() != joints)
    throw BuildError("config_invalid", format("limits.%s: expected one value for each of %zu joints, got %zu",
                                              name, joints, values.size()));
  for (size_t i = 0; i < joints; ++i)
    if (!std::isfinite(values[i]) || (positive && values[i] <= 0))
      throw BuildError("config_invalid", format("limits.%s[%zu]: expected a %s number, got %g", name, i,
                                                positive ? "positive" : "finite", values[i]));
}

}  // namespace

void Limits::check(size_t joints) const {
  check_each("lower", lower, joints, false);
  check_each("upper", upper, joints, false);
  check_each("velocity", velocity, joints, true);
  if (!acceleration.empty()) check_each("acceleration", acceleration, joints, true);
  if (!jerk.empty()) check_each("jerk", jerk, joints, true);
  if (!jerk.empty() && acceleration.empty())
    throw BuildError("config_invalid", "limits.jerk: expected limits.acceleration beside it");
  for (size_t i = 0; i < joints; ++i)
    if (!(lower[i] < upper[i]))
      throw BuildError("config_invalid",
                       format("limits: joint %zu has lower %g not below upper %g", i, lower[i], upper[i]));
}

Limiter::Limiter(Limits limits, size_t joints)
    : limits_(std::move(limits)), previous_(joints), velocity_(joints), motions_(joints) {
  limits_.check(joints);
}

void Limiter::restart(const double* measured) {
  std::copy_n(measured, previous_.size(), previous_.begin());
  rest();
}

void Limiter::rest() {
  std::fill(velocity_.begin(), velocity_.end(), 0);
  for (JointMotion& motion : motions_) motion = {};
}

void Limiter::copy(const Limiter& other) {
  std::copy(other.previous_.begin(), other.previous_.end(), previous_.begin());
  std::copy(other.velocity_.begin(), other.velocity_.end(), velocity_.begin());
  std::copy(other.motions_.begin(), other.motions_.end(), motions_.begin());
}

bool Limiter::moving() const {
  for (size_t i = 0; i < velocity_.size(); ++i)
    if (velocity_[i] != 0 || motions_[i].acceleration != 0) return true;
  return false;
}

bool Limiter::keep_data_resident() const {
  bool kept = keep_resident(motions_.data(), motions_.size() * sizeof(JointMotion));
  for (const auto* v : {&limits_.lower, &limits_.upper, &limits_.velocity, &limits_.acceleration,
                        &limits_.jerk, &previous_, &velocity_})
    kept = kept && keep_resident(v->data(), v->size() * sizeof(double));
  return kept;
}

uint32_t Limiter::limit(const double* desired, double dt, double* out) {
  uint32_t bits = 0;
  for (size_t i = 0; i < previous_.size(); ++i) {
    const double low = limits_.lower[i], high = limits_.upper[i];
    double target = desired[i];
    if (!std::isfinite(target)) bits |= limited_not_finite, target = previous_[i];
    if (target < low || target > high) {
      bits |= limited_position;
      target = std::min(high, std::max(low, target));
    }
    if (limits_.jerk.empty()) {
      const double reached = next(i, target, dt, bits);
      velocity_[i] = (reached - previous_[i]) / dt;
      previous_[i] = out[i] = reached;
      continue;
    }
    JointMotion& motion = motions_[i];
    motion.position = previous_[i];
    jerk_limited_step(motion, target,
                      {low, high, limits_.velocity[i], limits_.acceleration[i], limits_.jerk[i]}, dt);
    if (std::fabs(motion.position - target) > 1e-9 * limits_.velocity[i] * dt) bits |= limited_jerk;
    velocity_[i] = motion.speed;
    previous_[i] = out[i] = motion.position;
  }
  return bits;
}

double Limiter::next(size_t i, double target, double dt, uint32_t& bits) {
  const double last = previous_[i], low = limits_.lower[i], high = limits_.upper[i];
  const double swiftest = limits_.velocity[i];
  const bool inside = last >= low && last <= high;
  double speed = (target - last) / dt;
  if (!limits_.acceleration.empty()) {
    const double most = limits_.acceleration[i], now = velocity_[i];
    // Stop at the target and before either end of the range, in whole periods.
    const double wanted =
        sign(target - last) * std::min(swiftest, fastest(std::fabs(target - last), most, dt));
    speed = std::min(now + most * dt, std::max(now - most * dt, wanted));
    if (std::fabs(speed - (target - last) / dt) > 1e-9 * swiftest) bits |= limited_acceleration;
    if (inside)
      speed = std::min(fastest(high - last, most, dt), std::max(-fastest(last - low, most, dt), speed));
  }
  if (std::fabs(speed) > swiftest) {
    bits |= limited_velocity;
    speed = sign(speed) * swiftest;
  }
  const double reached = last + speed * dt;
  // A robot found outside its range is led back, never further out.
  return inside ? std::min(high, std::max(low, reached)) : reached;
}

}  // namespace tendon
