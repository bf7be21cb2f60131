// The last thing between any number and the robot, as src/control/limiter.ts has it: position, velocity,
// acceleration and jerk limits with braking in whole periods. Both must answer alike, bit for bit; a test
// compares them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tendon {

// Per joint, in its unit, per s, per s² and per s³. An empty acceleration or jerk does not limit.
struct Limits {
  std::vector<double> lower, upper, velocity, acceleration, jerk;

  // Throws BuildError config_invalid for limits that would not limit.
  void check(size_t joints) const;
};

// What `limit` did, as bits: LIMITED of limiter.ts.
enum : uint32_t {
  limited_position = 1,
  limited_velocity = 2,
  limited_acceleration = 4,
  limited_not_finite = 8,
  limited_jerk = 16
};

class Limiter {
 public:
  Limiter(Limits limits, size_t joints);

  // Begins anew from where the robot is, at rest.
  void restart(const double* measured);

  // Cuts `desired` (joints) to what may be commanded `dt` seconds after the last command and remembers it;
  // `out` may be `desired`. Returns the bits above.
  uint32_t limit(const double* desired, double dt, double* out);

  bool keep_data_resident() const;
  const double* previous() const { return previous_.data(); }

 private:
  Limits limits_;
  std::vector<double> previous_, velocity_, acceleration_;
};

}  // namespace tendon
