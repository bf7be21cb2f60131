// One joint under limits of speed, acceleration and jerk, as src/control/jerk.ts has it, bit for bit: as far
// towards the target as leaves room to brake. Braking is itself such a move, so no limit is ever exceeded.
#pragma once

namespace tendon {

struct JointMotion {
  double position = 0, speed = 0, acceleration = 0;
};

// Per s, per s² and per s³.
struct JointLimits {
  double lower, upper, speed, acceleration, jerk;
};

// Moves `joint` by one period of `dt` s towards `target`, which is finite.
void jerk_limited_step(JointMotion& joint, double target, const JointLimits& limits, double dt);

}  // namespace tendon
