// Every message type that robots observe or command by: a row each. What it holds in wire order, for cbor-raw, is its row
// in codec/schemas.ts; a new type is these two rows and its test.

import type { RobotFile, RobotStream } from '../../types/index.js';
import { IMAGE_TYPE } from '../codec/images.js';
import { float64MultiArray, readNumbers } from '../codec/messages.js';
import type { FrameTree } from './frame-tree.js';
import { jointReader } from './joint-reader.js';
import {
  odometryReader,
  poseStampedReader,
  transformReader,
  twistReader,
  wrenchReader,
} from './motion-readers.js';
import { arrayReader, type Reader, type SlowReader } from './reader-parts.js';
import { compressedReader, imageReader, namedReader } from './readers.js';
import {
  goalWriter,
  groupWriter,
  jogWriter,
  singleWriter,
  trajectoryWriter,
  twistStampedWriter,
  twistWriter,
  type Writer,
} from './writers.js';

export interface MessageType {
  /** Its messages have no place for a stamp: their arrival is all there is. */
  readonly unstamped?: true;
  /** Several drivers may publish on one topic, each a part. */
  readonly merged?: true;
  /** A message holds many transforms; a stream takes one of them out before it is read. */
  readonly among?: true;
  /** Messages → features. */
  readonly read?: (stream: RobotStream, file: RobotFile, frames: FrameTree) => Reader;
  /** The same, of what is decoded on another thread. */
  readonly readSlowly?: (stream: RobotStream) => SlowReader;
  /** Numbers of a command → messages. */
  readonly write?: Writer;
}

export const TF_TYPE = 'tf2_msgs/TFMessage';

const readArray = (stream: RobotStream): Reader =>
  arrayReader(stream, (msg) => readNumbers(msg.data, `${stream.topic}.data`));

/** By canonical type. */
export const MESSAGE_TYPES: Readonly<Record<string, MessageType>> = {
  'sensor_msgs/JointState': {
    merged: true,
    read: (stream, file) => jointReader(stream, stream.joints ?? file.joint_names),
  },
  'std_msgs/Float64MultiArray': {
    unstamped: true,
    read: readArray,
    write: () => (values) => float64MultiArray(values),
  },
  'std_msgs/Float32MultiArray': { unstamped: true, read: readArray },
  'geometry_msgs/PoseStamped': { read: (stream, _, frames) => poseStampedReader(stream, frames) },
  'geometry_msgs/TransformStamped': { read: (stream, _, frames) => transformReader(stream, frames) },
  [TF_TYPE]: { among: true, read: (stream, _, frames) => transformReader(stream, frames) },
  'geometry_msgs/Twist': {
    unstamped: true,
    read: (stream, file) => arrayReader(stream, twistReader(stream, file)),
    write: twistWriter,
  },
  'geometry_msgs/TwistStamped': {
    read: (stream, file) => {
      const read = twistReader(stream, file);
      return arrayReader(stream, (msg) => read(msg.twist));
    },
    write: twistStampedWriter,
  },
  'geometry_msgs/WrenchStamped': { read: (stream) => arrayReader(stream, wrenchReader(stream)) },
  'nav_msgs/Odometry': { read: odometryReader },
  'tendon_msgs/Observation': { read: namedReader },
  [IMAGE_TYPE]: { read: imageReader },
  'sensor_msgs/CompressedImage': { readSlowly: compressedReader },
  'trajectory_msgs/JointTrajectory': { write: trajectoryWriter },
  'control_msgs/FollowJointTrajectory': { write: goalWriter },
  'control_msgs/JointJog': { write: jogWriter },
  'interbotix_xs_msgs/JointGroupCommand': { write: groupWriter },
  'interbotix_xs_msgs/JointSingleCommand': { write: singleWriter },
};

/** The types that can do one of these, for people. */
export const typesWith = (...what: readonly ('read' | 'readSlowly' | 'write')[]): string =>
  Object.entries(MESSAGE_TYPES)
    .filter(([, row]) => what.some((one) => row[one] !== undefined))
    .map(([type]) => type)
    .join(', ');
