// What a recording holds: one row per channel, from which come the topics, the JSON schemas that Foxglove reads and the
// check of what is read back. All times ending in _ns are the controller's monotonic clock.

import * as z from 'zod';
import { chunkMode, rotation, teleopShare, workspace } from '../robot/index.js';
import { ANSWERS, COMMAND_FATES, CONTROL_STATES, INTERPOLATIONS } from '../types/index.js';

/** JSON has no NaN, no infinity and loses the sign of −0; these are written as text, so that a replay sees them. */
const number = z.union([z.number(), z.enum(['NaN', 'Infinity', '-Infinity', '-0'])]);
const numbers = z.array(number);
const features = z.record(z.string(), numbers);
const count = z.number().int().min(0);

export const CHANNELS = {
  /** What reached the controller from outside; `kind` as in types/tap.ts, with that kind's own fields. */
  input: z.lazy(() => z.looseObject({ now_ns: z.number(), kind: z.string() })),
  /** What the robot was like, as the controller first saw it in a tick; `images` names the cameras' channels. */
  observation: z.lazy(() =>
    z.object({
      number: count,
      stamp_ns: z.number(),
      values: features,
      images: z.array(z.string()),
    }),
  ),
  /** One control period: `observation` is the number of the newest, −1 before the first. */
  tick: z.lazy(() => z.object({ now_ns: z.number(), late_ns: z.number(), observation: z.number().int() })),
  /** What the tick just before it made: (action_dim) in physical units. */
  command: z.lazy(() =>
    z.object({
      stamp_ns: z.number(),
      expires_ns: z.number(),
      fate: z.enum(COMMAND_FATES),
      values: numbers,
    }),
  ),
  /** An inference began: the stamps it looks at, oldest first, its goal, and the sampler's choice in force. */
  asked: z.lazy(() =>
    z.object({
      now_ns: z.number(),
      window_ns: z.array(z.number()),
      goal: features.optional(),
      /** Of a policy with parts: what was switched off, its conditions, and how many candidates were afforded. */
      setting: z
        .object({
          off: z.array(z.string()),
          values: z.record(z.string(), z.number()),
          candidates: count.optional(),
        })
        .optional(),
      choice: z
        .object({
          sampler: z.string(),
          steps: z.number(),
          candidates: z.number(),
          precision: z.string(),
          guidance_scale: z.number(),
        })
        .optional(),
    }),
  ),
  /** It ended. `actions` is (horizon, action_dim) and `candidates` (n_candidates, horizon, action_dim), row by row. */
  chunk: z.lazy(() =>
    z.object({
      now_ns: z.number(),
      answer: z.enum(ANSWERS),
      cause: z.string(),
      stamp_ns: z.number().optional(),
      period_ns: z.number().optional(),
      horizon: count.optional(),
      action_dim: count.optional(),
      n_candidates: count.optional(),
      chosen: count.optional(),
      actions: numbers.optional(),
      candidates: numbers.optional(),
      scores: numbers.optional(),
      /** What the parts said (types/steering.ts). A number that is not finite is null here. */
      steering: z
        .looseObject({
          ruled: z.boolean(),
          order: z.array(count),
          skipped: z.record(z.string(), z.string()),
          hold: z.string().optional(),
          ask_person: z.boolean().optional(),
        })
        .optional(),
      timing: z
        .object({
          queue_ns: z.number(),
          observe_ns: z.number(),
          denoise_ns: z.number(),
          total_ns: z.number(),
          calls: count.optional(),
        })
        .optional(),
    }),
  ),
  /** The supervisor's state changed; TELEOP is a person driving. */
  state: z.lazy(() =>
    z.object({
      now_ns: z.number(),
      from: z.enum(CONTROL_STATES),
      to: z.enum(CONTROL_STATES),
      cause: z.string(),
    }),
  ),
  /** Totals of the supervisor's interventions by name, when any has changed. */
  interventions: z.lazy(() => z.object({ now_ns: z.number(), counts: z.record(z.string(), count) })),
  /** A command of the real-time executor. */
  executed: z.lazy(() =>
    z.object({
      sequence: count,
      stamp_ns: z.number(),
      expires_ns: z.number(),
      phase: z.string(),
      values: numbers,
    }),
  ),
  /** A simulated episode ended. */
  episode: z.lazy(() =>
    z.object({
      now_ns: z.number(),
      seed: z.number(),
      success: z.boolean(),
      seconds: z.number(),
      mode: z.string(),
    }),
  ),
  /** The disk did not keep up: so many batches are missing here. */
  gap: z.lazy(() => z.object({ now_ns: z.number(), batches: count })),
} as const;

