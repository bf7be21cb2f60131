// The last thing between any number and the robot: position, velocity, acceleration and jerk limits, braking
// in whole periods. Control's loop (through the addon) and the executor's thread apply it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "drive/jerk.h"

namespace tendon {

// Per joint, in its unit, per s, per s² and per s³. An empty acceleration or jerk does not limit.
struct Limits {
  std::vector<double> lower, upper, velocity, acceleration, jerk;

  // Throws BuildError config_invalid for limits that would not limit.
  void check(size_t joints) const;
};

// What `limit` did, as bits: LIMITED of src/control/limiter.ts.
enum : uint32_t {
  limited_position = 1,
  limited_velocity = 2,
  limited_acceleration = 4,
  limited_not_finite = 8,
  limited_jerk = 16
};

class Limiter {
 public:
  // Begins at 0. Throws BuildError config_invalid.
  Limiter(Limits limits, size_t joints);

  // Begins anew at `measured` (joints), at rest.
  void restart(const double* measured);
  // From now on at rest where the last command left it.
  void rest();
  // Goes on from where `other`, of the same joints, is.
  void copy(const Limiter& other);
  // Whether the last command was one of motion.
  bool moving() const;

  // Cuts `desired` (joints) to what may be commanded `dt` seconds after the last command and remembers it;
  // `out` may be `desired`. Returns the bits above. A desired value that is not finite keeps that joint where
  // it was, braking within its limits. Allocates nothing.
  uint32_t limit(const double* desired, double dt, double* out);

  bool keep_data_resident() const;
  // The last command.
  const double* previous() const { return previous_.data(); }
  size_t joints() const { return previous_.size(); }

 private:
  // One joint's next position, under limits of velocity and acceleration.
  double next(size_t i, double target, double dt, uint32_t& bits);

  Limits limits_;
  std::vector<double> previous_, velocity_;
  std::vector<JointMotion> motions_;  // with a jerk limit
};

}  // namespace tendon
