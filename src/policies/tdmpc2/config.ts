// What a TD-MPC2 run is configured with (config.yaml and what parse_cfg adds), as config.json beside the weights.

import * as z from 'zod';
import { CountSchema, PlannedSchema, ShapeSchema } from '../fields.js';

const positive = CountSchema;
/** Of an episode; nothing is as long as it. */
const steps = z.number().int().positive();

export const Tdmpc2Config = z.lazy(() =>
  z.object({
    type: z.literal('tdmpc2').optional(),
    fps: z.number().positive().optional(),
    /** Features by name → shape; `rgb` is (channels, height, width), channels being stacked frames of three. */
    obs_shape: z
      .record(z.string(), ShapeSchema.max(3))
      .refine((shapes) => Object.keys(shapes).length > 0, 'at least one observation'),
    action_dim: positive,
    episodic: z.boolean().default(false),
    mpc: z.boolean().default(true),
    iterations: PlannedSchema.default(6),
    num_samples: PlannedSchema.default(512),
    num_elites: PlannedSchema.default(64),
    num_pi_trajs: PlannedSchema.or(z.literal(0)).default(24),
    horizon: positive.max(64).default(3),
    min_std: z.number().positive().default(0.05),
    max_std: z.number().positive().default(2),
    temperature: z.number().positive().default(0.5),
    log_std_min: z.number().default(-10),
    log_std_max: z.number().default(2),
    num_bins: z.number().int().min(0).max(4096).default(101),
    vmin: z.number().default(-10),
    vmax: z.number().default(10),
    latent_dim: positive,
    simnorm_dim: positive.default(8),
    num_q: positive.default(5),
    task_dim: z.number().int().min(0).default(0),
    multitask: z.boolean().default(false),
    tasks: z.array(z.string()).min(1).default(['task']),
    /** Ours: which of them is done, by its place or its name. */
    task_id: z.union([z.number().int().min(0), z.string()]).default(0),
    episode_length: z.union([steps, z.array(steps)]).default(500),
    episode_lengths: z.array(steps).optional(),
    action_dims: z.array(positive).optional(),
    discount: z.union([z.number(), z.array(z.number())]).optional(),
    discount_denom: z.number().positive().default(5),
    discount_min: z.number().default(0.95),
    discount_max: z.number().default(0.995),
  }),
);
export type Tdmpc2Config = z.infer<typeof Tdmpc2Config>;

/** γ of a task: from its episodes' length where the file does not give it (TDMPC2._get_discount). */
export function discountOf(config: Tdmpc2Config, task: number): number {
  const { discount, episode_lengths, episode_length } = config;
  if (typeof discount === 'number') return discount;
  if (Array.isArray(discount) && discount[task] !== undefined) return discount[task];
  const lengths = episode_lengths ?? (Array.isArray(episode_length) ? episode_length : undefined);
  const length = lengths?.[task] ?? (typeof episode_length === 'number' ? episode_length : 500);
  const fraction = length / config.discount_denom;
  return Math.min(config.discount_max, Math.max(config.discount_min, (fraction - 1) / fraction));
}
