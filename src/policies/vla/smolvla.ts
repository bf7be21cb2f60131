// The `smolvla` family: LeRobot's SmolVLA checkpoints. Architecture numbers of the language model are not in config.json; they
// follow from the tensors, the model's name, or a vlm_config.json beside it.

import * as z from 'zod';
import { TendonError } from '../../types/index.js';
import type { Checkpoint } from '../checkpoint.js';
import type { DenoiserFamily } from '../denoiser-family.js';
import { CountSchema, FeaturesSchema, NormalizationSchema } from '../fields.js';
import type { Tensors } from '../tensors.js';
import { alohaMap } from './aloha.js';
import { type VlaParts, vlaFamily } from './family.js';
import { headsOf } from './heads.js';
import { smolvlaNames } from './names.js';
import { prefixNumbers } from './prefix.js';
import { type SmolvlaSizes, smolvlaGraph } from './smolvla-graph.js';
import { TextEncoder, withNewline } from './text.js';
import { tokenizerStep } from './tokenizer-files.js';

export const SmolvlaConfig = z.lazy(() =>
  z.object({
    type: z.literal('smolvla'),
    chunk_size: CountSchema.default(50),
    n_action_steps: CountSchema.default(50),
    input_features: FeaturesSchema,
    output_features: FeaturesSchema,
    normalization_mapping: NormalizationSchema,
    max_state_dim: CountSchema.default(32),
    max_action_dim: CountSchema.default(32),
    resize_imgs_with_padding: z.tuple([CountSchema, CountSchema]).nullable().default([512, 512]),
    empty_cameras: z.number().int().min(0).max(64).default(0),
    adapt_to_pi_aloha: z.boolean().default(false),
    use_delta_joint_actions_aloha: z.boolean().default(false),
    tokenizer_max_length: CountSchema.default(48),
    num_steps: CountSchema.default(10),
    vlm_model_name: z.string().default('HuggingFaceTB/SmolVLM2-500M-Video-Instruct'),
    add_image_special_tokens: z.boolean().default(false),
    attention_mode: z.string().default('cross_attn'),
    num_expert_layers: z.number().int().default(-1),
    num_vlm_layers: z.number().int().default(16),
    self_attn_every_n_layers: z.number().int().default(2),
    min_period: z.number().positive().default(4e-3),
    max_period: z.number().positive().default(4),
    fps: z.number().positive().optional(),
  }),
);

const VLM = 'model.vlm_with_expert.vlm.model.';

export function openSmolvla(checkpoint: Checkpoint): DenoiserFamily {
  const { dir } = checkpoint;
  const config = checkpoint.parse(SmolvlaConfig, 'smolvla');
  const refuse = (field: string, why: string): never => {
    throw new TendonError('unsupported', `${dir}/config.json: ${field}: ${why}`, { dir, field });
  };
  if (config.use_delta_joint_actions_aloha)
    refuse('use_delta_joint_actions_aloha', 'LeRobot has never run it; expected false');
  if (config.add_image_special_tokens) refuse('add_image_special_tokens', 'is not built; expected false');
  const tensors = checkpoint.tensors('smolvla', undefined, smolvlaNames);
  tensors.ignore(
    /^model\.vlm_with_expert\.vlm\.(lm_head\.|model\.text_model\.norm\.)|^(un)?normalize_(inputs|targets|outputs)\./,
  );
  const layers = layersOf(tensors, config.num_vlm_layers);
  // Nothing reads what follows the last layer's keys and values, nor layers beyond those that are used.
  const last = `^model\\.vlm_with_expert\\.vlm\\.model\\.text_model\\.layers\\.`;
  tensors.ignore(
    new RegExp(`${last}${layers - 1}\\.(self_attn\\.(q|o)_proj|post_attention_layernorm|mlp)\\.`),
  );
  for (let i = layers; tensors.has(`${VLM}text_model.layers.${i}.input_layernorm.weight`); i++)
    tensors.ignore(new RegExp(`${last}${i}\\.`));

  const width = tensors.anyShape(`${VLM}text_model.embed_tokens.weight`).shape[1]!;
  const heads = headCounts(checkpoint, tensors);
  const image = config.resize_imgs_with_padding?.[0];
  if (image === undefined || image !== config.resize_imgs_with_padding?.[1])
    refuse('resize_imgs_with_padding', 'expected the side of a square twice');
  const side = Math.round(
    Math.sqrt(tensors.anyShape(`${VLM}vision_model.embeddings.position_embedding.weight`).shape[0]!),
  );
  const vision = tensors.anyShape(`${VLM}vision_model.embeddings.patch_embedding.weight`).shape;
  const shuffle = Math.round(
    Math.sqrt(tensors.anyShape(`${VLM}connector.modality_projection.proj.weight`).shape[1]! / vision[0]!),
  );
  if (side * vision[2]! !== image)
    refuse('resize_imgs_with_padding', `the tower takes ${side * vision[2]!} pixels a side, got ${image}`);
  const expert_width = tensors.anyShape('model.action_in_proj.weight').shape[0]!;
  const joint_every =
    config.attention_mode === 'self_attn'
      ? 1
      : config.self_attn_every_n_layers > 0
        ? config.self_attn_every_n_layers
        : layers + 1;
  const embedding = tensors.anyShape(`${VLM}text_model.embed_tokens.weight`);
  const expert_every = expertEvery(dir, layers, config.num_expert_layers, joint_every);
  const text_length = tokenizerStep(dir).max_length ?? config.tokenizer_max_length;
  const text = TextEncoder.open(
    checkpoint.places,
    checkpoint.options.tokenizer,
    config.vlm_model_name,
    embedding,
    {
      length: text_length,
      scale: Math.sqrt(width),
      truncate: 'left',
    },
  );

  return vlaFamily(checkpoint, tensors, {
    family: 'smolvla',
    config: { ...config, num_steps: config.num_steps },
    never_delivered: /\.empty_camera_\d+$/,
    image: image!,
    padding: 'left_top',
    expert_width,
    graph(cameras, groups) {
      const sizes: SmolvlaSizes = {
        layout: {
          cameras,
          tokens_per_camera: (side / shuffle) ** 2,
          text: text_length,
          state: 1,
          chunk: config.chunk_size,
        },
        style: { ...heads.text, one_plus: false, eps: heads.eps ?? 1e-5, activation: 'silu' },
        vision_heads: heads.vision,
        image: image!,
        shuffle,
        layers,
        joint_every,
        expert_every,
        width,
        expert_width,
        max_state_dim: config.max_state_dim,
        max_action_dim: config.max_action_dim,
      };
      return smolvlaGraph(tensors, sizes, groups);
    },
    prefix(cameras, task) {
      const { embeddings, count } = text.encode(withNewline(task));
      const per_camera = (side / shuffle) ** 2;
      const present = [
        ...cameras.flatMap((here) => new Array<boolean>(per_camera).fill(here)),
        ...Array.from({ length: text_length }, (_, i) => i < count),
        true,
      ];
      const state = present.length - 1;
      const { head_dim } = heads.text;
      const numbers = prefixNumbers(
        present,
        head_dim,
        config.chunk_size,
        config.chunk_size,
        (i, j) => j < state || i === state,
      );
      // The state is a token of the prefix here, and none of the expert's.
      const { state_mask: _, ...rest } = numbers;
      return { text: embeddings, ...rest };
    },
    takes_state: true,
    ...(config.adapt_to_pi_aloha ? { body: alohaBody(checkpoint, tensors) } : {}),
  });
}

