// What a leader device publishes → one number per joint, and its clutch. Messages: a second arm's JointState, plain
// arrays, a Twist (space mouse, spacenav), a Joy (gamepad).

import { type LeaderFile, type RobotFile, TendonError } from '../../types/index.js';
import { readNumbers, readStrings } from '../codec/messages.js';
import { canonicalType, type Message } from '../codec/protocol.js';

export type LeaderReader = (msg: Message) => { values: number[]; clutch?: boolean };

/** Throws `config_invalid` for a message type that no reader knows; the reader `input_invalid` for a wrong message. */
export function leaderReader(
  spec: LeaderFile,
  { joint_names, units }: Pick<RobotFile, 'joint_names' | 'units'>,
): LeaderReader {
  const { topic, axes, clutch, mode } = spec;
  // A leader arm counts as the robot does; speeds have no offset.
  const counted = (values: number[]): number[] =>
    units === undefined
      ? values
      : values.map((v, i) => (v - (mode === 'rate' ? 0 : units.offset[i]!)) / units.scale[i]!);
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
        const names = readStrings(msg.name, `${topic}.name`);
        const position = readNumbers(msg.position, `${topic}.position`);
        // A leader of another make may name its joints otherwise; then their order counts.
        const known = joint_names.every((name) => names.includes(name));
        const ordered = joint_names.map((name, i) => position[known ? names.indexOf(name) : i] ?? Number.NaN);
        return { values: counted(ordered) };
      };
    case 'std_msgs/Float64MultiArray':
    case 'std_msgs/Float32MultiArray':
      return (msg) => ({ values: counted([...readNumbers(msg.data, `${topic}.data`)]) });
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
