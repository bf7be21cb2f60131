// The networks of the `ensemble` family: members that predict mean and log-variance of the state's change and the reward,
// and particles that travel through them (Chua et al. 2018, PETS; tensors named as mbrl-lib's GaussianMLP).

import type { GraphBuilder, TensorRef, Value } from '../../native/index.js';
import { clamp, isPositive } from '../../networks/index.js';
import { ELEMENT_BYTES, readTensor } from '../../weights/index.js';
import { identity } from '../processors/affine.js';
import type { Tensors } from '../tensors.js';
import type { WorldNetworks } from '../world-model/graph.js';
import type { EnsembleConfig } from './config.js';
import { motionOf, originOf, type Units } from './motion.js';
import { rewardNetwork } from './reward.js';

/**
 * Particles of every candidate: states (rows, particles, state_dim), what the step to them earned, (rows, 1), and where
 * relative actions start from, (rows, 1, action_dim), in the robot's units.
 */
export interface Particles {
  readonly states: Value;
  readonly reward?: Value;
  readonly origin?: Value;
}

/** Mean and standard deviation of (change, reward), (…, outputs). */
export interface Prediction {
  readonly mean: Value;
  readonly std: Value;
}

/** One member, of (…, state_dim + action_dim). */
export type Member = (g: GraphBuilder, x: Value) => Prediction;

export function memberNetworks(
  config: EnsembleConfig,
  tensors: Tensors,
  state_dim: number,
  action_dim: number,
): Member[] {
  const { ensemble_size: E, hid_size, num_layers } = config;
  const outputs = outputsOf(config, state_dim);
  const bound = (name: string): Float32Array => readTensor(tensors.ref(name, [1, outputs]));
  const [low, high] = [bound('min_logvar'), bound('max_logvar')];
  const scale = inputScale(tensors, state_dim + action_dim);
  return Array.from({ length: E }, (_, i) => (g, x) => {
    let h = scale === undefined ? x : g.mul(g.add(x, vector(g, scale.add)), vector(g, scale.mul));
    for (let layer = 0; layer <= num_layers; layer++) {
      const last = layer === num_layers;
      const name = last ? 'mean_and_logvar' : `hidden_layers.${layer}.0`;
      const width = last ? 2 * outputs : hid_size;
      const weight = memberOf(tensors.ref(`${name}.weight`, [E, h.shape.at(-1)!, width]), i);
      const bias = memberOf(tensors.ref(`${name}.bias`, [E, 1, width]), i);
      // Stored (in, out); turned while the model is made.
      h = g.linear(h, g.permute(g.weight(weight), [1, 0]), g.reshape(g.weight(bias), [width]));
      if (!last) h = activate(g, config.activation, h);
    }
    const [mean, raw] = g.halves(h);
    // Held between the learned bounds, softly from both sides.
    const under = g.binary(
      'sub',
      vector(g, high),
      g.unary('softplus', g.binary('sub', vector(g, high), raw)),
    );
    const logvar = g.add(vector(g, low), g.unary('softplus', g.binary('sub', under, vector(g, low))));
    return { mean, std: g.unary('exp', g.affine(logvar, 0.5, 0)) };
  });
}

/** What a member predicts: the features that it does, then the reward where that has no network of its own. */
const outputsOf = ({ predicted, reward }: EnsembleConfig, state_dim: number): number =>
  (predicted?.length ?? state_dim) + (reward === undefined ? 1 : 0);

/** Normal draws of one step: where TS1 shuffles, a number by which particles are ordered; then each particle's own. */
function drawsPerStep({ propagation, num_particles: P }: EnsembleConfig, outputs: number): number {
  if (propagation === 'expectation') return 0;
  return (propagation === 'ts1' ? P : 0) + P * outputs;
}

