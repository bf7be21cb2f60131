// The numbers of a command → messages: one maker per message type, of which message-types.ts has the list.

import { type CommandPart, type RobotFile, TendonError } from '../../types/index.js';
import {
  AXES,
  axisOf,
  header,
  jointGroupCommand,
  jointJog,
  jointSingleCommand,
  jointTrajectory,
  twist,
  twistStamped,
} from '../codec/messages.js';
import type { Message } from '../codec/protocol.js';
import type { RosTime } from '../codec/time.js';

/** A message of the part's own values, in the robot's units and the order of its joints. */
export type Write = (values: Float64Array, stamp: RosTime) => Message;
/** Throws `config_invalid` for a part that its type cannot command. */
export type Writer = (part: CommandPart, file: RobotFile) => Write;

export const trajectoryWriter: Writer = ({ names, frame_id, reach_ms }, { rate_hz }) => {
  const after_ns = reach_ms === undefined ? 1e9 / rate_hz : reach_ms * 1e6;
  return (positions, stamp) => jointTrajectory(header(frame_id, stamp), names, [{ positions, after_ns }]);
};

/** What one command of a goal's trajectory would be; the goals themselves are sent by goal-sender.ts. */
export const goalWriter: Writer = (part, file) => {
  const write = trajectoryWriter({ ...part, reach_ms: undefined }, file);
  return (positions, stamp) => ({ trajectory: write(positions, stamp) });
};

export const twistWriter: Writer = (part) => {
  const axes = axesOf(part);
  return (values) => twist(spread(values, axes));
};

export const twistStampedWriter: Writer = (part) => {
  const axes = axesOf(part);
  return (values, stamp) => twistStamped(header(part.frame_id, stamp), spread(values, axes));
};

export const jogWriter: Writer =
  ({ names, frame_id }, { command }) =>
  (values, stamp) =>
    jointJog(header(frame_id, stamp), names, values, command.lifetime_ms * 1e6);

export const groupWriter: Writer =
  ({ group }) =>
  (values) =>
    jointGroupCommand(group, values);

export const singleWriter: Writer = (part) => {
  const [name, ...others] = part.names;
  if (name === undefined || others.length > 0)
    throw new TendonError(
      'config_invalid',
      `${part.topic}: ${part.type} commands one joint, the robot file gives it ${part.joints.join(', ')}.`,
      { topic: part.topic },
    );
  return ([value = Number.NaN]) => jointSingleCommand(name, value);
};

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
