// config.json of the `scalezero` family: LightZero's world_model_cfg of Sampled UniZero for several tasks, under its names,
// as far as it matters when acting; defaults are those of its ScaleZero on the DeepMind Control suite.

import * as z from 'zod';
import { CountSchema, FeaturesSchema, NormalizationSchema } from '../fields.js';
import { PLANNERS, TREE_SEARCH } from '../world-model/planners.js';

const positive = CountSchema;
const norm = z.enum(['LayerNorm', 'SimNorm']).default('LayerNorm');
/** Lowest, beyond highest, and step of a number's bins. */
const bin = z.number().int().min(-4096).max(4096);
const range = z
  .tuple([bin, bin, z.literal(1)])
  .refine(([low, high]) => low < high, 'a lowest bin below the highest')
  .default([-50, 51, 1]);

export const ScalezeroConfig = z.lazy(() =>
  z
    .object({
      type: z.literal('scalezero').optional(),
      fps: z.number().positive().optional(),
      input_features: FeaturesSchema,
      output_features: FeaturesSchema,
      normalization_mapping: NormalizationSchema.default({}),
      /** Which task's encoder, action embedding and heads. */
      task_id: z.number().int().min(0).default(0),
      share_head: z.boolean().default(false),
      num_layers: positive.default(4),
      num_heads: positive.default(24),
      embed_dim: positive.default(768),
      group_size: positive.default(8),
      max_tokens: positive,
      /** Observations that a prediction starts from, the newest among them. */
      infer_context_length: positive.default(2),
      final_norm_option_in_encoder: norm,
      final_norm_option_in_obs_head: norm,
      /** Experts are GELU networks (moe) or SwiGLU ones (multiplication_moe); neither: one network for all tokens. */
      moe_in_transformer: z.boolean().default(false),
      multiplication_moe_in_transformer: z.boolean().default(true),
      num_experts_of_moe_in_transformer: positive.default(8),
      num_experts_per_tok: positive.default(1),
      n_shared_experts: z.number().int().min(0).default(1),
      lora_r: z.number().int().min(0).default(0),
      lora_alpha: z.number().default(1),
      /** Adapters that are in use: those of the stages up to this one. */
      curriculum_stage: z.number().int().min(0).default(0),
      sigma_type: z.enum(['conditioned', 'fixed']).default('conditioned'),
      fixed_sigma_value: z.number().positive().default(0.5),
      bound_type: z.enum(['tanh']).nullable().default(null),
      reward_support_range: range,
      value_support_range: range,
      discount_factor: z.number().min(0).max(1).default(0.99),
      /** What the peers do otherwise and this family does not read. */
      task_embed_option: z.enum(['none']).nullable().default(null),
      rotary_emb: z.literal(false).default(false),
      gru_gating: z.literal(false).default(false),
      use_moe_head: z.literal(false).default(false),
      use_softmoe_head: z.literal(false).default(false),
      use_shared_projection: z.literal(false).default(false),
      planner: z.enum(PLANNERS).default(TREE_SEARCH),
      /** Steps that a search over sequences looks ahead; absent: as many as positions allow, at most 5. */
      horizon: positive.max(64).optional(),
    })
    .refine((c) => c.embed_dim % c.num_heads === 0 && c.embed_dim % c.group_size === 0, {
      path: ['embed_dim'],
      message: 'a multiple of num_heads and of group_size',
    })
    .refine((c) => c.num_experts_per_tok <= c.num_experts_of_moe_in_transformer, {
      path: ['num_experts_per_tok'],
      message: 'at most num_experts_of_moe_in_transformer',
    })
    .refine((c) => horizonOf(c) >= 1 && contextTokens(c) + 2 * horizonOf(c) <= c.max_tokens, {
      path: ['max_tokens'],
      message:
        'positions for the context (2·infer_context_length − 1) and two tokens for every step of the horizon',
    }),
);
export type ScalezeroConfig = z.infer<typeof ScalezeroConfig>;

/** Tokens of the context: observations with an action between each two. */
export const contextTokens = ({ infer_context_length }: { infer_context_length: number }): number =>
  2 * infer_context_length - 1;

export const horizonOf = (config: {
  horizon?: number | undefined;
  infer_context_length: number;
  max_tokens: number;
}): number => config.horizon ?? Math.min(5, Math.floor((config.max_tokens - contextTokens(config)) / 2));
