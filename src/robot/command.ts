// The `command` of a robot file: one topic for all joints, or parts that share them out (two arms, an arm and its
// gripper). Read by robot-file.ts, which asks here what is wrong with it and for the whole of it.

import * as z from 'zod';
import type { CommandPart, CommandQuantity, RobotFile } from '../types/index.js';
import { messageType, milliseconds, name, qos, topic } from './fields.js';
import type { Joints } from './joints.js';

export const commandSchema = z.lazy(() => {
  const part = z.strictObject({
    topic: topic.describe('Topic, or name of an action.'),
    type: messageType.describe('Message or action type.'),
    joints: z.array(name).min(1).optional().describe('Which joints it commands, in its order. Default: all.'),
    names: z
      .array(name)
      .min(1)
      .optional()
      .describe('What its messages call these joints (or axes). Default: as the robot file does.'),
    group: z.string().default('').describe('Of JointGroupCommand: the group that the driver knows.'),
    frame_id: z.string().default('').describe('Frame in the header of its messages.'),
    reach_ms: milliseconds
      .optional()
      .describe(
        'Of JointTrajectory: when the point is to be reached, after its stamp. Default: one control period.',
      ),
    interval_ms: milliseconds.default(100).describe('Of FollowJointTrajectory: how often a goal is sent.'),
    ahead_ms: milliseconds
      .default(400)
      .describe('Of FollowJointTrajectory: how far a goal reaches before it brakes.'),
    stamp: z
      .enum(['valid', 'zero'])
      .default('valid')
      .describe(
        'Stamped with the moment it is valid for, or with zero: ros2_control reads that as "from now on".',
      ),
    qos: qos.optional().describe('Quality of service, for bridges that take it.'),
  });
  return part
    .omit({ joints: true })
    .partial({ topic: true, type: true })
    .extend({
      quantity: z
        .enum(['position', 'velocity'])
        .optional()
        .describe('What the numbers are. Default: as the joints or the type say.'),
      lifetime_ms: milliseconds.default(100).describe('A command older than this is not sent.'),
      exclusive: z.boolean().default(true).describe('Another publisher on a command topic is refused.'),
      parts: z.array(part).min(1).optional().describe('Several topics that share the joints out.'),
    });
});
type Given = z.infer<typeof commandSchema>;

/** Types whose numbers are velocities; of all others `quantity` can say so. */
const quantityOf = (type: string): CommandQuantity =>
  /\/(Twist|TwistStamped|JointJog)$/.test(type) ? 'velocity' : 'position';

const goals = ({ type }: { type?: string | undefined }): boolean =>
  /\/FollowJointTrajectory$/.test(type ?? '');
/** Whether any part of it is an action's goal. */
export const sendsGoals = (command: Given): boolean => [command, ...(command.parts ?? [])].some(goals);

/** What the numbers of the command are: as it says itself, as its joints say, or as its type has it. */
export const quantityOfCommand = (command: Given, joints: Joints): CommandQuantity =>
  command.quantity ??
  joints.all('command').find((kind) => kind !== undefined) ??
  quantityOf((command.parts?.[0] ?? command).type ?? '');

/** The command in parts, each with its joints and their names; `checkCommand` found nothing wrong. */
export function wholeCommand(command: Given, joints: Joints): RobotFile['command'] {
  const { quantity: _, lifetime_ms, exclusive, parts: given, ...one } = command;
  const joint_names = joints.names;
  const parts = (given ?? [{ ...one, joints: joint_names }]).map((entry): CommandPart => {
    const joints = entry.joints ?? joint_names;
    return { ...entry, topic: entry.topic!, type: entry.type!, joints, names: entry.names ?? joints };
  });
  return { quantity: quantityOfCommand(command, joints), lifetime_ms, exclusive, parts };
}

/** Refuses joints that are commanded twice or not at all, and parts that do not say what they command. */
export function checkCommand(
  command: Given,
  whole: Joints,
  refuse: (path: (string | number)[], message: string) => void,
): void {
  const joint_names = whole.names;
  const { parts, topic, type } = command;
  if (parts === undefined) {
    if (topic === undefined) refuse(['command', 'topic'], 'a topic, or parts that have one each');
    if (type === undefined) refuse(['command', 'type'], 'a type such as std_msgs/Float64MultiArray');
  } else if (topic !== undefined || type !== undefined)
    refuse(['command', 'parts'], 'parts, or a topic and a type, not both');
  if (parts !== undefined && parts.length > 1 && parts.some(goals))
    refuse(['command', 'parts'], 'one part when trajectories are sent as goals');
  const times = new Map(joint_names.map((joint) => [joint, 0]));
  const entries = parts ?? [{ ...command, joints: joint_names }];
  entries.forEach((entry, index) => {
    const path = parts === undefined ? ['command'] : ['command', 'parts', index];
    const joints = entry.joints ?? joint_names;
    for (const joint of joints) {
      if (!times.has(joint)) refuse([...path, 'joints'], `joints of the robot, got ${joint}`);
      else times.set(joint, times.get(joint)! + 1);
    }
    if (entry.names !== undefined && entry.names.length !== joints.length)
      refuse([...path, 'names'], `one for each of its ${joints.length} joints, got ${entry.names.length}`);
  });
  for (const [joint, n] of times)
    if (n !== 1) refuse(['command'], `every joint commanded once, got ${joint} ${n} times`);
  checkInterfaces(command, whole, refuse);
  const quantities = new Set(entries.map((entry) => quantityOf(entry.type ?? '')));
  if (quantities.size > 1 && command.quantity === undefined && !whole.say('command'))
    refuse(['command', 'quantity'], 'position or velocity, since the types of the parts differ in it');
}

/** Refuses command interfaces of joints that differ from each other or from what the command says. */
function checkInterfaces(
  { quantity, parts, type }: Given,
  joints: Joints,
  refuse: (path: (string | number)[], message: string) => void,
): void {
  const spoken = [type, ...(parts ?? []).map((part) => part.type)].find(
    (one) => quantityOf(one ?? '') === 'velocity',
  );
  const kinds = joints.all('command');
  const first = quantity ?? kinds.find((kind) => kind !== undefined);
  kinds.forEach((kind, i) => {
    if (kind !== undefined && kind !== first)
      refuse(joints.path('command', i), `${first}, as for the rest of the command, got ${kind}`);
    else if (kind === 'position' && spoken !== undefined)
      refuse(joints.path('command', i), `velocity, which is what ${spoken} carries, got ${kind}`);
  });
}
