// config.json of LeRobot's ACT (policies/act/configuration_act.py, v0.1 … v0.6.1); what matters at run time.

import * as z from 'zod';
import { CountSchema, FeaturesSchema, NormalizationSchema } from '../fields.js';

export const ActConfig = z.lazy(() =>
  z.object({
    n_obs_steps: z.literal(1),
    chunk_size: z.number().int().min(1).max(1024),
    n_action_steps: z.number().int().min(1),
    fps: z.number().positive().optional(),
    input_features: FeaturesSchema,
    output_features: FeaturesSchema,
    normalization_mapping: NormalizationSchema,
    pre_norm: z.boolean(),
    dim_model: CountSchema,
    n_heads: CountSchema,
    dim_feedforward: CountSchema,
    feedforward_activation: z.enum(['relu', 'gelu']),
    n_encoder_layers: z.number().int().min(1).max(64),
    n_decoder_layers: z.number().int().min(1).max(64),
    use_vae: z.boolean(),
    latent_dim: CountSchema,
    /** With cameras only. */
    vision_backbone: z.string().default('resnet18'),
    /** act-plus-plus: model.backbones.N of camera N, in the order of input_features; else one for all cameras. */
    backbone_per_camera: z.boolean().default(false),
    replace_final_stride_with_dilation: z.union([z.boolean(), z.literal(0), z.literal(1)]).default(false),
    temporal_ensemble_coeff: z.number().nullable(),
  }),
);
export type ActConfig = z.infer<typeof ActConfig>;
