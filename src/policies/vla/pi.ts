// The `pi0` and `pi05` families: LeRobot's checkpoints of π0 and π0.5 of every release.

import * as z from 'zod';
import { TendonError } from '../../types/index.js';
import type { Checkpoint } from '../checkpoint.js';
import type { DenoiserFamily } from '../denoiser-family.js';
import { CountSchema, FeaturesSchema, NormalizationSchema } from '../fields.js';
import type { Tensors } from '../tensors.js';
import { alohaMap } from './aloha.js';
import { type VlaParts, vlaFamily } from './family.js';
import { headsOf } from './heads.js';
import { piNames } from './names.js';
import { type PiSizes, piGraph } from './pi-graph.js';
import type { Padding } from './pictures.js';
import { prefixNumbers, timeEmbedding } from './prefix.js';
import { statePrompt, TextEncoder, withNewline } from './text.js';
import { tokenizerStep } from './tokenizer-files.js';

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
  adapt_to_pi_aloha: z.boolean().default(false),
  use_delta_joint_actions_aloha: z.boolean().default(false),
  fps: z.number().positive().optional(),
};
export const Pi0Config = z.lazy(() =>
  z.object({ type: z.literal('pi0'), tokenizer_max_length: CountSchema.default(48), ...fields }),
);
export const Pi05Config = z.lazy(() =>
  z.object({
    type: z.literal('pi05'),
    tokenizer_max_length: CountSchema.default(200),
    /** Rows that training gave the network of the chunk before, at most; 0: none. */
    rtc_training_max_delay: z.number().int().min(0).max(1024).default(0),
    ...fields,
  }),
);

type PiConfig = z.infer<typeof Pi0Config> | z.infer<typeof Pi05Config>;

export const openPi0 = (checkpoint: Checkpoint): DenoiserFamily => {
  const old = oldConfig(checkpoint.config);
  return openPi(checkpoint, checkpoint.parse(Pi0Config, 'pi0', old), old !== undefined);
};
export const openPi05 = (checkpoint: Checkpoint): DenoiserFamily =>
  openPi(checkpoint, checkpoint.parse(Pi05Config, 'pi05'), false);

/** π0's config of LeRobot ≤ 0.3.3 in today's fields, which denoised as many actions as it executed; undefined for later ones. */
function oldConfig(config: Record<string, unknown>): Record<string, unknown> | undefined {
  if (!('proj_width' in config) && !('num_steps' in config)) return undefined;
  const { num_steps, resize_imgs_with_padding, n_action_steps, ...rest } = config;
  return {
    ...rest,
    ...(n_action_steps === undefined ? {} : { n_action_steps, chunk_size: n_action_steps }),
    ...(num_steps === undefined ? {} : { num_inference_steps: num_steps }),
    ...(Array.isArray(resize_imgs_with_padding) ? { image_resolution: resize_imgs_with_padding } : {}),
  };
}

/** `old`: LeRobot ≤ 0.3.3, which padded pictures on the left and the top. */
function openPi(checkpoint: Checkpoint, config: PiConfig, old: boolean): DenoiserFamily {
  const { dir, options } = checkpoint;
  const adaptive = config.type === 'pi05';
  const refuse = (field: string, why: string): never => {
    throw new TendonError('unsupported', `${dir}/config.json: ${field}: ${why}`, { dir, field });
  };
  for (const field of ['use_visual_memory', 'use_proprioceptive_memory'] as const)
    if (config[field]) refuse(field, 'policies with a memory of frames are not built; expected false');
  if (config.use_delta_joint_actions_aloha)
    refuse('use_delta_joint_actions_aloha', 'LeRobot has never run it; expected false');
  const tensors = checkpoint.tensors(config.type, undefined, piNames(adaptive));
  const is04 = options.trained_with === '0.4';
  if (is04 && old)
    throw new TendonError('config_invalid', `trained_with: ${dir}/config.json is of LeRobot 0.3, got "0.4"`);
  if (is04) noteOldNumbers(dir, adaptive);
  const { max_state_dim } = config;
  return piFamily(checkpoint, tensors, {
    ...config,
    family: config.type,
    adaptive,
    padding: old ? 'left_top' : 'centred',
    num_steps: config.num_inference_steps,
    text_length: tokenizerStep(dir).max_length ?? config.tokenizer_max_length,
    // Before normalisation became a processor, and with it its own place.
    ...(config.adapt_to_pi_aloha
      ? { body: (state: number, action: number) => ({ map: alohaMap('lerobot', state, action), raw: true }) }
      : {}),
    ...(is04 ? { pad: -3 } : {}),
    ...('rtc_training_max_delay' in config && config.rtc_training_max_delay > 0
      ? { given_rows: config.rtc_training_max_delay }
      : {}),
    prompt(task, state) {
      if (!adaptive) return withNewline(task);
      return statePrompt(task, is04 ? padded(state, max_state_dim) : state);
    },
  });
}

function padded(state: Float32Array, length: number): Float32Array {
  const all = new Float32Array(length);
  all.set(state);
  return all;
}

function noteOldNumbers(dir: string, adaptive: boolean): void {
  process.emitWarning(
    `${dir}: pictures are padded with −3 instead of −1${adaptive ? ', and the prompt has numbers up to max_state_dim' : ''}, as LeRobot 0.4 trained (trained_with 0.4)`,
    'TendonWarning',
  );
}