export function ensembleNetworks(
  config: EnsembleConfig,
  tensors: Tensors,
  state_dim: number,
  action_dim: number,
  units: Units = {
    state: identity(state_dim),
    action: identity(action_dim),
  },
): WorldNetworks<Particles> {
  const members = memberNetworks(config, tensors, state_dim, action_dim);
  const earned = rewardNetwork(config, tensors, state_dim, action_dim, activate);
  const predicting = config.elites ?? members.map((_, i) => i);
  const outputs = outputsOf(config, state_dim);
  const expected = config.propagation === 'expectation';
  const P = expected ? 1 : config.num_particles;
  const motion = motionOf(config, state_dim, units.state);
  const start = originOf(config, action_dim, units);

  /** (change, reward) of each particle, by the member that its place belongs to, or by all of them. */
  function sample(g: GraphBuilder, x: Value, noise: Value | undefined, all: readonly Prediction[]): Value {
    if (expected)
      return average(
        g,
        predicting.map((i) => all[i]!.mean),
      );
    const each = P / predicting.length;
    const parts = predicting.map((i, place) => {
      const take = (v: Value): Value => g.slice(v, 1, place * each, each);
      const said = all[i];
      return said === undefined ? members[i]!(g, take(x)) : { mean: take(said.mean), std: take(said.std) };
    });
    const join = (of: 'mean' | 'std'): Value =>
      g.concat(
        parts.map((part) => part[of]),
        1,
      );
    return g.add(join('mean'), g.mul(join('std'), g.reshape(noise!, [1, P, outputs])));
  }

  /** What members are asked: states, and the action of each particle from where it is. */
  function asked(g: GraphBuilder, { states, origin }: Particles, a: Value): Value {
    const action = g.expand(g.reshape(a, [1, 1, action_dim]), [1, P, action_dim]);
    if (origin === undefined) return g.concat([states, action], 2);
    return g.concat([states, start!.seen(g, states, origin, action)], 2);
  }

  return {
    latent_dim: state_dim,
    action_dim,
    critics: 0,
    draws: drawsPerStep(config, outputs),
    encode: (g) => g.affine(g.input('observation', [1, state_dim], 'observation'), 1, 0),
    begin(g, latent) {
      const states = g.expand(g.reshape(latent, [1, 1, state_dim]), [1, P, state_dim]);
      return { states, ...(start === undefined ? {} : { origin: start.positions(g, states) }) };
    },
    next(g, from, a, noise) {
      let x = asked(g, from, a);
      if (config.propagation === 'ts1') x = g.matmul(permutation(g, g.slice(noise!, 1, 0, P)), x);
      const shuffling = config.propagation === 'ts1' ? P : 0;
      const own = noise === undefined ? undefined : g.slice(noise, 1, shuffling, P * outputs);
      const penalised = config.penalty_coeff > 0;
      // The penalty asks every member about every particle; without it each particle meets its own alone.
      const all = penalised || expected ? members.map((member) => member(g, x)) : [];
      const said = sample(g, x, own, all);
      const before = g.slice(x, 2, 0, state_dim);
      const states = motion(g, before, said);
      let reward =
        earned === undefined
          ? g.slice(said, 2, outputs - 1, 1)
          : earned(g, before, g.slice(x, 2, state_dim, action_dim), states);
      if (penalised) reward = g.add(reward, g.affine(penaltyOf(g, config, all), -config.penalty_coeff, 0));
      return {
        states,
        reward: g.reshape(g.reduce('mean', reward, 1), [1, 1]),
        ...(from.origin === undefined ? {} : { origin: start!.on(g, from.origin, a) }),
      };
    },
    reward: (_g, _z, _a, after) => after.reward!,
    doubt(g, from, a) {
      const x = asked(g, from, a);
      const all = members.map((member) => member(g, x));
      const apart = penaltyOf(g, { ...config, penalty: 'disagreement' }, all);
      return g.reshape(g.reduce('mean', apart, 1), [1, 1]);
    },
  };
}

/** u(s, a) of Yu et al. 2020, (rows, particles, 1): the largest over members. */
function penaltyOf(g: GraphBuilder, config: EnsembleConfig, all: readonly Prediction[]): Value {
  const largest = (values: Value[]): Value => values.reduce((a, b) => g.binary('maximum', a, b));
  const norm = (v: Value): Value => g.unary('sqrt', g.reduce('sum', g.unary('square', v)));
  if (config.penalty === 'learned_var') return largest(all.map(({ std }) => norm(std)));
  const motion = all[0]!.mean.shape[2]! - (config.reward === undefined ? 1 : 0);
  const means = all.map(({ mean }) => g.slice(mean, 2, 0, motion));
  const middle = average(g, means);
  return largest(means.map((mean) => norm(g.binary('sub', mean, middle))));
}

function average(g: GraphBuilder, values: readonly Value[]): Value {
  return g.affine(
    values.reduce((a, b) => g.add(a, b)),
    1 / values.length,
    0,
  );
}

/**
 * (rows, P, P) that puts particle i in the place of its number's rank among `numbers` (rows, P); equal numbers keep
 * their order. Continuous draws make every order as likely as any other.
 */
function permutation(g: GraphBuilder, numbers: Value): Value {
  const P = numbers.shape[1]!;
  const constant = (shape: number[], of: (i: number) => number): Value =>
    g.constant(
      Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, i) => of(i)),
      shape,
    );
  const difference = g.binary('sub', g.reshape(numbers, [1, 1, P]), g.reshape(numbers, [1, P, 1]));
  // Entry (j, i): whether number j is below number i, or equal and earlier.
  const below = isPositive(g, difference);
  const above = isPositive(g, g.affine(difference, -1, 0));
  const equal = g.affine(g.add(below, above), -1, 1);
  const earlier = constant([1, P, P], (n) => (Math.floor(n / P) < n % P ? 1 : 0));
  const rank = g.reduce('sum', g.add(below, g.mul(equal, earlier)), 1);
  const place = constant([1, P, 1], (n) => n);
  const distance = g.unary('abs', g.binary('sub', rank, place));
  return clamp(g, g.affine(distance, -1, 1), 0, 1);
}

const vector = (g: GraphBuilder, values: Float32Array): Value => g.constant(values, [values.length]);

function activate(g: GraphBuilder, name: EnsembleConfig['activation'], x: Value): Value {
  return name === 'leaky_relu' ? g.binary('maximum', x, g.affine(x, 0.01, 0)) : g.unary(name, x);
}

/** Member `i` of a stacked tensor, where it lies in the file. */
function memberOf(ref: TensorRef, i: number): TensorRef {
  const shape = ref.shape.slice(1);
  const bytes = shape.reduce((n, d) => n * d, ELEMENT_BYTES[ref.dtype]!);
  return { ...ref, name: `${ref.name}[${i}]`, shape, offset: ref.offset + i * bytes };
}

/** mbrl-lib's input normaliser, (x − mean)/std, of a checkpoint that has one. */
function inputScale(tensors: Tensors, n: number): { add: Float32Array; mul: Float32Array } | undefined {
  if (!tensors.has('input_normalizer.mean')) return undefined;
  const mean = readTensor(tensors.ref('input_normalizer.mean', [1, n]));
  const std = readTensor(tensors.ref('input_normalizer.std', [1, n]));
  return { add: mean.map((v) => -v), mul: std.map((v) => 1 / v) };
}
