// Policies that do not count in the robot's units: LeRobot records an SO-101 in degrees and its gripper from 0 to 100, an
// ALOHA's grippers from 0 to 1. The robot file gives limits in the robot's units; here they become the policy's, so that
// everything between the bridge and the policy counts alike.

import type { RobotFile } from '../types/index.js';
import type { Joints } from './joints.js';

/** Units with nothing left open; undefined when the policy counts as the robot does. */
export function wholeUnits(joints: Joints, features: readonly string[] | undefined): RobotFile['units'] {
  if (features === undefined) return undefined;
  return {
    scale: joints.all('scale').map((scale) => scale ?? 1),
    offset: joints.all('offset').map((offset) => offset ?? 0),
    features,
  };
}

/** The limits in the policy's units. */
export function convertLimits(limits: RobotFile['limits'], units: RobotFile['units']): RobotFile['limits'] {
  if (units === undefined) return limits;
  const { scale, offset } = units;
  const place = (values: readonly number[]) => values.map((value, i) => (value - offset[i]!) / scale[i]!);
  const size = (values: readonly number[]) => values.map((value, i) => value / Math.abs(scale[i]!));
  const [one, other] = [place(limits.lower), place(limits.upper)];
  const { velocity, acceleration, jerk, step_from_measured } = limits;
  return {
    // Where the policy counts the other way round, the lower end is its upper.
    lower: one.map((value, i) => Math.min(value, other[i]!)),
    upper: one.map((value, i) => Math.max(value, other[i]!)),
    velocity: size(velocity),
    ...(acceleration === undefined ? {} : { acceleration: size(acceleration) }),
    ...(jerk === undefined ? {} : { jerk: size(jerk) }),
    ...(step_from_measured === undefined ? {} : { step_from_measured: size(step_from_measured) }),
  };
}
