// The `pi0` and `pi05` families: LeRobot's checkpoints of π0 and π0.5, and openpi's converted files under the same names without
// `model.`.

import * as z from 'zod';
import { TendonError } from '../../types/index.js';
import type { Checkpoint } from '../checkpoint.js';
import type { DenoiserFamily } from '../denoiser-family.js';
import { CountSchema, FeaturesSchema, NormalizationSchema } from '../fields.js';
import { vlaFamily } from './family.js';
import { type PiSizes, piGraph } from './pi-graph.js';
import { prefixNumbers } from './prefix.js';
import { statePrompt, TextEncoder, withNewline } from './text.js';

const fields = {
  chunk_size: CountSchema.default(50),
  n_action_steps: CountSchema.default(50),
  input_features: FeaturesSchema,
  output_features: FeaturesSchema,
  normalization_mapping: NormalizationSchema,
  max_state_dim: CountSchema.default(32),
  max_action_dim: CountSchema.default(32),
  num_inference_steps: CountSchema.default(10),
  image_resolution: z.tuple([CountSchema, CountSchema]).default([224, 224]),
  empty_cameras: z.number().int().min(0).max(64).default(0),
  min_period: z.number().positive().default(4e-3),
  max_period: z.number().positive().default(4),
  use_visual_memory: z.boolean().default(false),
  use_proprioceptive_memory: z.boolean().default(false),
  /** Of the tower, where its width does not say so (So400m: 16 heads of 72). */
  vision_heads: CountSchema.optional(),
  fps: z.number().positive().optional(),
};
export const Pi0Config = z.lazy(() =>
  z.object({ type: z.literal('pi0'), tokenizer_max_length: CountSchema.default(48), ...fields }),
);
export const Pi05Config = z.lazy(() =>
  z.object({ type: z.literal('pi05'), tokenizer_max_length: CountSchema.default(200), ...fields }),
);

export const openPi0 = (checkpoint: Checkpoint): DenoiserFamily =>
  openPi(checkpoint, checkpoint.parse(Pi0Config, 'pi0'));
export const openPi05 = (checkpoint: Checkpoint): DenoiserFamily =>
  openPi(checkpoint, checkpoint.parse(Pi05Config, 'pi05'));

function openPi(
  checkpoint: Checkpoint,
  config: z.infer<typeof Pi0Config> | z.infer<typeof Pi05Config>,
): DenoiserFamily {
  const { dir } = checkpoint;
  const { type } = config;
  const adaptive = type === 'pi05';
  if (config.use_visual_memory || config.use_proprioceptive_memory)
    throw new TendonError(
      'unsupported',
      `${dir}/config.json: use_visual_memory, use_proprioceptive_memory: policies with a memory of frames are not built; expected false`,
      { dir },
    );
  const tensors = checkpoint.tensors(type);
  const model = tensors.has('model.action_in_proj.weight') ? 'model.' : '';
  const paligemma = `${model}paligemma_with_expert.paligemma.`;
  const language = `${paligemma}model.language_model.`;
  const tower = `${paligemma}model.vision_tower.`;
  const vision = tensors.has(`${tower}vision_model.post_layernorm.weight`) ? `${tower}vision_model.` : tower;
  let layers = 0;
  while (tensors.has(`${language}layers.${layers}.input_layernorm.weight`)) layers++;
  const escaped = language.replaceAll('.', '\\.');
  tensors.ignore(
    new RegExp(
      `^${escaped}(norm\\.|layers\\.${layers - 1}\\.(self_attn\\.(q|o)_proj|post_attention_layernorm|mlp)\\.)`,
    ),
  );
  tensors.ignore(/gemma_expert\.lm_head\.|^(un)?normalize_(inputs|targets|outputs)\./);

  const shape = (name: string): readonly number[] => tensors.anyShape(name).shape;
  const [q, width] = shape(`${language}layers.0.self_attn.q_proj.weight`) as [number, number];
  // One head of keys and values.
  const head_dim = shape(`${language}layers.0.self_attn.k_proj.weight`)[0]!;
  const own = `${language}embed_tokens.weight`;
  // Where the file has both, fine-tuning has parted them: the embedding is the one that was trained.
  const table = tensors.anyShape(tensors.has(own) ? own : `${paligemma}lm_head.weight`);
  tensors.ignore(/paligemma\.lm_head\./);
  const expert_width = shape(`${model}action_in_proj.weight`)[0]!;
  const [tower_width, , patch] = shape(`${vision}embeddings.patch_embedding.weight`) as [
    number,
    number,
    number,
  ];
  const patches = shape(`${vision}embeddings.position_embedding.weight`)[0]!;
  const image = Math.round(Math.sqrt(patches)) * patch;
  if (config.image_resolution[0] !== image || config.image_resolution[1] !== image)
    throw new TendonError(
      'config_invalid',
      `${dir}/config.json: image_resolution: the tower takes ${image} × ${image}, got ${config.image_resolution.join(' × ')}`,
      { dir },
    );
  const text = TextEncoder.open(dir, checkpoint.options.tokenizer, 'google/paligemma-3b-pt-224', table, {
    length: config.tokenizer_max_length,
    scale: Math.sqrt(width),
    truncate: 'right',
  });
  const chunk = config.chunk_size;

  return vlaFamily(checkpoint, tensors, {
    family: type,
    config: { ...config, num_steps: config.num_inference_steps },
    never_delivered: /\.empty_camera_\d+$/,
    image,
    padding: 'centred',
    expert_width,
    graph(cameras, groups) {
      const sizes: PiSizes = {
        layout: { cameras, tokens_per_camera: patches, text: config.tokenizer_max_length, state: 0, chunk },
        style: {
          heads: q / head_dim,
          kv_heads: 1,
          head_dim,
          one_plus: true,
          eps: 1e-6,
          activation: 'gelu_tanh',
        },
        vision_heads: config.vision_heads ?? visionHeads(tower_width, head_dim),
        image,
        layers,
        width,
        expert_width,
        max_state_dim: config.max_state_dim,
        max_action_dim: config.max_action_dim,
        adaptive,
        model,
        vision,
      };
      return piGraph(tensors, sizes, groups);
    },
    prefix(cameras, task, state) {
      const { embeddings, count } = text.encode(adaptive ? statePrompt(task, state) : withNewline(task));
      const present = [
        ...cameras.flatMap((here) => new Array<boolean>(patches).fill(here)),
        ...Array.from({ length: config.tokenizer_max_length }, (_, i) => i < count),
      ];
      const numbers = prefixNumbers(present, head_dim, chunk + (adaptive ? 0 : 1), chunk, () => true);
      const { state_mask, ...rest } = numbers;
      return { text: embeddings, ...rest, ...(adaptive ? {} : { state_mask: state_mask! }) };
    },
    takes_state: !adaptive,
  });
}

/** So400m's 16 heads of 72; in others they are as wide as the language model's. */
const visionHeads = (width: number, head_dim: number): number => (width === 1152 ? 16 : width / head_dim);
