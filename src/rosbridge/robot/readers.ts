// Messages → the features they carry, checked: one reader per message type.

import { type RobotFile, type RobotStream, TendonError } from '../../types/index.js';
import { IMAGE_TYPE, readImage } from '../codec/images.js';
import { readNumbers, readStrings } from '../codec/messages.js';
import { decodeCompressed } from './compressed.js';
import type { FrameTree } from './frame-tree.js';
import { jointReader } from './joint-reader.js';
import { odometryReader, poseStampedReader, transformReader, twistReader } from './motion-readers.js';
import { arrayReader, checked, NONE, type Reader, type SlowReader } from './reader-parts.js';

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
    const picture = named(stream, key, () => readImage(msg));
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
      throw withTopic(stream, key, caught);
    }
  };
}

/** The same fault, told with the topic and the camera it came from. */
function withTopic({ topic }: RobotStream, key: string, caught: unknown): unknown {
  if (!(caught instanceof TendonError)) return caught;
  return new TendonError(caught.code, `${topic}, ${key}: ${caught.message}`, {
    ...caught.fields,
    topic,
    key,
  });
}

function named<T>(stream: RobotStream, key: string, read: () => T): T {
  try {
    return read();
  } catch (caught) {
    throw withTopic(stream, key, caught);
  }
}

/** Of many transforms in one message; a stream takes one of them out before it is read. */
export const TF_TYPE = 'tf2_msgs/TFMessage';

export const JOINT_TYPE = 'sensor_msgs/JointState';

/** Types whose messages have no place for a stamp: their arrival is all there is. */
export const WITHOUT_STAMP: ReadonlySet<string> = new Set([
  'std_msgs/Float64MultiArray',
  'std_msgs/Float32MultiArray',
  'geometry_msgs/Twist',
]);

/** How each message type is read; the key is the canonical type. */
export const READERS: Readonly<
  Record<string, (stream: RobotStream, file: RobotFile, frames: FrameTree) => Reader>
> = {
  [JOINT_TYPE]: (stream, file) => jointReader(stream, stream.joints ?? file.joint_names),
  'std_msgs/Float64MultiArray': (stream) =>
    arrayReader(stream, (msg) => readNumbers(msg.data, `${stream.topic}.data`)),
  'std_msgs/Float32MultiArray': (stream) =>
    arrayReader(stream, (msg) => readNumbers(msg.data, `${stream.topic}.data`)),
  'geometry_msgs/PoseStamped': (stream, _, frames) => poseStampedReader(stream, frames),
  'geometry_msgs/TransformStamped': (stream, _, frames) => transformReader(stream, frames),
  [TF_TYPE]: (stream, _, frames) => transformReader(stream, frames),
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
