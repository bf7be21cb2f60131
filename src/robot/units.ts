// Policies that do not count in the robot's units: LeRobot records an SO-101 in degrees and its gripper from 0 to 100,
// an ALOHA's grippers from 0 to 1. A robot file says so in `units`; the limits, which it gives in the robot's, become the
// policy's here, so that everything between the bridge and the policy speaks one language.

import * as z from 'zod';
import type { RobotFile } from '../types/index.js';
import { name } from './fields.js';

/** Per joint, robot = policy · scale + offset, for commands and for the features that are named. */
export const unitsSchema = z.lazy(() =>
  z.strictObject({
    scale: z.array(z.number().refine((scale) => scale !== 0, 'a number other than 0')),
    offset: z.array(z.number()).optional(),
    features: z.array(name).min(1),
  }),
);

/** Units with nothing left open; undefined when the policy counts as the robot does. */
export function wholeUnits(units: z.infer<typeof unitsSchema> | undefined): RobotFile['units'] {
  return units && { ...units, offset: units.offset ?? units.scale.map(() => 0) };
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

/** Refuses units that fit neither the joints nor the features. */
export function checkUnits(
  units: z.infer<typeof unitsSchema>,
  joint_names: readonly string[],
  lengths: Readonly<Record<string, number>>,
  refuse: (path: (string | number)[], message: string) => void,
): void {
  const joints = joint_names.length;
  for (const key of ['scale', 'offset'] as const) {
    const got = units[key]?.length ?? joints;
    if (got !== joints) refuse(['units', key], `one value per joint in joint_names (${joints}), got ${got}`);
  }
  for (const key of units.features)
    if (lengths[key] !== joints)
      refuse(['units', 'features'], `features of ${joints} values, got ${key} of ${lengths[key] ?? 'none'}`);
}