export type ChannelName = keyof typeof CHANNELS;
export type RecordedEvent = {
  [Name in ChannelName]: { readonly channel: Name; readonly body: z.infer<(typeof CHANNELS)[Name]> };
}[ChannelName];

export const topicOf = (name: ChannelName): string => `/${name}`;

/** Cameras have a channel each, with frames as Foxglove shows them. */
export const cameraTopic = (key: string): string => `/camera/${key}`;
export const cameraFrame = z.lazy(() =>
  z.object({
    timestamp: z.object({ sec: z.number().int(), nsec: z.number().int() }),
    frame_id: z.string(),
    width: count,
    height: count,
    encoding: z.enum(['rgb8', 'mono8']),
    step: count,
    /** base64 */
    data: z.string(),
  }),
);

/** What a session was, written first, under the name `tendon.session`. */
export const sessionHeader = z.lazy(() =>
  z.object({
    format: z.literal(1),
    started: z.string(),
    /** Wall-clock nanoseconds at the controller's 0, as text. */
    epoch_ns: z.string(),
    robot: z.string(),
    joint_names: z.array(z.string()),
    observation_dims: z.record(z.string(), count),
    action_dim: count,
    policy: z.object({
      dir: z.string(),
      family: z.string(),
      n_obs_steps: count,
      n_action_steps: count,
      horizon: count,
      rate_hz: z.number().positive().optional(),
      ensemble: z.number().optional(),
    }),
    /** As given to loadPolicy. */
    load: z.record(z.string(), z.unknown()),
    /** File of the manifest of parts, where it was not the folder's own; false: none. */
    parts: z.union([z.string(), z.literal(false)]).optional(),
    isa: z.string(),
    /** Of the policy's noise when the session began. */
    seed: z.number(),
    /** The controller's options, without its ports. */
    controller: z.object({
      rate_hz: z.number().positive(),
      position_key: z.string(),
      limits: z.object({
        lower: z.array(z.number()),
        upper: z.array(z.number()),
        velocity: z.array(z.number()),
        acceleration: z.array(z.number()).optional(),
        jerk: z.array(z.number()).optional(),
        step_from_measured: z.array(z.number()).optional(),
      }),
      freshness_ms: z.number(),
      inference_ms: z.number(),
      lifetime_ms: z.number(),
      execute: z.number().optional(),
      interpolation: z.enum(INTERPOLATIONS).optional(),
      rotations: z.array(rotation).optional(),
      workspace: workspace.optional(),
      chunks: chunkMode.optional(),
      teleop: teleopShare.optional(),
      operator_timeout_ms: z.number().optional(),
      resume_within_ms: z.number().optional(),
      stop_topic: z.boolean().optional(),
      quantity: z.enum(['position', 'velocity']).optional(),
    }),
  }),
);
export type SessionHeader = z.infer<typeof sessionHeader>;

/** What came of it, written last, under the name `tendon.summary`; missing where the recorder was killed. */
export const sessionSummary = z.lazy(() =>
  z.object({
    duration_s: z.number(),
    episodes: count,
    successes: count,
    takeovers: count,
    interventions: count,
  }),
);
export type SessionSummary = z.infer<typeof sessionSummary>;

/** As text where JSON would lose it. */
export function writeNumbers(values: ArrayLike<number>): z.infer<typeof numbers> {
  return Array.from(values, (v) =>
    Number.isFinite(v) && !Object.is(v, -0) ? v : Object.is(v, -0) ? '-0' : (String(v) as 'NaN'),
  );
}

export function readNumbers(values: z.infer<typeof numbers>): number[] {
  return values.map(Number);
}
