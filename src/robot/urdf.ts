// Joints and their limits from a URDF (wiki.ros.org/urdf/XML/joint): what a joint's elements say, and what they leave to
// the robot file.

import { TendonError } from '../types/index.js';
import { readXml, XmlFault } from './xml.js';

/** Limits of the commanded joints, in their order. Undefined: the URDF says nothing, so the robot file has to. */
export interface UrdfLimits {
  readonly lower: readonly (number | undefined)[];
  readonly upper: readonly (number | undefined)[];
  readonly velocity: readonly (number | undefined)[];
}

type Attributes = Readonly<Record<string, string>>;

/** A joint as the file has it. */
export interface UrdfJoint {
  readonly type: string;
  readonly line: number;
  /** Elements directly inside, by name. */
  readonly inside: Record<string, Attributes>;
}

/** What a joint that mimics another follows: value = `scale` · the value of `joint` + `offset`. */
export interface Followed {
  readonly joint: string;
  readonly scale: number;
  readonly offset: number;
}

type Joints = ReadonlyMap<string, UrdfJoint>;

/** The limits of `joint_names` in their order; `file` is for messages. Throws `config_invalid` naming the joint. */
export function readUrdfLimits(text: string, joint_names: readonly string[], file: string): UrdfLimits {
  const joints = readUrdfJoints(text, file);
  const limits = joint_names.map((name) => limitsOf(name, joints, file));
  return {
    lower: limits.map((l) => l.lower),
    upper: limits.map((l) => l.upper),
    velocity: limits.map((l) => l.velocity),
  };
}

interface Range {
  readonly lower?: number | undefined;
  readonly upper?: number | undefined;
}

function limitsOf(
  name: string,
  joints: Joints,
  file: string,
): Range & { readonly velocity?: number | undefined } {
  const joint = joints.get(name);
  if (joint === undefined)
    throw refusal(
      file,
      `there is no joint ${name}; there are ${[...joints.keys()].join(', ') || 'none'}`,
      name,
    );
  if (joint.inside.mimic !== undefined)
    throw refusal(
      file,
      `joint ${name} mimics ${followed(name, joints, file).joint}, so it cannot be commanded; command that joint and leave ${name} out`,
      name,
    );
  if (!['revolute', 'prismatic', 'continuous'].includes(joint.type))
    throw refusal(file, `joint ${name} is ${joint.type || 'of no type'}; it has no one position`, name);
  const speed = number(joint, name, 'limit', 'velocity', file);
  // 0 and −1 are how exporters write "none"; a limit of 0 would be a joint that cannot move.
  const velocity = speed !== undefined && speed > 0 ? speed : undefined;
  // A continuous joint turns without end: its range, if any, is the robot file's to say.
  if (joint.type === 'continuous') return { lower: -Infinity, upper: Infinity, velocity };
  const hard = rangeOf(joint, name, file);
  const soft = softRange(joint, name, file);
  const lower = tighter(Math.max, hard.lower, soft.lower);
  const upper = tighter(Math.min, hard.upper, soft.upper);
  if (lower !== undefined && upper !== undefined && !(lower < upper))
    throw refusal(file, `joint ${name}: expected lower below upper, got ${lower} and ${upper}`, name);
  return { lower, upper, velocity };
}

/** <limit lower upper>. An absent end is 0 by the URDF's rules; nothing to both sides is no range at all. */
function rangeOf(joint: UrdfJoint, name: string, file: string): Range {
  const lower = number(joint, name, 'limit', 'lower', file);
  const upper = number(joint, name, 'limit', 'upper', file);
  if ((lower ?? 0) === 0 && (upper ?? 0) === 0) return {};
  return { lower: lower ?? 0, upper: upper ?? 0 };
}

/** <safety_controller>: its ends, unless together they leave no room, as the zeros that exporters write do. */
function softRange(joint: UrdfJoint, name: string, file: string): Range {
  const lower = number(joint, name, 'safety_controller', 'soft_lower_limit', file);
  const upper = number(joint, name, 'safety_controller', 'soft_upper_limit', file);
  return lower !== undefined && upper !== undefined && !(lower < upper) ? {} : { lower, upper };
}

