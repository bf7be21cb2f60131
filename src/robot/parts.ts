// Parts of a robot file that others need too: how chunks are joined, and how a person takes part.

import * as z from 'zod';
import { LEADER_MODES, PREFIX_SCHEDULES } from '../types/index.js';
import { messageType, milliseconds, name, positive, topic } from './fields.js';

/** How chunks are joined; what docs/chunks.md explains. */
export const chunkMode = z.lazy(() =>
  z.discriminatedUnion('mode', [
    z.strictObject({ mode: z.literal('receding') }),
    z.strictObject({
      mode: z.literal('async'),
      aggregate: z
        .enum(['weighted_average', 'latest_only', 'average', 'conservative'])
        .default('weighted_average'),
    }),
    z.strictObject({ mode: z.literal('ensemble'), coeff: z.number().min(0).max(100).default(0.01) }),
    z.strictObject({
      mode: z.literal('rtc'),
      schedule: z.enum(PREFIX_SCHEDULES).default('zeros'),
      execution_horizon: z.number().int().min(1).optional(),
      derivative: z.boolean().default(true),
      trained: z.boolean().optional(),
      candidates: z.number().int().min(1).max(64).optional(),
    }),
    z.strictObject({
      mode: z.literal('bid'),
      candidates: z.number().int().min(2).max(256).default(16),
      decay: z.number().positive().max(1).default(0.5),
    }),
  ]),
);

const positiveShare = z.number().min(0).max(1);
/** How a person and the policy share the robot; docs/teleop.md. */
export const teleopShare = z.lazy(() =>
  z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('take_over') }),
    z.strictObject({ kind: z.literal('blend'), share: positiveShare }),
    z
      .strictObject({ kind: z.literal('confidence'), low: z.number().min(0), high: positive })
      .refine(({ low, high }) => low < high, 'low less than high'),
    z.strictObject({
      kind: z.literal('steer'),
      strength: positiveShare.default(1),
      rows: z.number().int().min(1).max(64).default(4),
    }),
  ]),
);

const axis = z
  .string()
  .regex(/^-?((linear|angular)\.[xyz]|axes\.\d+)$/, 'an axis such as linear.x or -axes.3');

/** `teleop` of a robot file. */
export const leader = z.lazy(() =>
  z
    .strictObject({
      topic,
      type: messageType,
      mode: z.enum(LEADER_MODES).default('absolute'),
      scale: z
        .union([z.number(), z.record(name, z.number()), z.array(z.number())])
        .default(1)
        .describe('Factor from the device to the robot: one for all, or by joint.'),
      deadband: z.number().min(0).default(0.05),
      axes: z
        .union([z.record(name, axis), z.array(z.nullable(axis))])
        .optional()
        .describe('By joint: the axis of a Twist or Joy that moves it. Joints that are not named stay.'),
      joints: z
        .record(name, name)
        .optional()
        .describe('Of a JointState: what the leader calls a joint, where it calls it otherwise.'),
      clutch: z
        .union([z.strictObject({ topic }), z.strictObject({ button: z.number().int().min(0).max(63) })])
        .optional(),
      timeout_ms: milliseconds.default(300),
      share: teleopShare.default({ kind: 'take_over' }),
    })
    .refine(
      ({ type, axes }) => axes !== undefined || !/(Twist|TwistStamped|Joy)$/.test(type),
      'axes: what moves each joint, for a Twist or a Joy',
    ),
);

/** An orientation among the commanded values. */
export const rotation = z.lazy(() =>
  z.strictObject({
    at: z.number().int().min(0),
    as: z.enum(['quaternion', 'rotation_vector']),
  }),
);

const corner = z.tuple([z.number(), z.number(), z.number()]);
/** `workspace` of a robot file: a box for a link of the URDF. */
export const workspaceBox = z.lazy(() =>
  z
    .strictObject({
      urdf: z.string().min(1).optional(),
      tip: z.string().min(1),
      lower: corner,
      upper: corner,
    })
    .refine(({ lower, upper }) => lower.every((v, i) => v < upper[i]!), 'lower below upper in x, y and z'),
);

/** The same with the chain that was read from the URDF. */
export const workspace = z.lazy(() =>
  z.object({
    lower: z.array(z.number()),
    upper: z.array(z.number()),
    chain: z.array(
      z.object({
        kind: z.enum(['fixed', 'revolute', 'prismatic']),
        origin: z.array(z.number()).length(12),
        axis: z.array(z.number()).length(3),
        joint: z.number().int().min(0),
        scale: z.number(),
        offset: z.number(),
      }),
    ),
  }),
);
