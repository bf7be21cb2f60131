// What a leader device publishes → one number per joint, and its clutch. Messages: a second arm's JointState, plain
// arrays, a Twist (space mouse, spacenav), a Joy (gamepad).

import { type LeaderFile, type RobotFile, TendonError } from '../../types/index.js';
import { readNumbers, readStrings } from '../codec/messages.js';
import { canonicalType, type Message } from '../codec/protocol.js';
import { cutList } from './reader-parts.js';
import { Units } from './units.js';

export type LeaderReader = (msg: Message) => { values: number[]; clutch?: boolean };

/** Throws `config_invalid` for a message type that no reader knows; the reader `input_invalid` for a wrong message. */
export function leaderReader(
  spec: LeaderFile,
  { joint_names, units: given }: Pick<RobotFile, 'joint_names' | 'units'>,
): LeaderReader {
  const units = new Units(given);
  const read = rawReader(spec, joint_names);
  const isArm = /\/(JointState|Float64MultiArray|Float32MultiArray)$/.test(spec.type);
  return (msg) => {
    const reading = read(msg);
    // All of a reading or none of it: half a leader would leave the other half where it was.
    const bad = reading.values.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0)
      refuse(
        spec,
        `its value for joint ${joint_names[bad]} is ${reading.values[bad]}, not a number to act on`,
      );
    // A leader arm counts as the robot does; speeds have no offset, and the axes of a stick are no joints.
    if (units.same || !isArm) return reading;
    const values = reading.values.map((value, joint) =>
      spec.mode === 'rate' ? units.speedToPolicy(joint, value) : units.toPolicy(joint, value),
    );
    return { ...reading, values };
  };
}

function refuse({ topic }: LeaderFile, why: string): never {
  throw new TendonError('input_invalid', `the leader on ${topic}: ${why}.`, { topic });
}

/** Which places of a leader's JointState hold the follower's joints; by name, all of them or none. */
function placesOf(spec: LeaderFile, joint_names: readonly string[], names: readonly string[]): number[] {
  const wanted = joint_names.map((joint) => spec.joints?.[joint] ?? joint);
  const missing = wanted.filter((name) => !names.includes(name));
  if (missing.length > 0)
    refuse(
      spec,
      `expected the joints ${cutList(wanted)} (from the robot file), got ${cutList(names)}: ${cutList(missing)} ${missing.length === 1 ? 'is' : 'are'} missing. Where the leader calls a joint otherwise, say so in teleop.joints, such as { ${missing[0]}: its_name }`,
    );
  return wanted.map((name) => names.indexOf(name));
}

function rawReader(spec: LeaderFile, joint_names: readonly string[]): LeaderReader {
  const { topic, axes, clutch } = spec;
  const type = canonicalType(spec.type);
  const named = (at: (axis: string) => number): number[] =>
    joint_names.map((_, i) => {
      const axis = axes?.[i];
      if (axis === null || axis === undefined) return 0;
      return axis.startsWith('-') ? -at(axis.slice(1)) : at(axis);
    });
  const button = clutch !== undefined && 'button' in clutch ? clutch.button : undefined;
  switch (type) {
    case 'sensor_msgs/JointState':
      return (msg) => {
        const places = placesOf(spec, joint_names, readStrings(msg.name, `${topic}.name`));
        const position = readNumbers(msg.position, `${topic}.position`);
        return { values: places.map((place) => position[place] ?? Number.NaN) };
      };
    case 'std_msgs/Float64MultiArray':
    case 'std_msgs/Float32MultiArray':
      return (msg) => {
        const values = [...readNumbers(msg.data, `${topic}.data`)];
        if (values.length !== joint_names.length)
          refuse(
            spec,
            `expected ${joint_names.length} numbers, for ${cutList(joint_names)}, got ${values.length}`,
          );
        return { values };
      };
    case 'geometry_msgs/Twist':
    case 'geometry_msgs/TwistStamped':
      return (msg) => {
        const twist = (type.endsWith('Stamped') ? msg.twist : msg) as Record<string, Record<string, number>>;
        return { values: named((axis) => Number(part(twist, axis) ?? Number.NaN)) };
      };
    case 'sensor_msgs/Joy':
      return (msg) => {
        const sticks = readNumbers(msg.axes, `${topic}.axes`);
        const values = named((axis) => sticks[Number(axis.slice('axes.'.length))] ?? Number.NaN);
        if (button === undefined) return { values };
        return { values, clutch: readNumbers(msg.buttons, `${topic}.buttons`)[button] === 1 };
      };
    default:
      throw new TendonError(
        'config_invalid',
        `teleop.type: expected JointState, Float64MultiArray, Twist, TwistStamped or Joy, got ${spec.type}`,
        { type: spec.type },
      );
  }
}

function part(twist: Record<string, Record<string, number>> | undefined, axis: string): number | undefined {
  const [of, along] = axis.split('.');
  return twist?.[of!]?.[along!];
}
