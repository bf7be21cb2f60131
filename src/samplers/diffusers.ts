// DDPM and DDIM as Hugging Face diffusers runs them (schedulers/scheduling_{ddpm,ddim}.py), as tables over integer
// timesteps, "leading" spacing. β and ᾱ are float32 there, so they are rounded to float32 here.

import { TendonError } from '../types/index.js';
import type { Preconditioner } from './sigma-samplers.js';
import { makeTable, type Row, row, type SamplerTable } from './table.js';

/**
 * DDPM's noise: the posterior's variance, the same from its logarithm, or β. Of diffusers' others fixed_large_log takes the
 * root of a negative number, and learned and learned_range need a network that predicts the variance too.
 */
export const VARIANCES = ['fixed_small', 'fixed_small_log', 'fixed_large'] as const;

export interface DiffusersConfig {
  readonly num_train_timesteps: number;
  readonly beta_schedule: string;
  readonly beta_start: number;
  readonly beta_end: number;
  readonly prediction_type: string;
  readonly clip_sample: boolean;
  readonly clip_sample_range: number;
  /** fixed_small when absent. */
  readonly variance_type?: (typeof VARIANCES)[number];
}

const { fround } = Math;

export function betas(c: DiffusersConfig): number[] {
  const T = c.num_train_timesteps;
  const line = (a: number, b: number, i: number): number => a + ((b - a) * i) / (T - 1);
  switch (c.beta_schedule) {
    case 'linear':
      return Array.from({ length: T }, (_, i) => fround(line(c.beta_start, c.beta_end, i)));
    case 'scaled_linear':
      return Array.from({ length: T }, (_, i) =>
        fround(line(Math.sqrt(c.beta_start), Math.sqrt(c.beta_end), i) ** 2),
      );
    case 'squaredcos_cap_v2': {
      const bar = (s: number): number => Math.cos((((s + 0.008) / 1.008) * Math.PI) / 2) ** 2;
      return Array.from({ length: T }, (_, i) => fround(Math.min(1 - bar((i + 1) / T) / bar(i / T), 0.999)));
    }
    default:
      throw new TendonError(
        'config_invalid',
        `beta_schedule: expected linear, scaled_linear or squaredcos_cap_v2, got "${c.beta_schedule}"`,
        { beta_schedule: c.beta_schedule },
      );
  }
}

/** ᾱ_t, a float32 running product. */
export function alphasCumprod(c: DiffusersConfig): number[] {
  let product = 1;
  return betas(c).map((b) => {
    product = fround(product * fround(1 - b));
    return product;
  });
}

/** Decreasing timesteps, "leading" spacing. */
export function timesteps(c: DiffusersConfig, steps: number): number[] {
  if (!Number.isInteger(steps) || steps < 1 || steps > c.num_train_timesteps)
    throw new TendonError(
      'config_invalid',
      `steps: expected a whole number from 1 to num_train_timesteps (${c.num_train_timesteps}), got ${steps}`,
      { steps },
    );
  const ratio = Math.floor(c.num_train_timesteps / steps);
  return Array.from({ length: steps }, (_, i) => (steps - 1 - i) * ratio);
}

/** x_0 and ε as combinations [of x, of F] for what the network predicts. */
function predictions(type: string, alpha: number): { x0: [number, number]; eps: [number, number] } {
  const a = Math.sqrt(alpha);
  const b = Math.sqrt(1 - alpha);
  if (type === 'epsilon') return { x0: [1 / a, -b / a], eps: [0, 1] };
  if (type === 'sample') return { x0: [0, 1], eps: [1 / b, -a / b] };
  if (type === 'v_prediction') return { x0: [a, -b], eps: [b, a] };
  throw new TendonError(
    'config_invalid',
    `prediction_type: expected epsilon, sample or v_prediction, got "${type}"`,
    { prediction_type: type },
  );
}

/** DDIM with η; ε is not recomputed after clipping. ᾱ beyond the last step is 1 (set_alpha_to_one). */
export function ddimTable(c: DiffusersConfig, steps: number, eta = 0): SamplerTable {
  const bar = alphasCumprod(c);
  const ts = timesteps(c, steps);
  const ratio = Math.floor(c.num_train_timesteps / steps);
  const rows = ts.map((t): Row => {
    const alpha = bar[t]!;
    const before = t - ratio >= 0 ? bar[t - ratio]! : 1;
    const variance = ((1 - before) / (1 - alpha)) * (1 - alpha / before);
    const sigma = eta * Math.sqrt(Math.max(variance, 0));
    const { x0, eps } = predictions(c.prediction_type, alpha);
    const towards = Math.sqrt(Math.max(1 - before - sigma * sigma, 0));
    return row({
      a_x: x0[0],
      a_f: x0[1],
      clip: c.clip_sample ? c.clip_sample_range : 0,
      w_d: Math.sqrt(before),
      w_x: towards * eps[0],
      w_f: towards * eps[1],
      w_noise: sigma,
    });
  });
  return makeTable(rows, ts, 1, gainsOf(bar, ts));
}

/** DDPM; noise on every step but the last. */
export function ddpmTable(c: DiffusersConfig, steps: number): SamplerTable {
  const bar = alphasCumprod(c);
  const ts = timesteps(c, steps);
  const rows = ts.map((t, i): Row => {
    const alpha = bar[t]!;
    const before = i + 1 < ts.length ? bar[ts[i + 1]!]! : 1;
    const step = alpha / before;
    const { x0 } = predictions(c.prediction_type, alpha);
    const posterior = Math.max(((1 - before) / (1 - alpha)) * (1 - step), 1e-20);
    const variance = c.variance_type === 'fixed_large' ? 1 - step : posterior;
    return row({
      a_x: x0[0],
      a_f: x0[1],
      clip: c.clip_sample ? c.clip_sample_range : 0,
      w_d: (Math.sqrt(before) * (1 - step)) / (1 - alpha),
      w_x: (Math.sqrt(step) * (1 - before)) / (1 - alpha),
      w_noise: t > 0 ? Math.sqrt(variance) : 0,
    });
  });
  return makeTable(rows, ts, 1, gainsOf(bar, ts));
}

/**
 * A variance-preserving network seen from σ-space, so that any σ-sampler can drive it: σ = √((1 − ᾱ)/ᾱ) and the
 * timestep whose σ is nearest (DPM-Solver++ paper, section 4). The network expects x/√(1 + σ²).
 */
/** x = √ᾱ·x₀ + √(1 − ᾱ)·ε of normal data: E[x₀ | x] = √ᾱ·x. */
const gainsOf = (bar: readonly number[], ts: readonly number[]): number[] =>
  ts.map((t) => 1 / Math.sqrt(bar[t]!));

export function vpPreconditioner(c: DiffusersConfig): { precondition: Preconditioner; sigmas: number[] } {
  const sigmas = alphasCumprod(c).map((a) => Math.sqrt((1 - a) / a));
  const precondition: Preconditioner = (sigma) => {
    const { x0 } = predictions(c.prediction_type, 1 / (1 + sigma * sigma));
    const c_in = 1 / Math.sqrt(1 + sigma * sigma);
    let level = 0;
    for (let t = 1; t < sigmas.length; t++)
      if (Math.abs(Math.log(sigmas[t]! / sigma)) < Math.abs(Math.log(sigmas[level]! / sigma))) level = t;
    return { c_in, a_x: x0[0] * c_in, a_f: x0[1], level, gain: 1 + sigma * sigma };
  };
  return { precondition, sigmas };
}
