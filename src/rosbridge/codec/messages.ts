// The ROS messages that Tendon reads and writes: typed builders with every field present (ros2-web-bridge insists
// on that) and readers that take what servers really send: lists, typed arrays, base64, null where NaN was.

import { type Image, TendonError } from '../../types/index.js';
import { epochStamp, type RosTime } from './time.js';

export interface Header {
  readonly stamp: RosTime;
  readonly frame_id: string;
}
/** A field of numbers as it may arrive. */
export type Numbers = readonly number[] | Float64Array | Float32Array;

const refuse = (why: string, fields: Record<string, unknown> = {}): never => {
  throw new TendonError('input_invalid', why, fields);
};

/** A header stamped `stamp`, by default now, since 1970. */
export const header = (frame_id = '', stamp: RosTime = epochStamp()): Header => ({ stamp, frame_id });

/** sensor_msgs/JointState; radians (or metres), per second, and N m. */
export const jointState = (
  head: Header,
  name: readonly string[],
  position: Numbers,
  velocity: Numbers = [],
  effort: Numbers = [],
) => ({ header: head, name, position: list(position), velocity: list(velocity), effort: list(effort) });

/** std_msgs/Float64MultiArray of one dimension. */
export const float64MultiArray = (data: Numbers, label = '') => ({
  layout: { dim: [{ label, size: data.length, stride: data.length }], data_offset: 0 },
  data: list(data),
});

/** builtin_interfaces/Duration */
export const durationOf = (ns: number) => ({ sec: Math.floor(ns / 1e9), nanosec: Math.round(ns % 1e9) });

/** trajectory_msgs/JointTrajectory: `points` are positions to be reached `after_ns` from the stamp. */
export const jointTrajectory = (
  head: Header,
  joint_names: readonly string[],
  points: readonly { readonly positions: Numbers; readonly after_ns: number }[],
) => ({
  header: head,
  joint_names,
  points: points.map(({ positions, after_ns }) => ({
    positions: list(positions),
    velocities: [],
    accelerations: [],
    effort: [],
    time_from_start: durationOf(after_ns),
  })),
});

/** geometry_msgs/PoseStamped; metres and a unit quaternion. */
export const poseStamped = (
  head: Header,
  [x = 0, y = 0, z = 0]: ArrayLike<number> & Iterable<number>,
  [qx, qy, qz, qw]: readonly [number, number, number, number] = [0, 0, 0, 1],
) => ({
  header: head,
  pose: { position: { x, y, z }, orientation: { x: qx, y: qy, z: qz, w: qw } },
});

/** geometry_msgs/Twist from six numbers: linear x y z in m/s, angular x y z in rad/s; missing ones are 0. */
export const twist = ([lx = 0, ly = 0, lz = 0, ax = 0, ay = 0, az = 0]: Iterable<number>) => ({
  linear: { x: lx, y: ly, z: lz },
  angular: { x: ax, y: ay, z: az },
});

/** What the six numbers of a twist are called in a robot file. */
export const AXES = ['linear.x', 'linear.y', 'linear.z', 'angular.x', 'angular.y', 'angular.z'] as const;
/** The place of an axis in a twist, or -1. */
export const axisOf = (name: string): number => AXES.indexOf(name as (typeof AXES)[number]);

/** geometry_msgs/TwistStamped */
export const twistStamped = (head: Header, values: Iterable<number>) => ({
  header: head,
  twist: twist(values),
});

/** control_msgs/JointJog with velocities, in force for `duration_ns`. */
export const jointJog = (
  head: Header,
  joint_names: readonly string[],
  velocities: Numbers,
  duration_ns: number,
) => ({
  header: head,
  joint_names,
  displacements: [],
  velocities: list(velocities),
  duration: duration_ns / 1e9,
});

/** nav_msgs/Odometry; the pose in the frame of `head`, the twist (six numbers) in that of the robot. */
export const odometry = (
  head: Header,
  child_frame_id: string,
  position: ArrayLike<number> & Iterable<number>,
  orientation: readonly [number, number, number, number],
  velocity: Iterable<number>,
) => ({
  header: head,
  child_frame_id,
  pose: { pose: poseStamped(head, position, orientation).pose, covariance: new Array<number>(36).fill(0) },
  twist: { twist: twist(velocity), covariance: new Array<number>(36).fill(0) },
});

/** interbotix_xs_msgs/JointGroupCommand: a value for each joint of the driver's group. */
export const jointGroupCommand = (name: string, cmd: Numbers) => ({ name, cmd: list(cmd) });

/** interbotix_xs_msgs/JointSingleCommand */
export const jointSingleCommand = (name: string, cmd: number) => ({ name, cmd });

/** sensor_msgs/Image, rgb8 or mono8. */
export const image = (head: Header, { width, height, channels, data }: Image) => ({
  header: head,
  height,
  width,
  encoding: channels === 3 ? 'rgb8' : 'mono8',
  is_bigendian: 0,
  step: width * channels,
  data,
});

/**
 * tendon_msgs/Observation: named arrays under one stamp, which std_msgs/Float64MultiArray cannot carry. `data` is
 * the arrays one after the other, `length` their lengths.
 */
export const observationMessage = (head: Header, arrays: Readonly<Record<string, Numbers>>) => ({
  header: head,
  name: Object.keys(arrays),
  length: Object.values(arrays).map((array) => array.length),
  data: Object.values(arrays).flatMap((array) => list(array)),
});

const list = (values: Numbers): number[] => (Array.isArray(values) ? values : Array.from(values));

/** Numbers from a list or typed array; null, which stands for NaN in JSON, becomes NaN. Throws `input_invalid`. */
export function readNumbers(value: unknown, what: string): Float64Array {
  if (Array.isArray(value)) {
    const out = new Float64Array(value.length);
    for (let i = 0; i < value.length; ++i) {
      const item = value[i];
      if (typeof item === 'number') out[i] = item;
      else if (typeof item === 'bigint') out[i] = Number(item);
      else if (item === null) out[i] = Number.NaN;
      else refuse(`${what}[${i}]: expected a number, got ${typeof item}.`);
    }
    return out;
  }
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
    return Float64Array.from(value as unknown as ArrayLike<number | bigint>, Number);
  }
  return refuse(`${what}: expected a list of numbers, got ${value === null ? 'null' : typeof value}.`);
}

/** uint8[] as base64 text, bytes or a list of numbers. Throws `input_invalid`. */
export function readBytes(value: unknown, what: string): Uint8Array {
  if (value instanceof Uint8Array) return value;
  if (typeof value === 'string') return Buffer.from(value, 'base64');
  if (Array.isArray(value) && value.every((item) => Number.isInteger(item) && item >= 0 && item < 256)) {
    return Uint8Array.from(value as number[]);
  }
  return refuse(`${what}: expected bytes (base64 or a list of 0 to 255), got ${typeof value}.`);
}

/** A list of strings. Throws `input_invalid`. */
export function readStrings(value: unknown, what: string): readonly string[] {
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value;
  return refuse(`${what}: expected a list of names, got ${typeof value}.`);
}
