// config.json of LeRobot's diffusion policy (policies/diffusion/configuration_diffusion.py, v0.1 … v0.6.1). Defaults
// changed between releases, so a field that matters has none here: it must stand in the file.

import * as z from 'zod';
import { CountSchema, FeaturesSchema, NormalizationSchema } from '../fields.js';
import { RGB_ENCODER_FIELDS } from '../vision/rgb-encoder.js';

export const DiffusionConfig = z.lazy(() =>
  z.object({
    n_obs_steps: z.number().int().min(1).max(64),
    horizon: z.number().int().min(1).max(1024),
    n_action_steps: z.number().int().min(1),
    fps: z.number().positive().optional(),
    input_features: FeaturesSchema,
    output_features: FeaturesSchema,
    normalization_mapping: NormalizationSchema,
    ...RGB_ENCODER_FIELDS,
    /** Absent before 0.1: one encoder for all cameras. */
    use_separate_rgb_encoder_per_camera: z.boolean().default(false),
    down_dims: z.array(CountSchema).min(1).max(8),
    kernel_size: CountSchema,
    n_groups: CountSchema,
    diffusion_step_embed_dim: z.number().int().min(4),
    use_film_scale_modulation: z.boolean(),
    noise_scheduler_type: z.enum(['DDPM', 'DDIM']),
    num_train_timesteps: z.number().int().min(1).max(10_000),
    beta_schedule: z.string(),
    beta_start: z.number(),
    beta_end: z.number(),
    prediction_type: z.string(),
    clip_sample: z.boolean(),
    clip_sample_range: z.number().positive(),
    num_inference_steps: CountSchema.nullable(),
  }),
);
export type DiffusionConfig = z.infer<typeof DiffusionConfig>;
