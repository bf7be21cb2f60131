// The chain of joints that a URDF has between its root and one link, as plain data that a recording can hold.

import { TendonError, type Workspace } from '../types/index.js';
import { decimal, decimalExpected, followed, type UrdfJoint } from './urdf.js';

type Link = Workspace['chain'][number];

/**
 * The chain from the root of the URDF to the link `tip`. A joint's value is `scale` · commanded + `offset`, one per entry
 * of `joint_names`; joints that are not commanded stand at 0. Throws `config_invalid` naming what is missing.
 */
export function chainTo(
  tip: string,
  joints: ReadonlyMap<string, UrdfJoint>,
  joint_names: readonly string[],
  file: string,
): Link[] {
  const refuse = (why: string): never => {
    throw new TendonError('config_invalid', `${file}: ${why}`, { file, tip });
  };
  const above = new Map<string, [string, UrdfJoint]>();
  for (const [name, joint] of joints) {
    const child = joint.inside.child?.link;
    if (child !== undefined) above.set(child, [name, joint]);
  }
  if (!above.has(tip))
    refuse(`no joint leads to the link ${tip}; there are ${[...above.keys()].join(', ') || 'none'}`);
  const chain: Link[] = [];
  for (let link: string | undefined = tip; link !== undefined; ) {
    const found = above.get(link);
    if (found === undefined) break;
    if (chain.length > joints.size) refuse(`the joints above ${tip} go round in a circle`);
    const [name, joint]: [string, UrdfJoint] = found;
    chain.unshift(linkOf(name, joint, joints, joint_names, file, refuse));
    link = joint.inside.parent?.link;
  }
  if (chain.every(({ kind }) => kind === 'fixed')) refuse(`no commanded joint moves the link ${tip}`);
  return chain;
}

function linkOf(
  name: string,
  joint: UrdfJoint,
  joints: ReadonlyMap<string, UrdfJoint>,
  joint_names: readonly string[],
  file: string,
  refuse: (why: string) => never,
): Link {
  const numbers = (text: string | undefined, otherwise: readonly number[], what: string): number[] => {
    if (text === undefined) return [...otherwise];
    const values = text.trim().split(/\s+/).map(decimal);
    return values.length === 3 && values.every((value) => value !== undefined)
      ? values
      : refuse(
          `joint ${name}, line ${joint.line}: expected three numbers as ${what}, ${decimalExpected(text)}`,
        );
  };
  const xyz = numbers(joint.inside.origin?.xyz, [0, 0, 0], 'origin xyz');
  const rpy = numbers(joint.inside.origin?.rpy, [0, 0, 0], 'origin rpy');
  const axis = numbers(joint.inside.axis?.xyz, [1, 0, 0], 'axis');
  const length = Math.hypot(...axis);
  const origin = placed(rpy as [number, number, number], xyz);
  const moves = joint.type === 'revolute' || joint.type === 'continuous' || joint.type === 'prismatic';
  if (!moves && joint.type !== 'fixed')
    refuse(`joint ${name} is ${joint.type}; only one axis can be followed`);
  if (!moves) return { kind: 'fixed', origin, axis: [0, 0, 0], joint: 0, scale: 0, offset: 0 };
  const { joint: leads, scale, offset } = followed(name, joints, file);
  const index = joint_names.indexOf(leads);
  // A joint that is not commanded stands at 0, and one that mimics it at its own offset.
  if (index < 0 && offset === 0)
    return { kind: 'fixed', origin, axis: [0, 0, 0], joint: 0, scale: 0, offset: 0 };
  if (!(length > 0)) refuse(`joint ${name}: its axis has no direction`);
  return {
    kind: joint.type === 'prismatic' ? 'prismatic' : 'revolute',
    origin,
    axis: axis.map((v) => v / length),
    joint: Math.max(0, index),
    scale: index < 0 ? 0 : scale,
    offset,
  };
}

/** Rows of [R | t], R = Rz(yaw)·Ry(pitch)·Rx(roll), as URDF has it. */
function placed([roll, pitch, yaw]: [number, number, number], t: readonly number[]): number[] {
  const [cr, sr, cp, sp] = [Math.cos(roll), Math.sin(roll), Math.cos(pitch), Math.sin(pitch)];
  const [cy, sy] = [Math.cos(yaw), Math.sin(yaw)];
  return [
    ...[cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr, t[0]!],
    ...[sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr, t[1]!],
    ...[-sp, cp * sr, cp * cr, t[2]!],
  ];
}
