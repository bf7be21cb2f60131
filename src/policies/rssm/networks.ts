// The recurrent state-space model of DreamerV3 (Hafner et al. 2023): a GRU whose parts are normed carries h, categorical or
// Gaussian latents s are drawn from it, and heads read [s, h]. Tensors named as dreamerv3-torch saves them.

import type { GraphBuilder, Value } from '../../native/index.js';
import { clamp, isPositive, largest, symlog, twoHotInverse, uniformOf } from '../../networks/index.js';
import type { Tensors } from '../tensors.js';
import { LATENT_ITSELF, type WorldNetworks } from '../world-model/graph.js';
import type { RssmConfig } from './config.js';

const EPS = 1e-3;
/** Bins of the reward's and the value's distributions (tools.DiscDist). */
const BINS = 255;
const REACH = 20;

export interface RssmInputs {
  /** Numbers of the low-dimensional features, side by side; 0 without. */
  readonly state_dim: number;
  readonly cameras: readonly {
    readonly key: string;
    readonly input: readonly [number, number, number];
  }[];
  readonly action_dim: number;
}

/** Normal draws that one latent takes. */
export const drawsOf = (config: RssmConfig): number => config.dyn_stoch;

export const latentDim = ({ dyn_stoch, dyn_discrete, dyn_deter }: RssmConfig): number =>
  dyn_stoch * Math.max(1, dyn_discrete) + dyn_deter;

