// Messages → the features they carry, checked: one reader per message type.

import { type Image, type RobotFile, type RobotStream, TendonError } from '../types/index.js';
import { decodeCompressed } from './compressed.js';
import type { Message } from './hub.js';
import { IMAGE_TYPE, readImage } from './images.js';
import { AXES, axisOf, readNumbers, readStrings } from './messages.js';

export interface Parts {
  readonly values: Readonly<Record<string, Float32Array>>;
  readonly images: Readonly<Record<string, Image>>;
}
export type Reader = (msg: Message) => Parts;
/** Of what is decoded on another thread. */
export type SlowReader = (msg: Message) => Promise<Parts>;

const NONE = Object.freeze({});

/** float32 of the expected length, all finite; otherwise `input_invalid`. */
function checked(
  stream: RobotStream,
  key: string,
  values: ArrayLike<number>,
  expected: number,
): Float32Array {
  if (values.length !== expected) {
    throw new TendonError(
      'input_invalid',
      `${stream.topic}: expected ${expected} values for ${key} (from the robot file), got ${values.length}. Check observation in the file, or the robot.`,
      { topic: stream.topic, key, expected, got: values.length },
    );
  }
  const out = Float32Array.from(values);
  const bad = out.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) {
    throw new TendonError(
      'input_invalid',
      `${stream.topic}: ${key}[${bad}] is ${values[bad]}, not a number to act on.`,
      {
        topic: stream.topic,
        key,
        index: bad,
      },
    );
  }
  return out;
}

function jointReader(stream: RobotStream, joint_names: readonly string[]): Reader {
  let known: readonly string[] | undefined;
  let order: readonly number[] = [];
  return (msg) => {
    const names = readStrings(msg.name, `${stream.topic}.name`);
    if (
      known === undefined ||
      names.length !== known.length ||
      names.some((name, i) => name !== known?.[i])
    ) {
      order = joint_names.map((name) => {
        const index = names.indexOf(name);
        if (index >= 0) return index;
        throw new TendonError(
          'input_invalid',
          `${stream.topic}: joint ${name} (from joint_names) is not among ${names.join(', ')}.`,
          { topic: stream.topic, joint: name },
        );
      });
      known = names;
    }
    const values: Record<string, Float32Array> = {};
    for (const [key, { length, field }] of Object.entries(stream.features)) {
      const all = readNumbers(msg[field], `${stream.topic}.${field}`);
      values[key] = checked(
        stream,
        key,
        Float64Array.from(order, (index) => all[index] ?? Number.NaN),
        length,
      );
    }
    return { values, images: NONE };
  };
}

/** One array in order, cut into the features as the file lists them. */
function arrayReader(stream: RobotStream, numbers: (msg: Message) => Float64Array): Reader {
  const features = Object.entries(stream.features);
  const total = features.reduce((sum, [, { length }]) => sum + length, 0);
  return (msg) => {
    const data = numbers(msg);
    if (data.length !== total) checked(stream, features.map(([key]) => key).join(' + '), data, total);
    let at = 0;
    const values: Record<string, Float32Array> = {};
    for (const [key, { length }] of features) {
      values[key] = checked(stream, key, data.subarray(at, at + length), length);
      at += length;
    }
    return { values, images: NONE };
  };
}

function namedReader(stream: RobotStream): Reader {
  return (msg) => {
    const names = readStrings(msg.name, `${stream.topic}.name`);
    const lengths = readNumbers(msg.length, `${stream.topic}.length`);
    const data = readNumbers(msg.data, `${stream.topic}.data`);
    const values: Record<string, Float32Array> = {};
    let at = 0;
    names.forEach((name, i) => {
      const length = lengths[i] ?? 0;
      const feature = stream.features[name];
      if (feature !== undefined)
        values[name] = checked(stream, name, data.subarray(at, at + length), feature.length);
      at += length;
    });
    for (const [key, { length }] of Object.entries(stream.features)) {
      if (values[key] === undefined) checked(stream, key, [], length);
    }
    return { values, images: NONE };
  };
}

function imageReader(stream: RobotStream): Reader {
  const [key, shape] = Object.entries(stream.images)[0] ?? ['', [0, 0, 0]];
  return (msg) => {
    const picture = readImage(msg);
    const got = [picture.height, picture.width, picture.channels];
    if (got.some((size, i) => size !== shape[i])) {
      throw new TendonError(
        'input_invalid',
        `${stream.topic}: expected ${key} to be ${shape.join('×')} (from the robot file), got ${got.join('×')}.`,
        { topic: stream.topic, key },
      );
    }
    return { values: NONE, images: { [key]: picture } };
  };
}

