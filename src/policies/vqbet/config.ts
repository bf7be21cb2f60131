// config.json of LeRobot's VQ-BeT (policies/vqbet/configuration_vqbet.py, v0.1 … v0.6.1); what matters at run time.

import * as z from 'zod';
import { CountSchema, FeaturesSchema, NormalizationSchema } from '../fields.js';
import { RGB_ENCODER_FIELDS } from '../vision/rgb-encoder.js';

const count = CountSchema;

export const VqbetConfig = z.lazy(() =>
  z.object({
    n_obs_steps: count.max(64),
    n_action_pred_token: count.max(64),
    action_chunk_size: count.max(1024),
    fps: z.number().positive().optional(),
    input_features: FeaturesSchema,
    output_features: FeaturesSchema,
    normalization_mapping: NormalizationSchema,
    ...RGB_ENCODER_FIELDS,
    vqvae_n_embed: count.max(65_536),
    vqvae_embedding_dim: count,
    vqvae_enc_hidden_dim: count,
    gpt_block_size: count,
    gpt_input_dim: count,
    gpt_output_dim: count,
    gpt_n_layer: count.max(256),
    gpt_n_head: count,
    gpt_hidden_dim: count,
    bet_softmax_temperature: z.number().positive(),
    sequentially_select: z.boolean(),
  }),
);
export type VqbetConfig = z.infer<typeof VqbetConfig>;
