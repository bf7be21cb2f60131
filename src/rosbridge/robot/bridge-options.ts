// What a robot file asks of the client: its sockets, their threads, and how long a frame of each may be.

import { readUserText } from '../../base/files.js';
import { type CommandPart, type RobotFile, TendonError } from '../../types/index.js';
import type { Channel } from '../client/channels.js';
import type { ClientOptions } from '../client/options.js';
import { IMAGE_TYPE } from '../codec/images.js';
import { canonicalType } from '../codec/protocol.js';
import { isGoal } from './goal-sender.js';

/** What a frame of anything but pictures may be long, and one with stops, heartbeats or remarks on commands. */
const FRAME_BYTES = 1024 * 1024;
const SMALL_FRAME_BYTES = 64 * 1024;
/** A byte of a picture in JSON, where the server writes it as a list of numbers. */
const BYTES_IN_JSON = 4;

export function bridgeOptions(file: RobotFile): Omit<ClientOptions, 'now_ns'> {
  const { bridge, command, deadlines } = file;
  return {
    url: bridge.url,
    dialect: bridge.dialect,
    separate_connections: ownConnections(file),
    lifetime_ms: command.lifetime_ms,
    max_frame: frameLimits(file),
    socket_thread: threadsOf(file),
    connect_timeout_ms: deadlines.connect_ms,
    call_timeout_ms: deadlines.call_ms,
    ...(bridge.token === undefined ? {} : { token: bridge.token }),
    ...(bridge.tls === undefined ? {} : { tls: readTls(bridge.tls) }),
    ...(bridge.rosauth === undefined ? {} : { auth: bridge.rosauth }),
  };
}

/** Commands, and what may stop them, wait behind nothing else. */
function ownConnections({ bridge, stop, operator_heartbeat }: RobotFile): readonly Channel[] {
  const own: Channel[] = bridge.separate_connections ? ['images', 'services', 'commands'] : ['commands'];
  return stop === undefined && operator_heartbeat === undefined ? own : [...own, 'safety'];
}

/** The longest frame of each channel, in bytes: a longer one is something else's, and would hold everything up. */
function frameLimits({ observation }: RobotFile): NonNullable<ClientOptions['max_frame']> {
  const pictures = observation.flatMap(({ images }) => Object.values(images));
  const largest = Math.max(0, ...pictures.map(([height, width, channels]) => height * width * channels));
  return {
    data: FRAME_BYTES,
    images: FRAME_BYTES + largest * BYTES_IN_JSON,
    services: FRAME_BYTES,
    commands: SMALL_FRAME_BYTES,
    safety: SMALL_FRAME_BYTES,
  };
}

/** ROS 1's actions are topics, which rosbridge's action ops do not reach; ros2-web-bridge has no such ops at all. */
export function noActions({ name, command }: RobotFile, dialect: string): TendonError {
  const { type, topic } = command.parts.find(isGoal) as CommandPart;
  return new TendonError(
    'config_invalid',
    `${name}: ${type} is an action, and ${dialect} has none. Publish trajectory_msgs/JointTrajectory on the controller's command topic instead (of joint_trajectory_controller that is ${topic.replace(/\/follow_joint_trajectory$/, '')}/command in ROS 1, …/joint_trajectory in ROS 2).`,
    { robot: name, type, dialect },
  );
}

/** Which sockets get a thread: it costs a round trip half a millisecond, and pays where frames are long to read. */
function threadsOf({ bridge, observation }: RobotFile): boolean | 'images' {
  if (bridge.socket_thread !== 'auto') return bridge.socket_thread;
  const pictures = observation.some(({ type }) => canonicalType(type) === IMAGE_TYPE);
  return pictures && 'images';
}

function readTls(tls: NonNullable<RobotFile['bridge']['tls']>): NonNullable<ClientOptions['tls']> {
  const verify = tls.verify === undefined ? {} : { verify: tls.verify };
  if (tls.ca_file === undefined) return verify;
  const hint = 'bridge.tls.ca_file should be the PEM file of the certificate authority of the bridge.';
  return { ...verify, ca: readUserText(tls.ca_file, 'certificate', hint) };
}