function compressedReader(stream: RobotStream): SlowReader {
  const [key, size] = Object.entries(stream.images)[0] ?? ['', [0, 0, 1] as const];
  return async (msg) => {
    try {
      return { values: NONE, images: { [key]: await decodeCompressed(msg, size) } };
    } catch (caught) {
      if (!(caught instanceof TendonError)) throw caught;
      throw new TendonError(caught.code, `${stream.topic}, ${key}: ${caught.message}`, {
        ...caught.fields,
        key,
      });
    }
  };
}

const axes = (value: unknown, names: readonly string[], what: string) =>
  names.map((name) => {
    const part = typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
    return readNumbers([part], `${what}.${name}`)[0] as number;
  });

/** The numbers of a twist that the topic's joints (or joint_names) name, in their order. */
function twistReader(stream: RobotStream, file: RobotFile): (twist: unknown) => Float64Array {
  const places = (stream.joints ?? file.joint_names).map((name) => {
    const axis = axisOf(name);
    if (axis >= 0) return axis;
    throw new TendonError(
      'config_invalid',
      `${stream.topic}: ${name} is no axis of a ${stream.type}; give this topic joints among ${AXES.join(', ')}.`,
      { topic: stream.topic, name },
    );
  });
  return (twist) => {
    const { linear, angular } = (twist ?? {}) as Message;
    const six = [
      ...axes(linear, ['x', 'y', 'z'], `${stream.topic}.linear`),
      ...axes(angular, ['x', 'y', 'z'], `${stream.topic}.angular`),
    ];
    return Float64Array.from(places, (place) => six[place]!);
  };
}

const pose = (stream: RobotStream, value: unknown): number[] => {
  const { position, orientation } = (value ?? {}) as Message;
  return [
    ...axes(position, ['x', 'y', 'z'], `${stream.topic}.pose.position`),
    ...axes(orientation, ['x', 'y', 'z', 'w'], `${stream.topic}.pose.orientation`),
  ];
};

/** The length of x, y and yaw; a feature of any other length is the whole pose. */
const PLANAR = 3;

/** nav_msgs/Odometry: `field: position` is the pose, whole (7) or planar (x y yaw), `velocity` the twist. */
function odometryReader(stream: RobotStream, file: RobotFile): Reader {
  const moving = Object.values(stream.features).some(({ field }) => field === 'velocity');
  const readTwist = moving ? twistReader(stream, file) : undefined;
  return (msg) => {
    const values: Record<string, Float32Array> = {};
    for (const [key, { length, field }] of Object.entries(stream.features)) {
      if (field === 'velocity')
        values[key] = checked(stream, key, readTwist!((msg.twist as Message | undefined)?.twist), length);
      else {
        const whole = pose(stream, (msg.pose as Message | undefined)?.pose);
        const [x = 0, y = 0, , qx = 0, qy = 0, qz = 0, qw = 0] = whole;
        const yaw = Math.atan2(2 * (qw * qz + qx * qy), 1 - 2 * (qy * qy + qz * qz));
        values[key] = checked(stream, key, length === PLANAR ? [x, y, yaw] : whole, length);
      }
    }
    return { values, images: NONE };
  };
}

/** How each message type is read; the key is the canonical type. */
export const READERS: Readonly<Record<string, (stream: RobotStream, file: RobotFile) => Reader>> = {
  'sensor_msgs/JointState': (stream, file) => jointReader(stream, stream.joints ?? file.joint_names),
  'std_msgs/Float64MultiArray': (stream) =>
    arrayReader(stream, (msg) => readNumbers(msg.data, `${stream.topic}.data`)),
  'std_msgs/Float32MultiArray': (stream) =>
    arrayReader(stream, (msg) => readNumbers(msg.data, `${stream.topic}.data`)),
  'geometry_msgs/PoseStamped': (stream) =>
    arrayReader(stream, (msg) => Float64Array.from(pose(stream, msg.pose))),
  'geometry_msgs/Twist': (stream, file) => arrayReader(stream, twistReader(stream, file)),
  'geometry_msgs/TwistStamped': (stream, file) => {
    const read = twistReader(stream, file);
    return arrayReader(stream, (msg) => read(msg.twist));
  },
  'nav_msgs/Odometry': odometryReader,
  'tendon_msgs/Observation': namedReader,
  [IMAGE_TYPE]: imageReader,
};
export const SLOW_READERS: Readonly<Record<string, (stream: RobotStream) => SlowReader>> = {
  'sensor_msgs/CompressedImage': compressedReader,
};
