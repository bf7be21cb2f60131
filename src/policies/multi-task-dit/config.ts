// config.json of LeRobot's multi_task_dit (policies/multi_task_dit/configuration_multi_task_dit.py, 7427f318): what matters at
// run time. What the CLIP encoders are lies in clip_config.json beside it, or follows from their name.

import * as z from 'zod';
import { CountSchema, FeaturesSchema, NormalizationSchema } from '../fields.js';

const count = CountSchema;
const size = z.tuple([count, count]).nullable();

export const MultiTaskDitConfig = z.lazy(() =>
  z.object({
    fps: z.number().positive().optional(),
    input_features: FeaturesSchema,
    output_features: FeaturesSchema,
    normalization_mapping: NormalizationSchema,
    n_obs_steps: count.max(64),
    horizon: count.max(1024),
    n_action_steps: count,
    objective: z.enum(['diffusion', 'flow_matching']),
    noise_scheduler_type: z.enum(['DDPM', 'DDIM']),
    num_train_timesteps: count.max(10_000),
    beta_schedule: z.string(),
    beta_start: z.number(),
    beta_end: z.number(),
    prediction_type: z.enum(['epsilon', 'sample']),
    clip_sample: z.boolean(),
    clip_sample_range: z.number().positive(),
    num_inference_steps: count.nullable(),
    num_integration_steps: count.max(1000),
    integration_method: z.enum(
      ['euler'],
      'expected "euler"; rk4 is not built: write "euler" to follow the same flow by Euler steps',
    ),
    hidden_dim: count,
    num_layers: count.max(256),
    num_heads: count,
    use_positional_encoding: z.boolean(),
    timestep_embed_dim: count.min(4).multipleOf(2),
    use_rope: z.boolean(),
    rope_base: z.number().positive(),
    vision_encoder_name: z.string(),
    use_separate_rgb_encoder_per_camera: z.boolean(),
    image_resize_shape: size,
    image_crop_shape: size,
    text_encoder_name: z.string(),
    tokenizer_max_length: count.min(2).max(4096),
    tokenizer_padding_side: z.enum(
      ['right'],
      'expected "right"; with padding on the left the peer reads the text at a padding token',
    ),
  }),
);
export type MultiTaskDitConfig = z.infer<typeof MultiTaskDitConfig>;