/** What a π policy is beside its tensors, whoever wrote the folder. */
export interface PiSettings
  extends Pick<
    VlaParts,
    'padding' | 'pad' | 'body' | 'given_rows' | 'antialiased' | 'states' | 'processing'
  > {
  readonly family: string;
  readonly adaptive: boolean;
  readonly padding: Padding;
  readonly chunk_size: number;
  readonly n_action_steps: number;
  readonly max_state_dim: number;
  readonly max_action_dim: number;
  readonly num_steps: number;
  /** What the config says of the pictures' size, where it says it. */
  readonly image_resolution?: readonly [number, number];
  readonly input_features: PiConfig['input_features'];
  readonly output_features: PiConfig['output_features'];
  readonly normalization_mapping: PiConfig['normalization_mapping'];
  readonly min_period: number;
  readonly max_period: number;
  readonly fps?: number | undefined;
  /** Tokens that the text has room for. */
  readonly text_length: number;
  /** The text of a task and the normalised state. */
  prompt(task: string, state: Float32Array): string;
}

const ROOT = 'model.';
const PALIGEMMA = `${ROOT}paligemma_with_expert.paligemma.`;
const LANGUAGE = `${PALIGEMMA}model.language_model.`;
const VISION = `${PALIGEMMA}model.vision_tower.vision_model.`;

export function piFamily(checkpoint: Checkpoint, tensors: Tensors, settings: PiSettings): DenoiserFamily {
  const { dir, options } = checkpoint;
  const { adaptive, chunk_size: chunk, text_length } = settings;
  let layers = 0;
  while (tensors.has(`${LANGUAGE}layers.${layers}.input_layernorm.weight`)) layers++;
  ignoreUnread(tensors, layers, adaptive);

  const shape = (name: string): readonly number[] => tensors.anyShape(name).shape;
  const [q, width] = shape(`${LANGUAGE}layers.0.self_attn.q_proj.weight`) as [number, number];
  const k = shape(`${LANGUAGE}layers.0.self_attn.k_proj.weight`)[0]!;
  const own = `${LANGUAGE}embed_tokens.weight`;
  // Where the file has both, fine-tuning has parted them: the embedding is the one that was trained.
  const table = tensors.anyShape(tensors.has(own) ? own : `${PALIGEMMA}lm_head.weight`);
  const expert_width = shape(`${ROOT}action_in_proj.weight`)[0]!;
  const [tower_width, , patch] = shape(`${VISION}embeddings.patch_embedding.weight`) as [
    number,
    number,
    number,
  ];
  const patches = shape(`${VISION}embeddings.position_embedding.weight`)[0]!;
  const image = Math.round(Math.sqrt(patches)) * patch;
  if (settings.image_resolution?.some((side) => side !== image))
    throw new TendonError(
      'config_invalid',
      `${dir}/config.json: image_resolution: the tower takes ${image} × ${image}, got ${settings.image_resolution.join(' × ')}`,
      { dir },
    );
  const heads = headsOf(
    checkpoint.places,
    { q, k, vision: tower_width },
    // One head of keys and values.
    { text: { heads: q / k, kv_heads: 1, head_dim: k }, vision: towerHeads(tower_width, k), eps: undefined },
  );
  const { head_dim } = heads.text;
  const text = TextEncoder.open(checkpoint.places, options.tokenizer, 'google/paligemma-3b-pt-224', table, {
    length: text_length,
    scale: Math.sqrt(width),
    truncate: 'right',
  });

  return vlaFamily(checkpoint, tensors, {
    ...settings,
    config: settings,
    never_delivered: /\.empty_camera_\d+$/,
    image,
    expert_width,
    graph(cameras, groups) {
      const sizes: PiSizes = {
        layout: { cameras, tokens_per_camera: patches, text: text_length, state: 0, chunk },
        style: { ...heads.text, one_plus: true, eps: 1e-6, activation: 'gelu_tanh' },
        vision_heads: heads.vision,
        image,
        layers,
        width,
        expert_width,
        max_state_dim: settings.max_state_dim,
        max_action_dim: settings.max_action_dim,
        adaptive,
        ...(settings.given_rows === undefined
          ? {}
          : { clean_time: timeEmbedding(0, expert_width, settings.min_period, settings.max_period) }),
        model: ROOT,
        vision: VISION,
      };
      return piGraph(tensors, sizes, groups);
    },
    prefix(cameras, task, state) {
      const { embeddings, count } = text.encode(settings.prompt(task, state));
      const present = [
        ...cameras.flatMap((here) => new Array<boolean>(patches).fill(here)),
        ...Array.from({ length: text_length }, (_, i) => i < count),
      ];
      const numbers = prefixNumbers(present, head_dim, chunk + (adaptive ? 0 : 1), chunk, () => true);
      const { state_mask, ...rest } = numbers;
      return { text: embeddings, ...rest, ...(adaptive ? {} : { state_mask: state_mask! }) };
    },
    takes_state: !adaptive,
  });
}

/** Tensors that training has and a chunk does not read. */
function ignoreUnread(tensors: Tensors, layers: number, adaptive: boolean): void {
  const language = LANGUAGE.replaceAll('.', '\\.');
  tensors.ignore(
    new RegExp(
      `^${language}(norm\\.|layers\\.${layers - 1}\\.(self_attn\\.(q|o)_proj|post_attention_layernorm|mlp)\\.)`,
    ),
  );
  tensors.ignore(/\.lm_head\.|^(un)?normalize_(inputs|targets|outputs)\.|rotary_emb\.inv_freq$/);
  // A file of π0 that is fine-tuned as π0.5 keeps what only π0 had; LeRobot's loader passes over it.
  if (adaptive)
    tensors.ignore(/^model\.state_proj\.|gemma_expert\.model\.(layers\.\d+\.\w+_layernorm|norm)\.weight$/);
}

/** So400m's 16 heads of 72; others are as wide as the language model's, or as ViT's 64. */
const towerHeads = (width: number, head_dim: number): number =>
  width === 1152 ? 16 : width % head_dim === 0 ? width / head_dim : width / 64;
