// config.json of a BESO score transformer (beso/agents/diffusion_agents/k_diffusion/score_gpts.py, DiffusionGPT) in
// LeRobot's layout: its own fields, the features with their statistics, and how to sample.

import * as z from 'zod';
import { CountSchema, FeaturesSchema, NormalizationSchema } from '../fields.js';

export const BesoConfig = z.lazy(() =>
  z.object({
    type: z.literal('beso'),
    fps: z.number().positive().optional(),
    /** observation.state (STATE), and the goal (ENV) when goal_conditioned. */
    input_features: FeaturesSchema,
    output_features: FeaturesSchema,
    normalization_mapping: NormalizationSchema,
    goal_feature: z.string().nullable().default('observation.goal'),
    guidance_scale: z.number().default(1),
    /** The data's mean, std, min and max by feature, where no processor files have them. */
    stats: z
      .record(
        z.string(),
        z.partialRecord(z.enum(['mean', 'std', 'min', 'max']), z.array(z.number()).max(1 << 16)),
      )
      .optional(),
    /** Numbers of each goal that the network gets as 0, once they are scaled. */
    goal_masked: z.array(z.number().int().nonnegative()).max(1024).default([]),
    state_dim: CountSchema,
    action_dim: CountSchema,
    embed_dim: CountSchema,
    n_layers: z.number().int().min(1).max(64),
    n_heads: z.number().int().min(1).max(64),
    goal_conditioned: z.boolean(),
    goal_seq_len: z.number().int().min(0).max(64),
    obs_seq_len: z.number().int().min(1).max(64),
    linear_output: z.boolean(),
    sigma_data: z.number().positive(),
    sigma_min: z.number().positive(),
    sigma_max: z.number().positive(),
    rho: z.number().positive().default(7),
    /** What BESO's evaluation configs use where the file does not say. */
    sigma_schedule: z.string().default('exponential'),
    sampler: z.string().default('ddim'),
    num_inference_steps: CountSchema.default(3),
  }),
);
export type BesoConfig = z.infer<typeof BesoConfig>;
