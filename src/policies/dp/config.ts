// config.json of a diffusion_policy checkpoint, as `tendon import` writes it from the configuration inside (real-stanford/
// diffusion_policy 5ba07ac): its own field names, with the features spoken of as LeRobot does.

import * as z from 'zod';
import { VARIANCES } from '../../samplers/index.js';
import { CountSchema, FeaturesSchema } from '../fields.js';
import { VisualCoreConfig } from '../robomimic/encoder.js';

const count = CountSchema;
const size = z.tuple([count, count]);

export const UnetConfig = z.lazy(() =>
  z.object({
    kind: z.literal('unet'),
    down_dims: z.array(count).min(1).max(8),
    kernel_size: count,
    n_groups: count,
    diffusion_step_embed_dim: z.number().int().min(4),
    cond_predict_scale: z.boolean(),
  }),
);
export const TransformerConfig = z.lazy(() =>
  z.object({
    kind: z.literal('transformer'),
    n_layer: count.max(256),
    n_head: count,
    n_emb: count,
    causal_attn: z.boolean(),
    time_as_cond: z.boolean(),
    n_cond_layers: z.number().int().min(0).max(256),
    /** Positions of observations that its table has, of which the first n_obs_steps are used; n_obs_steps when absent. */
    cond_positions: count.optional(),
  }),
);
/** UMI's: tokens of every observation as memory. */
const ActionTransformerConfig = z.lazy(() =>
  z.object({
    kind: z.literal('action_transformer'),
    ...{ n_layer: count.max(256), n_head: count, n_emb: count },
  }),
);
/** MultiImageObsEncoder: a ResNet whose last map is averaged, after its own resizing, crop and ImageNet's statistics. */
const MultiImageConfig = z.lazy(() =>
  z.object({
    kind: z.literal('multi_image'),
    backbone: z.string(),
    group_norm: z.boolean(),
    shared: z.boolean(),
    /** Of all cameras, or of each by its key. */
    resize_shape: z
      .union([size, z.record(z.string(), size)])
      .nullable()
      .default(null),
    crop_shape: z.union([size, z.record(z.string(), size)]).nullable(),
    imagenet_norm: z.boolean(),
  }),
);
/** The hybrid policies': robomimic's encoder, its keys in the order of input_features. */
const HybridConfig = z.lazy(() => z.object({ kind: z.literal('robomimic'), visual: VisualCoreConfig }));
/** UMI's TimmObsEncoder; each key has as many observations as its horizon, all of a key side by side. */
const TimmConfig = z.lazy(() => {
  const shared = {
    kind: z.literal('timm'),
    /** Side of the crop by that of the frame, after which it is resized; null without a crop. */
    crop_ratio: z.number().positive().max(1).nullable(),
    /** Observations of each key, the newest last. */
    horizons: z.record(z.string(), count.max(64)),
  };
  const vit = z.object({
    ...{ width: count, depth: count.max(256), heads: count, patch: count.max(64), mlp: count },
    eps: z.number().positive(),
    activation: z.enum(['gelu', 'quick_gelu']),
    ...{ class_token: z.literal(true), pre_norm: z.boolean(), patch_bias: z.boolean() },
  });
  return z.discriminatedUnion('model', [
    /** all_tokens: not the class token alone (UMI's transformer). */
    z.object({ ...shared, model: z.literal('vit'), vit, all_tokens: z.boolean().default(false) }),
    z.object({
      ...shared,
      model: z.enum(['resnet18', 'resnet34']),
      group_norm: z.boolean(),
      downsample_ratio: z.union([z.literal(16), z.literal(32)]),
      /** `none`: every place of the map is a token. */
      aggregation: z.enum(['none', 'avg', 'max', 'soft_attention', 'spatial_embedding', 'attention_pool_2d']),
    }),
  ]);
});
/** Folders of the time before there was a choice name no kind. */
export const ObsEncoderConfig = z.lazy(() =>
  z.preprocess(
    (given) =>
      typeof given === 'object' && given !== null && !('kind' in given)
        ? { kind: 'multi_image', ...given }
        : given,
    z.union([MultiImageConfig, HybridConfig, TimmConfig]),
  ),
);
export type MultiImageConfig = z.infer<typeof MultiImageConfig>;
export type TimmConfig = z.infer<typeof TimmConfig>;

export const DpConfig = z.lazy(() =>
  z.object({
    type: z.literal('diffusion_policy'),
    fps: z.number().positive().optional(),
    n_obs_steps: count.max(64),
    horizon: count.max(1024),
    n_action_steps: count,
    /** Of the steps that were observed, the newest is the first that is executed; false: the one after it. */
    oa_step_convention: z.boolean().default(true),
    /** The first row that is executed, where neither of those is (UMI: 0, its actions begin now). */
    first_row: z.number().int().min(0).max(1023).optional(),
    input_features: FeaturesSchema,
    output_features: FeaturesSchema,
    /** The normaliser's name of a feature. */
    normalizer_keys: z.record(z.string(), z.string()),
    /** `inpainting`: the trajectory has the observations beside the actions, and those that were made are written in. */
    obs_as: z.enum(['global_cond', 'local_cond', 'cond', 'inpainting']),
    network: z.discriminatedUnion('kind', [UnetConfig, TransformerConfig, ActionTransformerConfig]),
    obs_encoder: ObsEncoderConfig.optional(),
    noise_scheduler_type: z.enum(['DDPM', 'DDIM']),
    num_train_timesteps: count.max(10_000),
    beta_schedule: z.string(),
    beta_start: z.number(),
    beta_end: z.number(),
    prediction_type: z.string(),
    /** Of DDPM: how much noise a step adds. */
    variance_type: z.enum(VARIANCES).default('fixed_small'),
    clip_sample: z.boolean(),
    clip_sample_range: z.number().positive().default(1),
    num_inference_steps: count,
  }),
);
export type DpConfig = z.infer<typeof DpConfig>;
