// config.json of the `edm` family: Tendon's own small policies (models/train), in LeRobot's layout.

import * as z from 'zod';
import { CountSchema, FeaturesSchema, NormalizationSchema } from '../fields.js';

export const EdmConfig = z.lazy(() =>
  z.object({
    type: z.literal('edm'),
    n_obs_steps: z.number().int().min(1).max(64),
    horizon: z.number().int().min(1).max(1024),
    n_action_steps: z.number().int().min(1),
    fps: z.number().positive().optional(),
    input_features: FeaturesSchema,
    output_features: FeaturesSchema,
    normalization_mapping: NormalizationSchema,
    /** The input that is zeroed, after normalisation, in the unconditional half of guidance. */
    goal_feature: z.string().nullable(),
    guidance_scale: z.number().default(1),
    hidden_dim: CountSchema,
    num_blocks: z.number().int().min(1).max(64),
    sigma_embed_dim: CountSchema,
    sigma_data: z.number().positive(),
    sigma_min: z.number().positive(),
    sigma_max: z.number().positive(),
    rho: z.number().positive(),
    sigma_schedule: z.string(),
    sampler: z.string(),
    num_inference_steps: CountSchema,
  }),
);
export type EdmConfig = z.infer<typeof EdmConfig>;
