// One joint under limits of speed, acceleration and jerk: as far towards the target as leaves room to brake.
// A state is safe when a way to stop from it is known that stays within the limits. That way is kept, so that
// it can always be followed; a period moves to the state that is furthest towards the target among those from
// which another way to stop, found in closed form, stays within the limits too. So no limit is exceeded
// whatever the targets do, and a period costs the same whatever the limits are.
#pragma once

#include <array>

namespace tendon {

// Per s, per s² and per s³.
struct JointLimits {
  double lower, upper, speed, acceleration, jerk;
};

// A way to stop: the acceleration changes by `change` in each of `periods` periods, stretch after stretch;
// then the joint is at rest.
struct StopPlan {
  struct Stretch {
    double periods = 0, change = 0;
  };
  std::array<Stretch, 4> stretches;
  double direction = 0;  // in which it moves at last: 1 or −1; 0: it is at rest
  double end = 0;        // where it comes to rest
  double turn = 0;       // where it turns around, if it must before that
  double fastest = 0;    // speed on the way, without a sign
  double dt = 0;         // s, of a period
};

// The last command of a joint, and how it could be brought to rest from there.
struct JointMotion {
  double position = 0, speed = 0, acceleration = 0;
  StopPlan stop;

  void rest(double at) { *this = {at, 0, 0, {}}; }
};

// Moves `joint` by one period of `dt` s towards `target`, which is finite.
void jerk_limited_step(JointMotion& joint, double target, const JointLimits& limits, double dt);

}  // namespace tendon
