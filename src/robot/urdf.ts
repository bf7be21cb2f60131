// Joint limits from a URDF: position and velocity of the joints that are commanded. A scanner of tags, not an XML
// parser: nothing is fetched or expanded, and what is not plain URDF is refused.

import { TendonError } from '../types/index.js';

export interface UrdfLimits {
  readonly lower: readonly number[];
  readonly upper: readonly number[];
  readonly velocity: readonly number[];
}

const TAG = /<(\/?)([\w:.-]+)((?:\s+[\w:.-]+\s*=\s*(?:"[^"]*"|'[^']*'))*)\s*(\/?)>/g;
const ATTRIBUTE = /([\w:.-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/g;

type Attributes = Readonly<Record<string, string>>;

/** A joint as the file has it. */
export interface UrdfJoint {
  readonly type: string;
  /** Elements directly inside, by name. */
  readonly inside: Record<string, Attributes>;
}

/** The limits of `joint_names` in their order; `file` is for messages. Throws `config_invalid` naming the joint. */
export function readUrdfLimits(text: string, joint_names: readonly string[], file: string): UrdfLimits {
  const refuse = (why: string, joint?: string): never => {
    throw new TendonError('config_invalid', `${file}: ${why}`, { file, joint });
  };
  const joints = readUrdfJoints(text, file);
  const limits = joint_names.map((name) => {
    const joint = joints.get(name);
    if (joint === undefined)
      return refuse(`there is no joint ${name}; there are ${[...joints.keys()].join(', ') || 'none'}`, name);
    if (joint.inside.mimic !== undefined)
      return refuse(`joint ${name} mimics ${joint.inside.mimic.joint}; it cannot be commanded`, name);
    if (joint.type !== 'revolute' && joint.type !== 'prismatic' && joint.type !== 'continuous')
      return refuse(`joint ${name} is ${joint.type || 'of no type'}; it has no one position`, name);
    const number = (attribute: string): number => {
      const given = joint.inside.limit?.[attribute];
      const value = given === undefined || given.trim() === '' ? Number.NaN : Number(given);
      if (!Number.isFinite(value))
        return refuse(
          `joint ${name}: expected a number as limit ${attribute}, got ${given ?? 'nothing'}`,
          name,
        );
      return value;
    };
    const velocity = number('velocity');
    if (!(velocity > 0)) refuse(`joint ${name}: expected a positive limit velocity, got ${velocity}`, name);
    // A continuous joint turns without end: its range, if any, is the robot file's to say.
    if (joint.type === 'continuous') return { lower: -Infinity, upper: Infinity, velocity };
    const soft = joint.inside.safety_controller;
    const lower = Math.max(number('lower'), soften(soft?.soft_lower_limit, -Infinity));
    const upper = Math.min(number('upper'), soften(soft?.soft_upper_limit, Infinity));
    if (!(lower < upper))
      refuse(`joint ${name}: expected lower below upper, got ${lower} and ${upper}`, name);
    return { lower, upper, velocity };
  });
  return {
    lower: limits.map((l) => l.lower),
    upper: limits.map((l) => l.upper),
    velocity: limits.map((l) => l.velocity),
  };

  function soften(given: string | undefined, otherwise: number): number {
    if (given === undefined) return otherwise;
    const value = Number(given);
    return given.trim() !== '' && Number.isFinite(value)
      ? value
      : refuse(`expected a number as soft limit, got "${given}"`);
  }
}

/** Every joint of a URDF by its name. Throws `config_invalid` for what is not plain URDF. */
export function readUrdfJoints(text: string, file: string): ReadonlyMap<string, UrdfJoint> {
  const refuse = (why: string): never => {
    throw new TendonError('config_invalid', `${file}: ${why}`, { file });
  };
  if (/<(\/?)xacro:|xmlns:xacro/.test(text))
    return refuse('expected plain URDF, got xacro. Expand it first: xacro robot.xacro > robot.urdf');
  return scan(text) ?? refuse('expected a URDF with <robot> as its only root');
}

/** Joints that are children of <robot>: those of transmissions and simulators are other things. */
function scan(text: string): Map<string, UrdfJoint> | undefined {
  const plain = text.replace(/<!--[\s\S]*?-->|<\?[\s\S]*?\?>/g, '');
  const joints = new Map<string, UrdfJoint>();
  const path: string[] = [];
  let joint: UrdfJoint | undefined;
  for (const [, closing, name = '', rest = '', empty] of plain.matchAll(TAG)) {
    if (closing === '/') {
      if (path.pop() !== name) return undefined;
      continue;
    }
    if (path.length === 0 && name !== 'robot') return undefined;
    const attributes: Attributes = Object.fromEntries(
      [...rest.matchAll(ATTRIBUTE)].map(([, key = '', a, b]) => [key, a ?? b ?? '']),
    );
    if (path.length === 1 && name === 'joint') {
      joint = { type: attributes.type ?? '', inside: {} };
      joints.set(attributes.name ?? '', joint);
    } else if (path.length === 2 && path[1] === 'joint' && joint !== undefined)
      joint.inside[name] = attributes;
    if (empty !== '/') path.push(name);
  }
  return path.length === 0 && /<robot[\s>]/.test(plain) ? joints : undefined;
}
