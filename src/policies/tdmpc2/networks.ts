// The networks of TD-MPC2 (common/layers.py, common/world_model.py): normed linear layers, latents in simplices, and
// scalars as distributions over bins of their symlog.

import type { GraphBuilder, TensorRef, Value } from '../../native/index.js';
import { isPositive, twoHotInverse as twoHot } from '../../networks/index.js';
import { TendonError } from '../../types/index.js';
import { ELEMENT_BYTES, readTensor } from '../../weights/index.js';
import type { Tensors } from '../tensors.js';
import { LATENT_ITSELF, type WorldNetworks } from '../world-model/graph.js';
import type { Tdmpc2Config } from './config.js';

/** Layer `index` of an MLP: weight and bias, and the layer norm's where it is a normed one. */
interface Layer {
  readonly weight: TensorRef;
  readonly bias: TensorRef;
  readonly ln?: { readonly weight: TensorRef; readonly bias: TensorRef };
}

type Activation = (g: GraphBuilder, x: Value) => Value;
const mish: Activation = (g, x) => g.unary('mish', x);

export function tdmpc2Networks(config: Tdmpc2Config, tensors: Tensors, task: number): WorldNetworks {
  const simnorm: Activation = (g, x) => {
    const n = x.shape.at(-1)!;
    const groups = g.reshape(x, [1, n / config.simnorm_dim, config.simnorm_dim]);
    return g.reshape(g.softmax(groups), [1, n]);
  };
  const embedding = config.multitask ? taskEmbedding(config, tensors, task) : undefined;
  const mask = taskMask(config, tensors, task);
  const withTask = (g: GraphBuilder, x: Value): Value =>
    embedding === undefined ? x : g.concat([x, g.constant(embedding, [1, embedding.length])], 1);
  const masked = (g: GraphBuilder, x: Value): Value =>
    mask === undefined ? x : g.mul(x, g.constant(mask, [1, mask.length]));

  function mlp(g: GraphBuilder, x: Value, layers: readonly Layer[], last: Activation | undefined): Value {
    let h = x;
    layers.forEach((layer, i) => {
      h = g.linear(h, g.weight(layer.weight), g.weight(layer.bias));
      if (layer.ln !== undefined) h = g.layerNorm(h, g.weight(layer.ln.weight), g.weight(layer.ln.bias));
      const activation = i + 1 < layers.length ? mish : last;
      if (activation !== undefined) h = activation(g, h);
    });
    return h;
  }
  const scalar = (g: GraphBuilder, logits: Value): Value => twoHotInverse(g, config, logits);
  const net = (name: string): readonly Layer[] => layersOf(tensors, name);
  // Planners draw every dim; the task's networks see zero where it has none.
  const joined = (g: GraphBuilder, z: Value, a: Value): Value => g.concat([withTask(g, z), masked(g, a)], 1);

  return {
    latent_dim: config.latent_dim,
    action_dim: config.action_dim,
    critics: config.num_q,
    tail_dim: config.latent_dim,
    ...LATENT_ITSELF,
    encode(g) {
      const latents = Object.keys(config.obs_shape)
        .sort()
        .map((key) => {
          if (key === 'rgb') return simnorm(g, pixels(g, config, tensors));
          const x = g.input(key, [1, config.obs_shape[key]![0]!], 'observation');
          return mlp(g, withTask(g, x), net(`_encoder.${key}`), simnorm);
        });
      const sum = latents.reduce((a, b) => g.add(a, b));
      return latents.length === 1 ? sum : g.affine(sum, 1 / latents.length, 0);
    },
    next: (g, z, a) => mlp(g, joined(g, z, a), net('_dynamics'), simnorm),
    reward: (g, z, a) => scalar(g, mlp(g, joined(g, z, a), net('_reward'), undefined)),
    value: (g, i, z, a) => scalar(g, mlp(g, joined(g, z, a), criticLayers(tensors, config, i), undefined)),
    prior(g, z, noise) {
      const [mean, spread] = g.halves(mlp(g, withTask(g, z), net('_pi'), undefined)) as [Value, Value];
      if (noise === undefined) return g.unary('tanh', masked(g, mean));
      const half = (config.log_std_max - config.log_std_min) / 2;
      const log_std = g.affine(g.unary('tanh', spread), half, config.log_std_min + half);
      const std = g.unary('exp', masked(g, log_std));
      return g.unary('tanh', g.add(masked(g, mean), g.mul(std, masked(g, noise))));
    },
    ...(config.episodic
      ? {
          // sigmoid(logit) > ½, as a number: the logit's sign.
          ended: (g: GraphBuilder, z: Value) => {
            const logit = mlp(g, withTask(g, z), net('_termination'), undefined);
            return isPositive(g, logit);
          },
        }
      : {}),
  };
}

