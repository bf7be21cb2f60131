// Where the tip of an arm is: the chain of joints of a URDF from its root to one link, and the box that the tip must not
// leave. Plain data, so that a recording can hold it.

import { TendonError, type Workspace } from '../types/index.js';
import type { UrdfJoint } from './urdf.js';

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
    chain.unshift(linkOf(name, joint, joint_names, refuse));
    link = joint.inside.parent?.link;
  }
  if (chain.every(({ kind }) => kind === 'fixed')) refuse(`no commanded joint moves the link ${tip}`);
  return chain;
}

function linkOf(
  name: string,
  joint: UrdfJoint,
  joint_names: readonly string[],
  refuse: (why: string) => never,
): Link {
  const numbers = (text: string | undefined, otherwise: readonly number[], what: string): number[] => {
    if (text === undefined) return [...otherwise];
    const values = text.trim().split(/\s+/).map(Number);
    return values.length === 3 && values.every(Number.isFinite)
      ? values
      : refuse(`joint ${name}: expected three numbers as ${what}, got "${text}"`);
  };
  const xyz = numbers(joint.inside.origin?.xyz, [0, 0, 0], 'origin xyz');
  const rpy = numbers(joint.inside.origin?.rpy, [0, 0, 0], 'origin rpy');
  const axis = numbers(joint.inside.axis?.xyz, [1, 0, 0], 'axis');
  const length = Math.hypot(...axis);
  const origin = placed(rpy as [number, number, number], xyz);
  const mimic = joint.inside.mimic;
  const index = joint_names.indexOf(mimic?.joint ?? name);
  const moves = joint.type === 'revolute' || joint.type === 'continuous' || joint.type === 'prismatic';
  if (!moves && joint.type !== 'fixed')
    refuse(`joint ${name} is ${joint.type}; only one axis can be followed`);
  if (!moves || index < 0) return { kind: 'fixed', origin, axis: [0, 0, 0], joint: 0, scale: 0, offset: 0 };
  if (!(length > 0)) refuse(`joint ${name}: its axis has no direction`);
  return {
    kind: joint.type === 'prismatic' ? 'prismatic' : 'revolute',
    origin,
    axis: axis.map((v) => v / length),
    joint: index,
    scale: Number(mimic?.multiplier ?? 1),
    offset: Number(mimic?.offset ?? 0),
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

/** Tips within a box: makes no garbage, for it is asked many times in a tick. */
export class TipPosition {
  /** x, y, z in m, in the frame of the URDF's root. */
  readonly position = new Float64Array(3);
  private readonly pose = new Float64Array(12);
  private readonly next = new Float64Array(12);
  private readonly turn = new Float64Array(12);

  constructor(private readonly workspace: Workspace) {}

  /** How far outside the box the tip is with joints at `q`, m; 0 within it. */
  outside(q: ArrayLike<number>): number {
    this.at(q);
    const { lower, upper } = this.workspace;
    let squares = 0;
    for (let i = 0; i < 3; i++)
      squares += Math.max(0, lower[i]! - this.position[i]!, this.position[i]! - upper[i]!) ** 2;
    return Math.sqrt(squares);
  }

  /** `position` with joints at `q`, to be copied before the next is asked for. */
  at(q: ArrayLike<number>): Float64Array {
    this.place(q);
    return this.position;
  }

  /** Where every joint of the chain and, last, the tip is with joints at `q`: (chain + 1, 3), m; for drawing. */
  points(q: ArrayLike<number>): Float64Array {
    const out = new Float64Array(3 * (this.workspace.chain.length + 1));
    this.place(q, out);
    out.set(this.position, out.length - 3);
    return out;
  }

  private place(q: ArrayLike<number>, joints?: Float64Array): void {
    const { pose, turn } = this;
    pose.fill(0);
    for (const i of [0, 5, 10]) pose[i] = 1;
    for (let l = 0; l < this.workspace.chain.length; l++) {
      const link = this.workspace.chain[l]!;
      this.multiply(link.origin);
      for (let i = 0; joints !== undefined && i < 3; i++) joints[3 * l + i] = pose[4 * i + 3]!;
      if (link.kind === 'fixed') continue;
      const value = link.scale * q[link.joint]! + link.offset;
      const [x, y, z] = link.axis as [number, number, number];
      turn.fill(0);
      for (const i of [0, 5, 10]) turn[i] = 1;
      if (link.kind === 'prismatic') for (let i = 0; i < 3; i++) turn[4 * i + 3] = value * link.axis[i]!;
      else {
        const [c, s] = [Math.cos(value), Math.sin(value)];
        const k = 1 - c;
        turn.set([c + x * x * k, x * y * k - z * s, x * z * k + y * s], 0);
        turn.set([y * x * k + z * s, c + y * y * k, y * z * k - x * s], 4);
        turn.set([z * x * k - y * s, z * y * k + x * s, c + z * z * k], 8);
      }
      this.multiply(turn);
    }
    for (let i = 0; i < 3; i++) this.position[i] = pose[4 * i + 3]!;
  }

  /** pose ← pose · by */
  private multiply(by: ArrayLike<number>): void {
    const { pose, next } = this;
    for (let r = 0; r < 3; r++)
      for (let c = 0; c < 4; c++) {
        let sum = c === 3 ? pose[4 * r + 3]! : 0;
        for (let k = 0; k < 3; k++) sum += pose[4 * r + k]! * by[4 * k + c]!;
        next[4 * r + c] = sum;
      }
    pose.set(next);
  }
}
