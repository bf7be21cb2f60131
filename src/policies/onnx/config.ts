// config.json beside an exported denoiser: which input is what, how it was trained, and the features it sees.

import * as z from 'zod';
import { CountSchema, FeaturesSchema, NormalizationSchema } from '../fields.js';

const positive = CountSchema;

const Diffusers = z.lazy(() =>
  z.object({
    kind: z.literal('diffusers'),
    num_train_timesteps: positive.max(10_000),
    beta_schedule: z.string(),
    beta_start: z.number(),
    beta_end: z.number(),
    prediction_type: z.string(),
    clip_sample: z.boolean(),
    clip_sample_range: z.number().positive(),
  }),
);
const Edm = z.lazy(() =>
  z.object({
    kind: z.literal('edm'),
    sigma_data: z.number().positive(),
    sigma_min: z.number().positive(),
    sigma_max: z.number().positive(),
    sigma_schedule: z.string().default('karras'),
  }),
);
const Flow = z.lazy(() =>
  z.object({ kind: z.literal('flow'), time: z.enum(['noise_at_one', 'noise_at_zero']) }),
);

export const OnnxConfig = z.lazy(() =>
  z.object({
    type: z.literal('onnx'),
    fps: z.number().positive().optional(),
    /** The file, in the same folder. */
    model: z
      .string()
      .regex(/^[\w.-]+\.onnx$/, 'the name of an .onnx file in this folder')
      .default('model.onnx'),
    /** Names of its inputs: the noisy chunk (batch, horizon, action_dim), the noise level, the condition vector. */
    sample: z.string(),
    level: z.string().optional(),
    condition: z.string().optional(),
    /** Sizes of dims that the file leaves open, the batch's apart, by input name, in order. */
    sizes: z.record(z.string(), z.array(positive).max(8)).default({}),
    n_obs_steps: positive.max(64).default(1),
    n_action_steps: positive,
    /** Rows of the chunk before the first that is executed; n_obs_steps − 1 as in diffusion_policy when absent. */
    first_row: z.number().int().min(0).optional(),
    input_features: FeaturesSchema,
    output_features: FeaturesSchema,
    normalization_mapping: NormalizationSchema,
    training: z.discriminatedUnion('kind', [Diffusers, Edm, Flow]),
    sampler: z.string().optional(),
    num_inference_steps: positive.default(10),
  }),
);
export type OnnxConfig = z.infer<typeof OnnxConfig>;
