// The `smolvla` family: LeRobot's SmolVLA checkpoints. Architecture numbers of the language model are not in config.json; they
// follow from the tensors, the model's name, or a vlm_config.json beside it.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { readUserJson } from '../../base/json.js';
import { TendonError } from '../../types/index.js';
import type { Checkpoint } from '../checkpoint.js';
import type { DenoiserFamily } from '../denoiser-family.js';
import { CountSchema, FeaturesSchema, NormalizationSchema } from '../fields.js';
import type { Tensors } from '../tensors.js';
import { vlaFamily } from './family.js';
import { prefixNumbers } from './prefix.js';
import { type SmolvlaSizes, smolvlaGraph } from './smolvla-graph.js';
import { TextEncoder, withNewline } from './text.js';

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

const VlmConfig = z.lazy(() =>
  z.object({
    text_config: z.object({
      num_attention_heads: CountSchema,
      num_key_value_heads: CountSchema,
      head_dim: CountSchema.optional(),
    }),
    vision_config: z.object({ num_attention_heads: CountSchema }),
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
  if (config.adapt_to_pi_aloha)
    refuse(
      'adapt_to_pi_aloha',
      'what it does changed from LeRobot 0.3 to 0.4, and the file does not say which it was trained with; convert the joints in the robot file and set it to false',
    );
  if (config.add_image_special_tokens) refuse('add_image_special_tokens', 'is not built; expected false');
  const tensors = checkpoint.tensors('smolvla');
  tensors.ignore(
    /^model\.vlm_with_expert\.vlm\.(lm_head\.|model\.text_model\.norm\.)|^(un)?normalize_(inputs|targets|outputs)\./,
  );
  const layers = layersOf(tensors, config.num_vlm_layers);
  if (config.num_expert_layers > 0 && config.num_expert_layers !== layers)
    refuse('num_expert_layers', `expected one for each of ${layers} layers, got ${config.num_expert_layers}`);
  // Nothing reads what follows the last layer's keys and values, nor layers beyond those that are used.
  const last = `^model\\.vlm_with_expert\\.vlm\\.model\\.text_model\\.layers\\.`;
  tensors.ignore(
    new RegExp(`${last}${layers - 1}\\.(self_attn\\.(q|o)_proj|post_attention_layernorm|mlp)\\.`),
  );
  for (let i = layers; tensors.has(`${VLM}text_model.layers.${i}.input_layernorm.weight`); i++)
    tensors.ignore(new RegExp(`${last}${i}\\.`));

  const width = tensors.anyShape(`${VLM}text_model.embed_tokens.weight`).shape[1]!;
  const heads = headsOf(dir, tensors);
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
  const text = TextEncoder.open(dir, checkpoint.options.tokenizer, config.vlm_model_name, embedding, {
    length: config.tokenizer_max_length,
    scale: Math.sqrt(width),
    truncate: 'left',
  });

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
          text: config.tokenizer_max_length,
          state: 1,
          chunk: config.chunk_size,
        },
        style: { ...heads.text, one_plus: false, eps: 1e-5, activation: 'silu' },
        vision_heads: heads.vision,
        image: image!,
        shuffle,
        layers,
        joint_every,
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
        ...Array.from({ length: config.tokenizer_max_length }, (_, i) => i < count),
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
  });
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

function headsOf(dir: string, tensors: Tensors) {
  const layer = `${VLM}text_model.layers.0.self_attn.`;
  const [q, k] = ['q', 'k'].map((name) => tensors.anyShape(`${layer}${name}_proj.weight`).shape[0]!) as [
    number,
    number,
  ];
  const vision = tensors.anyShape(`${VLM}vision_model.embeddings.patch_embedding.bias`).shape[0]!;
  const path = join(dir, 'vlm_config.json');
  let heads = q / USUAL_HEAD;
  let kv_heads = k / USUAL_HEAD;
  let vision_heads = vision / USUAL_HEAD;
  if (existsSync(path)) {
    const found = VlmConfig.safeParse(readUserJson(path, 'config'));
    if (!found.success)
      throw new TendonError('config_invalid', `${path}: ${z.prettifyError(found.error)}`, { path });
    heads = found.data.text_config.num_attention_heads;
    kv_heads = found.data.text_config.num_key_value_heads;
    vision_heads = found.data.vision_config.num_attention_heads;
  }
  const head_dim = q / heads;
  if (![heads, kv_heads, vision_heads, head_dim].every(Number.isInteger) || k !== kv_heads * head_dim)
    throw new TendonError(
      'config_invalid',
      `${dir}: queries of ${q} and keys of ${k} numbers are not heads of ${head_dim}; put the config.json of vlm_model_name beside the checkpoint as vlm_config.json`,
      { dir },
    );
  return { text: { heads, kv_heads, head_dim }, vision: vision_heads };
}
