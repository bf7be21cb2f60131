// A whole command → the message of one topic: its joints, in the robot's units, as its type writes them.

import { type CommandPart, type RobotFile, TendonError } from '../../types/index.js';
import { canonicalType } from '../codec/protocol.js';
import type { RosTime } from '../codec/time.js';
import { MESSAGE_TYPES, typesWith } from './message-types.js';
import type { Units } from './units.js';
import type { Write } from './writers.js';

const ZERO: RosTime = { sec: 0, nanosec: 0 };

/** What `part` publishes for a whole command. Throws `unsupported` or `config_invalid` when it cannot. */
export function commandWriter(part: CommandPart, file: RobotFile, units: Units): Write {
  const make = MESSAGE_TYPES[canonicalType(part.type)]?.write;
  if (make === undefined)
    throw new TendonError(
      'unsupported',
      `${file.name}: commands of type ${part.type} cannot be written; choose from ${typesWith('write')}.`,
      { type: part.type },
    );
  const write = make(part, file);
  const order = part.joints.map((joint) => file.joint_names.indexOf(joint));
  const mine = new Float64Array(order.length);
  return (values, stamp) => {
    order.forEach((from, to) => {
      mine[to] = units.toRobot(from, values[from]!);
    });
    return write(mine, part.stamp === 'zero' ? ZERO : stamp);
  };
}
