// config.json of LeRobot's `tdmpc` (policies/tdmpc/configuration_tdmpc.py): the fields that matter when acting.

import * as z from 'zod';
import { CountSchema, FeaturesSchema, NormalizationSchema, PlannedSchema } from '../fields.js';

const positive = CountSchema;

export const TdmpcConfig = z.lazy(() =>
  z.object({
    type: z.literal('tdmpc').optional(),
    fps: z.number().positive().optional(),
    n_obs_steps: z.literal(1).default(1),
    input_features: FeaturesSchema,
    output_features: FeaturesSchema,
    normalization_mapping: NormalizationSchema,
    n_action_repeats: positive,
    horizon: positive.max(64),
    n_action_steps: positive,
    image_encoder_hidden_dim: positive,
    state_encoder_hidden_dim: positive,
    latent_dim: positive,
    q_ensemble_size: positive.min(2),
    mlp_dim: positive,
    discount: z.number().min(0).max(1),
    use_mpc: z.boolean(),
    cem_iterations: PlannedSchema,
    max_std: z.number().positive(),
    min_std: z.number().positive(),
    n_gaussian_samples: PlannedSchema,
    n_pi_samples: PlannedSchema.or(z.literal(0)),
    uncertainty_regularizer_coeff: z.number().min(0),
    n_elites: PlannedSchema,
    elite_weighting_temperature: z.number().positive(),
    gaussian_mean_momentum: z.number().min(0).max(1),
  }),
);
export type TdmpcConfig = z.infer<typeof TdmpcConfig>;
