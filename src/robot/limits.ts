// Limits with nothing left open: what the robot file says, and what its URDF says where the file is silent.

import { type RobotFile, TendonError } from '../types/index.js';
import { DYNAMICS, type Joints, type LimitKey, RANGE } from './joints.js';
import type { UrdfLimits } from './urdf.js';

/** In the units of the robot. Throws `config_invalid` for a joint without a limit, or with one wider than the URDF's. */
export function wholeLimits(
  joints: Joints,
  outer: UrdfLimits | undefined,
  file: string,
  urdf = '',
): RobotFile['limits'] {
  const refuse = (key: LimitKey, index: number, why: string): never => {
    const path = joints.path(key, index);
    throw new TendonError('config_invalid', `${file}: ${path.join('.')}: ${joints.names[index]} ${why}`, {
      file,
    });
  };
  const pick = (key: (typeof RANGE)[number]): number[] =>
    joints.all(key).map((own, i) => {
      const value = own ?? outer?.[key][i];
      if (value === undefined) return refuse(key, i, `has no ${key} limit in ${urdf}; give it here`);
      if (!Number.isFinite(value)) return refuse(key, i, `turns without end in ${urdf}; give its range here`);
      return value;
    });
  const range = { lower: pick('lower'), upper: pick('upper'), velocity: pick('velocity') };
  joints.names.forEach((_, i) => {
    const [lower, upper] = [range.lower[i]!, range.upper[i]!];
    if (!(lower < upper)) refuse('lower', i, `has ${lower} not below ${upper}`);
    for (const key of RANGE) {
      const [own, most] = [range[key][i]!, outer?.[key][i]];
      if (most !== undefined && (key === 'lower' ? own < most : own > most))
        refuse(key, i, `has ${own}, wider than ${most} in ${urdf}`);
    }
  });
  const dynamics = DYNAMICS.flatMap((key) => (joints.say(key) ? [[key, joints.all(key)] as const] : []));
  return { ...range, ...Object.fromEntries(dynamics) };
}
