// What a robot file has in an older form, and how it is written now.

import { Joints } from './joints.js';
import type { GivenRobot } from './schema.js';

/** A sentence with the lines to write, or undefined for a file of today. */
export function noticeOf(file: GivenRobot, path: string): string | undefined {
  if (file.joints !== undefined) return undefined;
  const urdf = file.limits?.urdf;
  const lines = [
    ...(urdf === undefined ? [] : [`urdf: ${urdf}`]),
    'joints:',
    Joints.of(file).text(),
    ...(file.units === undefined ? [] : [`units: { features: [${file.units.features.join(', ')}] }`]),
  ];
  return (
    `${path} lists its joints in arrays (joint_names, limits${file.units === undefined ? '' : ', units'}), in which one slip gives a joint ` +
    `the limit of another. It is read all the same; write instead:\n${lines.join('\n')}`
  );
}
