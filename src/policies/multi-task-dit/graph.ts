// LeRobot's multi-task diffusion transformer (modeling_multi_task_dit.py): what the robot sees and is told as one vector, and
// blocks of self-attention over the chunk whose norms it shifts, scales and gates (DiT, Peebles & Xie 2023).

import { GraphBuilder, type Value } from '../../native/index.js';
import { angles, headsOf, multiHead, type Rotation, rotate } from '../../networks/index.js';
import type { Tensors } from '../tensors.js';
import type { Camera } from '../vision/camera.js';
import { type ClipStyle, clipImage, clipText, towerPrefix } from '../vision/clip.js';
import type { MultiTaskDitConfig } from './config.js';

export interface DitInputs {
  readonly cameras: readonly Camera[];
  readonly state: number;
  readonly action: number;
  readonly vision: ClipStyle | undefined;
  readonly text: ClipStyle;
  /** Width of the text encoder. */
  readonly words: number;
}

export const STATE = 'observation.state';
export const ENCODER = 'observation_encoder.';
const TEXT = `${ENCODER}text_encoder.`;
const NOISE = 'noise_predictor.';
/** Of the blocks' norms, which have no weights. */
const EPS = 1e-6;

export const textPrefix = (tensors: Tensors): string =>
  towerPrefix(tensors, `${TEXT}text_encoder.`, 'text_model');

export const visionPrefix = (tensors: Tensors, separate: boolean, camera: number): string =>
  towerPrefix(
    tensors,
    separate ? `${ENCODER}vision_encoders.${camera}.model.` : `${ENCODER}vision_encoder.model.`,
    'vision_model',
  );

/** Input x (groups, horizon, action) is denoised; F is the network's word on it. */
export function ditGraph(
  config: MultiTaskDitConfig,
  inputs: DitInputs,
  tensors: Tensors,
  groups: number,
): GraphBuilder {
  const g = new GraphBuilder();
  const { hidden_dim: D, horizon, timestep_embed_dim: T } = config;
  const x = g.input('x', [groups, horizon, inputs.action], 'step');
  const wave = g.input('timestep_embedding', [1, T], 'schedule');
  const dense = (v: Value, name: string, out: number): Value => tensors.linear(g, v, NOISE + name, out);
  const time = g.unary('gelu', dense(g.unary('gelu', dense(wave, 'time_mlp.1', 2 * T)), 'time_mlp.3', T));
  const condition = g.unary('silu', g.concat([time, observed(g, config, inputs, tensors)]));
  let h = dense(x, 'input_proj', D);
  if (config.use_positional_encoding)
    h = g.add(h, tensors.weight(g, `${NOISE}pos_embedding`, [1, horizon, D]));
  const rotation = config.use_rope ? places(g, config) : undefined;
  for (let i = 0; i < config.num_layers; i++) {
    const block = `${NOISE}transformer_blocks.${i}.`;
    const numbers = tensors.linear(g, condition, `${block}adaLN_modulation.1`, 6 * D);
    const part = (index: number): Value => g.reshape(g.slice(numbers, 1, index * D, D), [1, 1, D]);
    const norm = (v: Value, shift: Value, scale: Value): Value =>
      g.add(g.mul(g.layerNorm(v, ...plain(g, D), EPS), g.affine(scale, 1, 1)), shift);
    const seen = attended(g, config, tensors, block, norm(h, part(0), part(1)), rotation);
    h = g.add(h, g.mul(seen, part(2)));
    const wide = tensors.linear(g, norm(h, part(3), part(4)), `${block}mlp.0`, 4 * D);
    h = g.add(h, g.mul(tensors.linear(g, g.unary('gelu_tanh', wide), `${block}mlp.2`, D), part(5)));
  }
  g.output('F', dense(h, 'output_proj', inputs.action));
  return g;
}

/** Weights of a norm that has none. */
const plain = (g: GraphBuilder, width: number): [weight: Value, bias: Value] => [
  g.constant(new Float32Array(width).fill(1), [width]),
  g.constant(new Float32Array(width), [width]),
];

function places(
  g: GraphBuilder,
  { horizon, hidden_dim, num_heads, rope_base }: MultiTaskDitConfig,
): Rotation {
  const d = hidden_dim / num_heads;
  const { cos, sin } = angles([...Array(horizon).keys()], d, rope_base);
  const shape = [1, horizon, 1, d / 2];
  return { cos: g.constant(cos, shape), sin: g.constant(sin, shape) };
}

function attended(
  g: GraphBuilder,
  { hidden_dim, num_heads: heads }: MultiTaskDitConfig,
  tensors: Tensors,
  block: string,
  x: Value,
  rotation: Rotation | undefined,
): Value {
  if (rotation === undefined) return multiHead(g, tensors, `${block}multihead_attn`, [x, x, x], { heads });
  const [q, k, v] = headsOf(g, tensors, `${block}attn.`, 'qkv_proj', x);
  const turned = [q, k].map((part) => rotate(g, part, heads, rotation)) as [Value, Value];
  return tensors.linear(g, g.attention(...turned, v, heads), `${block}attn.out_proj`, hidden_dim);
}

/** (1, n_obs_steps · (state, class token of each camera, text)); the text is the same in every row. */
function observed(
  g: GraphBuilder,
  config: MultiTaskDitConfig,
  { cameras, state, vision, text: style, words }: DitInputs,
  tensors: Tensors,
): Value {
  const { n_obs_steps: rows, hidden_dim, tokenizer_max_length: length } = config;
  const separate = config.use_separate_rgb_encoder_per_camera;
  const pieces = [
    g.input(STATE, [rows, state], 'observation'),
    ...cameras.map(({ key, input }, i) => {
      const frames = g.input(key, [rows, ...input], 'observation');
      return clipImage(g, tensors, visionPrefix(tensors, separate, i), vision!, frames);
    }),
  ];
  const text = clipText(
    g,
    tensors,
    textPrefix(tensors),
    style,
    g.input('text', [1, length, words], 'observation'),
    g.input('text_end', [1, length], 'observation'),
  );
  const told = tensors.linear(g, text, `${TEXT}projection`, hidden_dim);
  const copies = g.expand(g.reshape(told, [1, 1, hidden_dim]), [1, rows, hidden_dim]);
  const row = g.concat([...pieces, g.reshape(copies, [rows, hidden_dim])]);
  return g.reshape(row, [1, rows * row.shape[1]!]);
}