export function rssmNetworks(config: RssmConfig, tensors: Tensors, inputs: RssmInputs): WorldNetworks {
  const { dyn_hidden, dyn_deter, dyn_stoch, dyn_discrete, unimix_ratio } = config;
  const { state_dim, cameras, action_dim } = inputs;
  const flat = dyn_stoch * Math.max(1, dyn_discrete);
  // torch.compile puts its own name into every key.
  const within = (module: string): string =>
    tensors.names().some((name) => name.startsWith(`${module}._orig_mod.`))
      ? `${module}._orig_mod.`
      : `${module}.`;
  const wm = within('_wm');
  const behavior = within('_task_behavior');
  const dynamics = `${wm}dynamics.`;

  /** Linear without bias, norm and SiLU. */
  function layer(g: GraphBuilder, x: Value, linear: string, norm: string, out: number): Value {
    const h = tensors.layerNorm(g, tensors.linear(g, x, linear, out, false), norm, EPS);
    return g.unary('silu', h);
  }
  function mlp(
    g: GraphBuilder,
    x: Value,
    module: string,
    name: string,
    layers: number,
    units: number,
  ): Value {
    let h = x;
    for (let i = 0; i < layers; i++)
      h = layer(g, h, `${module}.layers.${name}_linear${i}`, `${module}.layers.${name}_norm${i}`, units);
    return h;
  }
  function head(g: GraphBuilder, z: Value, module: string, name: string, layers: number, out: number): Value {
    return tensors.linear(g, mlp(g, z, module, name, layers, config.units), `${module}.mean_layer`, out);
  }

  /** h' of DreamerV3's cell: one normed product, update gate biased towards keeping. */
  function gru(g: GraphBuilder, x: Value, h: Value): Value {
    const name = `${dynamics}_cell.layers.GRU_`;
    const product = tensors.linear(g, g.concat([x, h], 1), `${name}linear`, 3 * dyn_deter, false);
    const parts = tensors.layerNorm(g, product, `${name}norm`, EPS);
    const part = (i: number): Value => g.slice(parts, 1, i * dyn_deter, dyn_deter);
    const candidate = g.unary('tanh', g.mul(g.unary('sigmoid', part(0)), part(1)));
    const update = g.unary('sigmoid', g.affine(part(2), 1, -1));
    return g.add(g.mul(update, candidate), g.mul(g.affine(update, -1, 1), h));
  }

  /** What the prior (`img`, of h) or the posterior (`obs`, of h and what is seen) says of s. */
  function statistics(g: GraphBuilder, x: Value, side: 'img' | 'obs'): Value {
    const out = `${dynamics}_${side}_out_layers`;
    const h = layer(g, x, `${out}.0`, `${out}.1`, dyn_hidden);
    const width = dyn_discrete > 0 ? flat : 2 * dyn_stoch;
    return tensors.linear(g, h, `${dynamics}_${side === 'img' ? 'imgs' : 'obs'}_stat_layer`, width);
  }

  /** s with `noise` (rows, draws); its most likely value without. */
  function draw(g: GraphBuilder, said: Value, noise: Value | undefined): Value {
    if (dyn_discrete === 0) return gaussian(g, config, said, noise);
    const logits = g.reshape(said, [1, dyn_stoch, dyn_discrete]);
    if (noise === undefined) return g.reshape(largest(g, logits), [1, flat]);
    const mixed = g.affine(g.softmax(logits), 1 - unimix_ratio, unimix_ratio / dyn_discrete);
    const uniform = uniformOf(g, g.reshape(noise, [1, dyn_stoch, 1]));
    return g.reshape(categorical(g, mixed, uniform), [1, flat]);
  }

  function step(g: GraphBuilder, z: Value, a: Value): Value {
    const s = g.slice(z, 1, 0, flat);
    const h = g.slice(z, 1, flat, dyn_deter);
    const name = `${dynamics}_img_in_layers`;
    return gru(g, layer(g, g.concat([s, a], 1), `${name}.0`, `${name}.1`, dyn_hidden), h);
  }

  /** What an episode begins with. */
  function initial(g: GraphBuilder): Value {
    if (config.initial === 'zeros')
      return g.constant(new Float32Array(latentDim(config)), [1, latentDim(config)]);
    const h = g.unary('tanh', tensors.weight(g, `${dynamics}W`, [1, dyn_deter]));
    return g.concat([draw(g, statistics(g, h, 'img'), undefined), h], 1);
  }

  function embed(g: GraphBuilder): Value {
    const { mlp_layers, mlp_units, symlog_inputs } = config.encoder;
    const seen: Value[] = [];
    if (cameras.length > 0) {
      const frames = cameras.map(({ key, input }) => g.input(key, [1, ...input], 'observation'));
      seen.push(pixels(g, tensors, config, `${wm}encoder._cnn.layers`, g.concat(frames, 3)));
    }
    if (state_dim > 0) {
      const x = g.input('observation', [1, state_dim], 'observation');
      seen.push(
        mlp(g, symlog_inputs ? symlog(g, x) : x, `${wm}encoder._mlp`, 'Encoder', mlp_layers, mlp_units),
      );
    }
    return g.concat(seen, 1);
  }

  const number = (g: GraphBuilder, z: Value, module: string, name: string, layers: number): Value =>
    twoHotInverse(g, head(g, z, module, name, layers, BINS), -REACH, REACH);

  return {
    ...LATENT_ITSELF,
    latent_dim: latentDim(config),
    tail_dim: latentDim(config),
    action_dim,
    critics: 1,
    draws: drawsOf(config),
    /** The posterior, from the latent and action before: `first` is 1 where there are none. */
    encode(g) {
      const first = g.input('first', [1, 1], 'observation');
      const going = g.affine(first, -1, 1);
      const before = g.input('previous', [1, latentDim(config)], 'observation');
      const action = g.input('previous_action', [1, action_dim], 'observation');
      const noise = g.input('posterior_noise', [1, drawsOf(config)], 'observation');
      const z = g.add(g.mul(before, going), g.mul(initial(g), first));
      const h = step(g, z, g.mul(action, going));
      const said = statistics(g, g.concat([h, embed(g)], 1), 'obs');
      return g.concat([draw(g, said, noise), h], 1);
    },
    next(g, z, a, noise) {
      const h = step(g, z, a);
      return g.concat([draw(g, statistics(g, h, 'img'), noise), h], 1);
    },
    // Dreamer's reward is of the state that has been reached.
    reward: (g, _z, _a, after) => number(g, after, `${wm}heads.reward`, 'Reward', config.reward_head.layers),
    value: (g, _critic, z) => number(g, z, `${behavior}value`, 'Value', config.critic.layers),
    ended: (g, z) =>
      g.affine(g.unary('sigmoid', head(g, z, `${wm}heads.cont`, 'Cont', config.cont_head.layers, 1)), -1, 1),
    prior(g, z, noise) {
      const { layers, dist, min_std, max_std } = config.actor;
      const h = mlp(g, z, `${behavior}actor`, 'Actor', layers, config.units);
      const mean = g.unary('tanh', tensors.linear(g, h, `${behavior}actor.mean_layer`, action_dim));
      const raw = tensors.linear(g, h, `${behavior}actor.std_layer`, action_dim);
      if (noise === undefined) return mean;
      const std =
        dist === 'normal'
          ? g.affine(g.unary('sigmoid', g.affine(raw, 1, 2)), max_std - min_std, min_std)
          : g.affine(g.unary('sigmoid', g.affine(raw, 0.5, 0)), 2, min_std);
      return clamp(g, g.add(mean, g.mul(std, noise)), -1, 1);
    },
  };
}