const tighter = (
  pick: (a: number, b: number) => number,
  hard: number | undefined,
  soft: number | undefined,
): number | undefined => (hard === undefined || soft === undefined ? (hard ?? soft) : pick(hard, soft));

const DECIMAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;

/** A decimal number as C++ streams, which ROS reads a URDF with, would take it; undefined for anything else. */
export function decimal(text: string): number | undefined {
  const trimmed = text.trim();
  const value = DECIMAL.test(trimmed) ? Number(trimmed) : Number.NaN;
  return Number.isFinite(value) ? value : undefined;
}

/** What to say of a text that is no number. */
export const decimalExpected = (text: string): string =>
  `got "${text.slice(0, 40)}"${/\d,\d/.test(text) ? '; write the decimal point as a point, as in 0.5' : ''}`;

function number(
  joint: UrdfJoint,
  name: string,
  element: string,
  attribute: string,
  file: string,
): number | undefined {
  const given = joint.inside[element]?.[attribute];
  if (given === undefined) return undefined;
  const value = decimal(given);
  if (value === undefined)
    throw refusal(
      file,
      `joint ${name}, line ${joint.line}: expected a number as ${attribute} of <${element}>, ${decimalExpected(given)}`,
      name,
    );
  return value;
}

/** The joint that `name` follows in the end, which mimics no other. Throws `config_invalid` for a circle. */
export function followed(name: string, joints: Joints, file: string): Followed {
  let at: Followed = { joint: name, scale: 1, offset: 0 };
  for (let steps = 0; steps <= joints.size; steps++) {
    const joint = joints.get(at.joint);
    if (joint === undefined)
      throw refusal(file, `joint ${name} mimics ${at.joint}, which is no joint of this file`, name);
    const mimic = joint.inside.mimic;
    if (mimic === undefined) return at;
    const scale = number(joint, at.joint, 'mimic', 'multiplier', file) ?? 1;
    const offset = number(joint, at.joint, 'mimic', 'offset', file) ?? 0;
    at = { joint: mimic.joint ?? '', scale: at.scale * scale, offset: at.offset + at.scale * offset };
  }
  throw refusal(file, `joint ${name} mimics others in a circle`, name);
}

/** Every joint of a URDF by its name. Throws `config_invalid` for what is not plain URDF. */
export function readUrdfJoints(text: string, file: string): Joints {
  const joints = new Map<string, UrdfJoint>();
  let joint: UrdfJoint | undefined;
  let rooted = false;
  try {
    readXml(text, ({ name, attributes, line }, path) => {
      if (/^xacro:/.test(name)) throw refusal(file, `line ${line}: ${UNEXPANDED}`);
      if (path.length === 0 && name !== 'robot') throw new XmlFault(`<${name}> as its root`, line);
      rooted = true;
      // Children of <robot> only: the joints of transmissions and simulators are other things.
      if (path.length === 1 && name === 'joint') {
        joint = { type: attributes.type ?? '', line, inside: {} };
        const called = attributes.name ?? '';
        if (joints.has(called)) throw refusal(file, `line ${line}: a second joint ${called}`, called);
        joints.set(called, joint);
      } else if (path.length === 2 && path[1] === 'joint' && joint !== undefined) {
        if (Object.values(attributes).some((value) => value.includes('${')))
          throw refusal(file, `line ${line}: ${UNEXPANDED}`);
        joint.inside[name] = attributes;
      }
    });
  } catch (caught) {
    if (!(caught instanceof XmlFault)) throw caught;
    throw refusal(
      file,
      `expected a URDF with <robot> as its only root, got ${caught.message} in line ${caught.line}`,
    );
  }
  if (!rooted) throw refusal(file, 'expected a URDF with <robot> as its only root, got no element at all');
  return joints;
}

const UNEXPANDED = 'expected plain URDF, got xacro. Expand it first: xacro robot.xacro > robot.urdf';

function refusal(file: string, why: string, joint?: string): TendonError {
  return new TendonError('config_invalid', `${file}: ${why}`, { file, joint });
}
