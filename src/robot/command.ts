// The `command` of a robot file: one topic for all joints, or parts that share them out (two arms, an arm and its
// gripper). Read by robot-file.ts, which asks here what is wrong with it and for the whole of it.

import * as z from 'zod';
import type { CommandPart, CommandQuantity, RobotFile } from '../types/index.js';
import { messageType, milliseconds, name, qos, topic } from './fields.js';

export const commandSchema = z.lazy(() => {
  const part = z.strictObject({
    topic,
    type: messageType,
    joints: z.array(name).min(1).optional(),
    names: z.array(name).min(1).optional(),
    group: z.string().default(''),
    frame_id: z.string().default(''),
    reach_ms: milliseconds.optional(),
    interval_ms: milliseconds.default(100),
    ahead_ms: milliseconds.default(400),
    stamp: z.enum(['valid', 'zero']).default('valid'),
    qos: qos.optional(),
  });
  return part
    .omit({ joints: true })
    .partial({ topic: true, type: true })
    .extend({
      quantity: z.enum(['position', 'velocity']).optional(),
      lifetime_ms: milliseconds.default(100),
      parts: z.array(part).min(1).optional(),
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

/** The command in parts, each with its joints and their names; `checkCommand` found nothing wrong. */
export function wholeCommand(command: Given, joint_names: readonly string[]): RobotFile['command'] {
  const { quantity, lifetime_ms, parts: given, ...one } = command;
  const parts = (given ?? [{ ...one, joints: joint_names }]).map((entry): CommandPart => {
    const joints = entry.joints ?? joint_names;
    return { ...entry, topic: entry.topic!, type: entry.type!, joints, names: entry.names ?? joints };
  });
  return { quantity: quantity ?? quantityOf(parts[0]!.type), lifetime_ms, parts };
}

/** Refuses joints that are commanded twice or not at all, and parts that do not say what they command. */
export function checkCommand(
  command: Given,
  joint_names: readonly string[],
  refuse: (path: (string | number)[], message: string) => void,
): void {
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
      if (!times.has(joint)) refuse([...path, 'joints'], `names among joint_names, got ${joint}`);
      else times.set(joint, times.get(joint)! + 1);
    }
    if (entry.names !== undefined && entry.names.length !== joints.length)
      refuse([...path, 'names'], `one for each of its ${joints.length} joints, got ${entry.names.length}`);
  });
  for (const [joint, n] of times)
    if (n !== 1) refuse(['command'], `every joint commanded once, got ${joint} ${n} times`);
  const quantities = new Set(entries.map((entry) => quantityOf(entry.type ?? '')));
  if (quantities.size > 1 && command.quantity === undefined)
    refuse(['command', 'quantity'], 'position or velocity, since the types of the parts differ in it');
}