/** rgb (1, height, width, channels) in [0, 255], already shifted. */
function pixels(g: GraphBuilder, config: Tdmpc2Config, tensors: Tensors): Value {
  const [channels, height, width] = config.obs_shape.rgb as [number, number, number];
  let x = g.affine(g.input('rgb', [1, height, width, channels], 'observation'), 1 / 255, -0.5);
  const strides = [2, 2, 2, 1];
  const names = [2, 4, 6, 8].map((i) => `_encoder.rgb.${i}`);
  names.forEach((name, i) => {
    const weight = tensors.anyShape(`${name}.weight`);
    const bias = tensors.ref(`${name}.bias`, [weight.shape[0]!]);
    x = g.conv2d(x, g.weight(weight), g.weight(bias), { stride: strides[i]!, pad: 0 });
    if (i + 1 < names.length) x = g.unary('relu', x);
  });
  const [, h, w, c] = x.shape as [number, number, number, number];
  // Flattened as torch does, channels first.
  return g.reshape(g.permute(x, [0, 3, 1, 2]), [1, c * h * w]);
}

/** Σ softmax(logits)·bins, then symexp (math.two_hot_inv). */
function twoHotInverse(g: GraphBuilder, config: Tdmpc2Config, logits: Value): Value {
  const { num_bins, vmin, vmax } = config;
  if (num_bins === 0) return logits;
  if (num_bins === 1) return g.unary('symexp', logits);
  return twoHot(g, logits, vmin, vmax);
}

function layersOf(tensors: Tensors, name: string): Layer[] {
  const layers: Layer[] = [];
  for (let i = 0; tensors.has(`${name}.${i}.weight`); i++) {
    const weight = tensors.anyShape(`${name}.${i}.weight`);
    const n = weight.shape[0]!;
    const ref = (part: string): TensorRef => tensors.ref(`${name}.${i}.${part}`, [n]);
    const normed = tensors.has(`${name}.${i}.ln.weight`);
    layers.push({
      weight,
      bias: ref('bias'),
      ...(normed ? { ln: { weight: ref('ln.weight'), bias: ref('ln.bias') } } : {}),
    });
  }
  if (layers.length === 0)
    throw new TendonError('weights_mismatch', `tdmpc2: there is no network ${name} in the checkpoint`, {
      name,
    });
  return layers;
}

/** Critic `i` of the stacked ensemble (num_q, …), named by layer, or counted through flat in older files. */
function criticLayers(tensors: Tensors, config: Tdmpc2Config, critic: number): Layer[] {
  const member = (name: string): TensorRef => {
    const ref = tensors.anyShape(name);
    if (ref.shape[0] !== config.num_q)
      throw new TendonError(
        'weights_mismatch',
        `tdmpc2: ${name} should stack num_q = ${config.num_q} critics, but has ${ref.shape[0]}`,
        { name },
      );
    const shape = ref.shape.slice(1);
    const bytes = shape.reduce((n, d) => n * d, ELEMENT_BYTES[ref.dtype]!);
    return { ...ref, name: `${name}[${critic}]`, shape, offset: ref.offset + critic * bytes };
  };
  const flat = tensors.has('_Qs.params.0');
  const layers: Layer[] = [];
  for (let i = 0; tensors.has(flat ? `_Qs.params.${4 * i}` : `_Qs.params.${i}.weight`); i++) {
    const part = (name: string, at: number): string =>
      flat ? `_Qs.params.${4 * i + at}` : `_Qs.params.${i}.${name}`;
    const normed = tensors.has(part('ln.weight', 2));
    layers.push({
      weight: member(part('weight', 0)),
      bias: member(part('bias', 1)),
      ...(normed ? { ln: { weight: member(part('ln.weight', 2)), bias: member(part('ln.bias', 3)) } } : {}),
    });
  }
  return layers;
}

/** The task's row of an embedding that torch keeps within the unit ball (max_norm 1). */
function taskEmbedding(config: Tdmpc2Config, tensors: Tensors, task: number): Float32Array {
  const all = readTensor(tensors.ref('_task_emb.weight', [config.tasks.length, config.task_dim]));
  const row = all.slice(task * config.task_dim, (task + 1) * config.task_dim);
  const norm = Math.hypot(...row);
  return norm > 1 ? row.map((v) => v / (norm + 1e-7)) : row;
}

/** 1 for each action dim that the task has, 0 for the rest; undefined when it has them all. */
export function taskMask(config: Tdmpc2Config, tensors: Tensors, task: number): Float32Array | undefined {
  if (!config.multitask) return undefined;
  const mask = savedMask(config, tensors, task);
  return mask.every((v) => v === 1) ? undefined : mask;
}

/** Checkpoints before 2025, the released ones among them, have no masks; their runs' action_dims say the same. */
function savedMask({ tasks, action_dim, action_dims }: Tdmpc2Config, tensors: Tensors, task: number) {
  if (tensors.has('_action_masks')) {
    const all = readTensor(tensors.ref('_action_masks', [tasks.length, action_dim]));
    return all.slice(task * action_dim, (task + 1) * action_dim);
  }
  const dims = action_dims?.[task];
  if (dims === undefined || dims > action_dim)
    throw new TendonError(
      'config_invalid',
      `tdmpc2: the checkpoint has no _action_masks, so action_dims must say how many of the ${action_dim} action dims each of the ${tasks.length} tasks has; got ${JSON.stringify(action_dims) ?? 'none'}`,
      { task },
    );
  return Float32Array.from({ length: action_dim }, (_, i) => (i < dims ? 1 : 0));
}