/**
 * Every how manieth layer has an expert's beside it. A joint layer needs one, and which expert layers are shaped for which was
 * settled by their own count (smolvlm_with_expert.py): where the two counts part, LeRobot's class does not run.
 */
function expertEvery(dir: string, layers: number, experts: number, joint_every: number): number {
  if (experts <= 0 || experts === layers) return 1;
  const every = layers / experts;
  const isJoint = (i: number): boolean => i % joint_every === 0;
  const runs =
    Number.isInteger(every) &&
    Array.from({ length: layers }, (_, i) => i).every((i) =>
      i % every === 0 ? isJoint(i) === isJoint(i / every) : !isJoint(i),
    );
  if (!runs)
    throw new TendonError(
      'unsupported',
      `${dir}/config.json: num_expert_layers: ${experts} on ${layers} layers of which every ${joint_every}. is joint is nothing that LeRobot runs; expected ${layers}, or a divisor with which every joint layer has an expert's`,
      { dir, field: 'num_expert_layers' },
    );
  return every;
}

/** Where ALOHA's joints are adapted: outside the normalisation up to LeRobot 0.3, inside since. */
function alohaBody({ dir, options }: Checkpoint, tensors: Tensors): NonNullable<VlaParts['body']> {
  const in_weights = tensors.names().some((name) => name.startsWith('normalize_inputs.'));
  const trained = options.trained_with ?? (in_weights ? '0.3' : undefined);
  if (trained === undefined)
    throw new TendonError(
      'config_invalid',
      `${dir}/config.json: adapt_to_pi_aloha: LeRobot 0.3 adapted the robot's own numbers, and since 0.4 those that are normalised; no file says which this was trained with: say trained_with 0.3 or 0.4 (--trained-with)`,
      { dir },
    );
  return (state, action) => ({ map: alohaMap('lerobot', state, action), raw: trained === '0.3' });
}

/** `wanted` as far as it is positive: else all that the file has. */
function layersOf(tensors: Tensors, wanted: number): number {
  let count = 0;
  while (tensors.has(`${VLM}text_model.layers.${count}.input_layernorm.weight`)) count++;
  if (wanted > count)
    throw new TendonError(
      'weights_mismatch',
      `smolvla: num_vlm_layers is ${wanted}, and the file has ${count} layers`,
    );
  return wanted > 0 ? wanted : count;
}

/** SmolVLM2-500M's heads are 64 wide, in the language model as in the tower. */
const USUAL_HEAD = 64;

function headCounts(checkpoint: Checkpoint, tensors: Tensors) {
  const layer = `${VLM}text_model.layers.0.self_attn.`;
  const [q, k] = ['q', 'k'].map((name) => tensors.anyShape(`${layer}${name}_proj.weight`).shape[0]!) as [
    number,
    number,
  ];
  const vision = tensors.anyShape(`${VLM}vision_model.embeddings.patch_embedding.bias`).shape[0]!;
  const text = { heads: q / USUAL_HEAD, kv_heads: k / USUAL_HEAD, head_dim: USUAL_HEAD };
  return headsOf(checkpoint.places, { q, k, vision }, { text, vision: vision / USUAL_HEAD, eps: undefined });
}
