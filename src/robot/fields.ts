// The small schemas that every part of a robot file is made of.

import * as z from 'zod';

export const name = z.string().min(1);
export const topic = z.string().regex(/^\/?[A-Za-z_~][\w/~]*$/, 'a ROS name such as /joint_states');
export const messageType = z
  .string()
  .regex(/^\w+\/((msg|srv|action)\/)?\w+$/, 'a type such as sensor_msgs/JointState');
export const positive = z.number().positive();
export const milliseconds = z.number().positive().max(600_000);
export const count = z.number().int().positive().max(65_536);

export const qos = z.strictObject({
  history: z.enum(['keep_last', 'keep_all']).optional(),
  depth: z.number().int().positive().optional(),
  reliability: z.enum(['reliable', 'best_effort']).optional(),
  durability: z.enum(['volatile', 'transient_local']).optional(),
});
