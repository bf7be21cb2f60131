// config.json of a robomimic policy (ARISE-Initiative/robomimic d309eae, algo/bc.py), as `tendon import` writes it from
// the configuration inside the .pth.

import * as z from 'zod';
import { CountSchema, FeaturesSchema } from '../fields.js';
import { VisualCoreConfig } from './encoder.js';

const count = CountSchema;
const Mlp = z.object({ kind: z.literal('mlp'), layer_dims: z.array(count).min(1).max(32) });
const Recurrent = z.object({
  kind: z.literal('rnn'),
  rnn_type: z.enum(['LSTM', 'GRU']),
  hidden_dim: count,
  num_layers: count.max(16),
  /** Of the network after it; none for most. */
  layer_dims: z.array(count).max(32),
  /** Steps after which the state begins anew. */
  horizon: count,
});
const Transformer = z.object({
  kind: z.literal('transformer'),
  embed_dim: count,
  num_layers: count.max(256),
  num_heads: count,
  activation: z.enum(['gelu', 'geglu']),
  embedding: z.enum(['learned', 'parameter', 'sinusoidal']),
  /** Whose output is executed: with pred_future_acs the first of the context is the present, else the last. */
  acts: z.enum(['first', 'last']),
});

const scale = z.number().positive();
const range = z.tuple([z.number(), z.number()]);
const Deterministic = z.object({ kind: z.literal('deterministic') });
const Gaussian = z.object({
  kind: z.literal('gaussian'),
  /** The mean alone, where low_noise_eval is true. */
  low_noise_eval: z.boolean(),
  fixed_std: z.boolean(),
  init_std: scale,
  std_activation: z.enum(['softplus', 'exp']).nullable(),
  mean_limits: range,
  std_limits: range,
  use_tanh: z.boolean(),
});
const Mixture = z.object({
  kind: z.literal('gmm'),
  num_modes: count.max(1024),
  low_noise_eval: z.boolean(),
  min_std: scale,
  std_activation: z.enum(['softplus', 'exp']),
});

export const RobomimicConfig = z.lazy(() =>
  z.object({
    type: z.literal('robomimic'),
    fps: z.number().positive().optional(),
    n_obs_steps: count.max(64),
    /** In the order of training. */
    input_features: FeaturesSchema,
    output_features: FeaturesSchema,
    /** The name that a feature has in the encoder and the normaliser. */
    names: z.record(z.string(), z.string()),
    /** With cameras only. */
    visual: VisualCoreConfig.nullable(),
    network: z.discriminatedUnion('kind', [Mlp, Recurrent, Transformer]),
    head: z.discriminatedUnion('kind', [Deterministic, Gaussian, Mixture]),
  }),
);
export type RobomimicConfig = z.infer<typeof RobomimicConfig>;
export type RecurrentConfig = z.infer<typeof Recurrent>;
export type TransformerConfig = z.infer<typeof Transformer>;
export type HeadConfig = RobomimicConfig['head'];
