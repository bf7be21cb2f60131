// How the numbers of a command become a message: one row per message type, one writer per topic of the robot file.

import { type CommandPart, type RobotFile, TendonError } from '../../types/index.js';
import {
  AXES,
  axisOf,
  float64MultiArray,
  header,
  jointGroupCommand,
  jointJog,
  jointSingleCommand,
  jointTrajectory,
  twist,
  twistStamped,
} from '../codec/messages.js';
import { canonicalType, type Message } from '../codec/protocol.js';
import type { RosTime } from '../codec/time.js';
import { GOAL_TYPE } from './goal-sender.js';

type Write = (values: Float64Array, stamp: RosTime) => Message;

/** By canonical type, a writer of the part's own values (in the order of its joints). */
const COMMANDS: Readonly<Record<string, (part: CommandPart, file: RobotFile) => Write>> = {
  'std_msgs/Float64MultiArray': () => (values) => float64MultiArray(values),
  'trajectory_msgs/JointTrajectory': ({ names, frame_id, reach_ms }, { rate_hz }) => {
    const after_ns = reach_ms === undefined ? 1e9 / rate_hz : reach_ms * 1e6;
    return (positions, stamp) => jointTrajectory(header(frame_id, stamp), names, [{ positions, after_ns }]);
  },
  'geometry_msgs/Twist': (part) => {
    const axes = axesOf(part);
    return (values) => twist(spread(values, axes));
  },
  'geometry_msgs/TwistStamped': (part) => {
    const axes = axesOf(part);
    return (values, stamp) => twistStamped(header(part.frame_id, stamp), spread(values, axes));
  },
  // What one command of the trajectory would be; the goals themselves are sent by trajectory-goals.ts.
  [GOAL_TYPE]:
    ({ names, frame_id }, { rate_hz }) =>
    (positions, stamp) => ({
      trajectory: jointTrajectory(header(frame_id, stamp), names, [{ positions, after_ns: 1e9 / rate_hz }]),
    }),
  'control_msgs/JointJog':
    ({ names, frame_id }, { command }) =>
    (values, stamp) =>
      jointJog(header(frame_id, stamp), names, values, command.lifetime_ms * 1e6),
  'interbotix_xs_msgs/JointGroupCommand':
    ({ group }) =>
    (values) =>
      jointGroupCommand(group, values),
  'interbotix_xs_msgs/JointSingleCommand': (part) => {
    if (part.names.length !== 1)
      throw new TendonError(
        'config_invalid',
        `${part.topic}: ${part.type} commands one joint, the robot file gives it ${part.joints.join(', ')}.`,
        { topic: part.topic },
      );
    return ([value = Number.NaN]) => jointSingleCommand(part.names[0]!, value);
  },
};

const ZERO: RosTime = { sec: 0, nanosec: 0 };

/** What `part` publishes for a whole command. Throws `unsupported` or `config_invalid` when it cannot. */
export function commandWriter(part: CommandPart, file: RobotFile): Write {
  const make = COMMANDS[canonicalType(part.type)];
  if (make === undefined)
    throw new TendonError(
      'unsupported',
      `${file.name}: commands of type ${part.type} cannot be written; choose from ${Object.keys(COMMANDS).join(', ')}.`,
      { type: part.type },
    );
  const write = make(part, file);
  const order = part.joints.map((joint) => file.joint_names.indexOf(joint));
  const mine = new Float64Array(order.length);
  const scale = order.map((from) => file.units?.scale[from] ?? 1);
  const offset = order.map((from) => file.units?.offset[from] ?? 0);
  return (values, stamp) => {
    order.forEach((from, to) => {
      mine[to] = values[from]! * scale[to]! + offset[to]!;
    });
    return write(mine, part.stamp === 'zero' ? ZERO : stamp);
  };
}

/** Where each of the part's values stands in a twist. */
function axesOf(part: CommandPart): readonly number[] {
  return part.names.map((name) => {
    const axis = axisOf(name);
    if (axis >= 0) return axis;
    throw new TendonError(
      'config_invalid',
      `${part.topic}: ${name} is no axis of a ${part.type}; name the joints (or the part's names) ${AXES.join(', ')}.`,
      { topic: part.topic, name },
    );
  });
}

function spread(values: Float64Array, axes: readonly number[]): Float64Array {
  const six = new Float64Array(AXES.length);
  axes.forEach((axis, i) => {
    six[axis] = values[i]!;
  });
  return six;
}
