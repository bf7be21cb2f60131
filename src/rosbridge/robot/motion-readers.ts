// Where something is and how it moves → features: PoseStamped, TransformStamped, Odometry, twists. A pose is told in the
// frame that its header names; where the robot file says in which frame the policy counts, it is told in that one instead.

import { type RobotFile, type RobotStream, TendonError } from '../../types/index.js';
import { AXES, axisOf } from '../codec/messages.js';
import type { Message } from '../codec/protocol.js';
import { compose, type FrameTree, frameName, readRigid } from './frame-tree.js';
import { arrayReader, axes, checked, NONE, type Reader } from './reader-parts.js';

/** The numbers of a twist that the topic's joints (or joint_names) name, in their order. */
export function twistReader(stream: RobotStream, file: RobotFile): (twist: unknown) => Float64Array {
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

/** A force-torque sensor's six numbers: force x y z in N, torque x y z in N m, in the sensor's frame. */
export const wrenchReader =
  ({ topic }: RobotStream) =>
  (msg: Message): Float64Array => {
    const { force, torque } = (msg.wrench ?? {}) as Message;
    return Float64Array.of(
      ...axes(force, ['x', 'y', 'z'], `${topic}.wrench.force`),
      ...axes(torque, ['x', 'y', 'z'], `${topic}.wrench.torque`),
    );
  };

/** x y z in m and a quaternion x y z w, in the frame of the robot file where it names one. */
type PoseReader = (msg: Message, place: unknown, orientation: unknown) => Float64Array;

function poseReader({ topic, frame }: RobotStream, frames: FrameTree): PoseReader {
  return (msg, place, orientation) => {
    if (frame === undefined)
      return Float64Array.of(
        ...axes(place, ['x', 'y', 'z'], `${topic}.pose.position`),
        ...axes(orientation, ['x', 'y', 'z', 'w'], `${topic}.pose.orientation`),
      );
    const told = frameName((msg.header as Message | undefined)?.frame_id);
    const pose = readRigid(place, orientation, `${topic}, in ${told}`);
    if (told === frame) return Float64Array.of(...pose.translation, ...pose.quaternion);
    try {
      const { translation, quaternion } = compose(frames.between(told, frame), pose);
      return Float64Array.of(...translation, ...quaternion);
    } catch (caught) {
      if (!(caught instanceof TendonError)) throw caught;
      throw new TendonError(caught.code, `${topic}: ${caught.message}`, { topic, ...caught.fields });
    }
  };
}

export function poseStampedReader(stream: RobotStream, frames: FrameTree): Reader {
  const read = poseReader(stream, frames);
  return arrayReader(stream, (msg) => {
    const { position, orientation } = (msg.pose ?? {}) as Message;
    return read(msg, position, orientation);
  });
}

/** The pose of child_frame_id. */
export function transformReader(stream: RobotStream, frames: FrameTree): Reader {
  const read = poseReader(stream, frames);
  return arrayReader(stream, (msg) => {
    const { translation, rotation } = (msg.transform ?? {}) as Message;
    return read(msg, translation, rotation);
  });
}

/** Of a tf2_msgs/TFMessage the transform of the stream's child; undefined where it says nothing of it. */
export function transformOf({ child }: RobotStream, { transforms }: Message): Message | undefined {
  if (!Array.isArray(transforms)) return undefined;
  return (transforms as Message[]).find((one) => frameName(one.child_frame_id) === child);
}

/** The length of x, y and yaw; a feature of any other length is the whole pose. */
const PLANAR = 3;

/**
 * nav_msgs/Odometry: `field: position` is the pose, whole (7) or planar (x y yaw), `velocity` the twist, which is told in
 * child_frame_id and stays so.
 */
export function odometryReader(stream: RobotStream, file: RobotFile, frames: FrameTree): Reader {
  const moving = Object.values(stream.features).some(({ field }) => field === 'velocity');
  const readTwist = moving ? twistReader(stream, file) : undefined;
  const readPose = poseReader(stream, frames);
  return (msg) => {
    const values: Record<string, Float32Array> = {};
    for (const [key, { length, field }] of Object.entries(stream.features)) {
      if (field === 'velocity')
        values[key] = checked(stream, key, readTwist!((msg.twist as Message | undefined)?.twist), length);
      else {
        const { position, orientation } = ((msg.pose as Message | undefined)?.pose ?? {}) as Message;
        const whole = readPose(msg, position, orientation);
        const [x = 0, y = 0, , qx = 0, qy = 0, qz = 0, qw = 0] = whole;
        const yaw = Math.atan2(2 * (qw * qz + qx * qy), 1 - 2 * (qy * qy + qz * qz));
        values[key] = checked(stream, key, length === PLANAR ? [x, y, yaw] : whole, length);
      }
    }
    return { values, images: NONE };
  };
}
