// Small policies under the names that their authors save: tanh-Gaussian actors (stable-baselines3: DSRL), flow decoders of one
// action (GoRL), FiLM by live conditions, mixtures of tanh experts (PMOE), bounded residuals (Policy Decorator).

import type { GraphBuilder, Value } from '../native/index.js';
import { clamp } from './compose.js';
import type { Weights } from './weights.js';

const widthOf = (weights: Weights, name: string): number => weights.ref(`${name}.weight`, [-1, -1]).shape[0]!;
const dense = (g: GraphBuilder, weights: Weights, x: Value, name: string): Value =>
  weights.linear(g, x, name, widthOf(weights, name));

/** Layers `<prefix>.0`, `.1`, … as far as there are any, with `activation` between them. */
export function plainMlp(
  g: GraphBuilder,
  weights: Weights,
  x: Value,
  prefix: string,
  activation: 'silu' | 'tanh' | 'relu',
): Value {
  let h = x;
  for (let i = 0; weights.has(`${prefix}.${i}.weight`); i++)
    h = dense(g, weights, i === 0 ? h : g.unary(activation, h), `${prefix}.${i}`);
  return h;
}

/** Mean and log of the deviation before the tanh, (rows, n) each. */
export interface GaussianHead {
  readonly mean: Value;
  readonly log_std: Value;
}

/** What stable-baselines3 keeps the log of a deviation within. */
const LOG_STD = [-20, 2] as const;

/**
 * stable-baselines3's actor: `actor.latent_pi.<i>`, `actor.mu`, `actor.log_std`, with LayerNorm behind each layer where there is
 * one. The file does not say the activation: DSRL trains with tanh, stable-baselines3's own is ReLU.
 */
export function squashedActor(
  g: GraphBuilder,
  weights: Weights,
  x: Value,
  activation: 'relu' | 'tanh' = 'tanh',
): GaussianHead {
  const name = (i: number): string => `actor.latent_pi.${i}`;
  const isNorm = (i: number): boolean =>
    weights.has(`${name(i)}.weight`) && weights.shape(`${name(i)}.weight`).length === 1;
  const normed = isNorm(1);
  const stride = normed ? 3 : 2;
  let h = x;
  for (let i = 0; weights.has(`${name(i)}.weight`); i += stride) {
    h = dense(g, weights, h, name(i));
    if (normed) h = weights.layerNorm(g, h, name(i + 1));
    h = g.unary(activation, h);
  }
  return {
    mean: dense(g, weights, h, 'actor.mu'),
    log_std: clamp(g, dense(g, weights, h, 'actor.log_std'), ...LOG_STD),
  };
}

/** tanh(mean), or tanh(mean + σ·draw) with unit normal `draw` (rows, n); times `range`. */
export function squashed(
  g: GraphBuilder,
  { mean, log_std }: GaussianHead,
  range: number,
  draw?: Value,
): Value {
  const drawn = draw === undefined ? mean : g.add(mean, g.mul(g.unary('exp', log_std), draw));
  return g.affine(g.unary('tanh', drawn), range, 0);
}

/** GoRL's embedding of a flow's time: cos(t·2^k), then sin(t·2^k), k = 0 … width/2 − 1. */
export function powersOfTwo(t: number, width: number): Float32Array {
  const half = width / 2;
  return Float32Array.from({ length: width }, (_, i) =>
    i < half ? Math.cos(t * 2 ** i) : Math.sin(t * 2 ** (i - half)),
  );
}

/** GoRL's decoder, one action at a time: the velocity from (normalised o, x_t, embedded t), SiLU between the layers. */
export const decoderVelocity = (g: GraphBuilder, weights: Weights, o: Value, x: Value, time: Value): Value =>
  plainMlp(g, weights, g.concat([o, x, time], 1), 'decoder', 'silu');

export interface FilmStyle {
  /** Layers that are modulated, from 0; the k-th has head k. */
  readonly film_after: readonly number[];
  /** scale: γ·h + β, as the FiLM paper has it. one_plus_scale: (1 + γ)·h + β, as diffusion policies have it. */
  readonly convention: 'scale' | 'one_plus_scale';
}

/**
 * An MLP that live conditions modulate before its activations, all of them tanh: `film.<i>`, `film.heads.<k>` (γ ‖ β), `mlp.<i>`,
 * `out`. `condition` (rows, conditions) is scaled to ±1 over what was trained.
 */
export function filmPolicy(
  g: GraphBuilder,
  weights: Weights,
  x: Value,
  condition: Value,
  { film_after, convention }: FilmStyle,
): Value {
  let f = condition;
  for (let i = 0; weights.has(`film.${i}.weight`); i++)
    f = g.unary('tanh', dense(g, weights, f, `film.${i}`));
  let h = x;
  for (let i = 0; weights.has(`mlp.${i}.weight`); i++) {
    h = dense(g, weights, h, `mlp.${i}`);
    const k = film_after.indexOf(i);
    if (k >= 0) {
      const [gamma, beta] = g.halves(dense(g, weights, f, `film.heads.${k}`));
      h = g.add(g.mul(convention === 'scale' ? gamma : g.affine(gamma, 1, 1), h), beta);
    }
    h = g.unary('tanh', h);
  }
  return g.unary('tanh', dense(g, weights, h, 'out'));
}

/** A mixture's shares (rows, experts), and each expert's mean and log deviation, (rows, experts · n), expert by expert. */
export interface MixtureHead extends GaussianHead {
  readonly shares: Value;
}

/**
 * PMOE: `mixing_coefficient_linear.0` on the raw observation, `linear1…`, `mean_linear`, `log_std_linear`, ReLU. The authors draw
 * the expert even when they call the action deterministic; the one with the largest share is the quiet choice.
 */
export function mixtureOfExperts(g: GraphBuilder, weights: Weights, x: Value): MixtureHead {
  let h = x;
  for (let i = 1; weights.has(`linear${i}.weight`); i++)
    h = g.unary('relu', dense(g, weights, h, `linear${i}`));
  return {
    shares: g.softmax(dense(g, weights, x, 'mixing_coefficient_linear.0')),
    mean: dense(g, weights, h, 'mean_linear'),
    log_std: clamp(g, dense(g, weights, h, 'log_std_linear'), ...LOG_STD),
  };
}

/** Policy Decorator: tanh(fc_mean(backbone))·action_scale + action_bias, all of the backbone with ReLU; times λ it joins a base chunk. */
export function residualActor(g: GraphBuilder, weights: Weights, x: Value): Value {
  let h = x;
  for (let i = 0; weights.has(`backbone.${i}.weight`); i += 2)
    h = g.unary('relu', dense(g, weights, h, `backbone.${i}`));
  const raw = g.unary('tanh', dense(g, weights, h, 'fc_mean'));
  const n = raw.shape.at(-1)!;
  const row = (name: string): Value => weights.weight(g, name, [n]);
  return g.add(g.mul(raw, row('action_scale')), row('action_bias'));
}