/**
 * One-hot (1, n, classes) of probabilities of that shape: the first class whose cumulative probability exceeds the uniform
 * draw (1, n, 1). One draw for each categorical, where Gumbel noise would take one for each class.
 */
function categorical(g: GraphBuilder, probabilities: Value, uniform: Value): Value {
  const n = probabilities.shape[2]!;
  // The last class takes what rounding leaves: its sum counts as 2.
  const sums = g.constant(
    Float32Array.from({ length: n * n }, (_, i) => (Math.floor(i / n) <= i % n ? 1 : 0)),
    [1, n, n],
  );
  const rest = g.constant(
    Float32Array.from({ length: n }, (_, i) => (i === n - 1 ? 1 : 0)),
    [n],
  );
  const cumulative = g.add(g.matmul(probabilities, sums), rest);
  const reached = isPositive(g, g.binary('sub', cumulative, uniform));
  const before = g.concat([g.affine(g.slice(reached, 2, 0, 1), 0, 0), g.slice(reached, 2, 0, n - 1)], 2);
  return g.binary('sub', reached, before);
}

function gaussian(g: GraphBuilder, config: RssmConfig, said: Value, noise: Value | undefined): Value {
  const [raw, spread] = g.halves(said);
  const mean = config.dyn_mean_act === 'none' ? raw : g.affine(g.unary('tanh', g.affine(raw, 0.2, 0)), 5, 0);
  if (noise === undefined) return mean;
  const std = {
    softplus: () => g.unary('softplus', spread),
    abs: () => g.unary('abs', g.affine(spread, 1, 1)),
    sigmoid: () => g.unary('sigmoid', spread),
    sigmoid2: () => g.affine(g.unary('sigmoid', g.affine(spread, 0.5, 0)), 2, 0),
  }[config.dyn_std_act]();
  return g.add(mean, g.mul(g.affine(std, 1, config.dyn_min_std), noise));
}

/** Halved in size until `minres` is reached, norms over channels; x (1, height, width, channels) in [0, 1]. */
function pixels(g: GraphBuilder, tensors: Tensors, config: RssmConfig, name: string, x: Value): Value {
  const { cnn_depth, minres } = config.encoder;
  const stages = Math.floor(Math.log2(x.shape[1]!) - Math.log2(minres));
  let h = g.affine(x, 1, -0.5);
  for (let i = 0; i < stages; i++) {
    const weight = tensors.weight(g, `${name}.${3 * i}.weight`, [cnn_depth * 2 ** i, h.shape[3]!, 4, 4]);
    h = g.conv2d(h, weight, undefined, { stride: 2, pad: 1 });
    h = g.unary('silu', tensors.layerNorm(g, h, `${name}.${3 * i + 1}.norm`, EPS));
  }
  const [, rows, columns, channels] = h.shape as [number, number, number, number];
  // Flattened as torch does, channels first.
  return g.reshape(g.permute(h, [0, 3, 1, 2]), [1, channels * rows * columns]);
}
