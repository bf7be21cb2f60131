// DPM-Solver with adaptive steps (Lu et al. 2022; k-diffusion's sample_dpm_adaptive, order 3, η 0). How many calls it
// makes depends on the sample, so it cannot be a table: it is a loop that asks the network, as followTable is.

import { TendonError } from '../types/index.js';
import type { Preconditioner } from './sigma-samplers.js';
import type { Loop, Prefix, Question, Resampled } from './table.js';

export const DPM_ADAPTIVE = 'dpm_adaptive';

/** Where it begins and ends, of a network that denoises at any level between. */
export interface AdaptiveRange {
  readonly sigma_max: number;
  readonly sigma_min: number;
  readonly precondition: Preconditioner;
}

export interface AdaptiveOptions {
  /** How far its second and third order may lie apart, relative to the sample and at least; k-diffusion's defaults. */
  readonly rtol?: number | undefined;
  readonly atol?: number | undefined;
  /** Gives up with `policy_failed` beyond this; a network that returns nonsense would step for ever. */
  readonly max_calls?: number;
}

/** k-diffusion's, of t = −ln σ. */
const FIRST_STEP = 0.05;
const ACCEPT_SAFETY = 0.81;

/** Of one sample, or of several at once, whose errors are then judged together, as k-diffusion does. */
export function* followAdaptive(
  { sigma_max, sigma_min, precondition }: AdaptiveRange,
  { rtol = 0.05, atol = 0.0078, max_calls = 1000 }: AdaptiveOptions,
  start: ArrayLike<number>,
  prefix?: Prefix,
): Loop {
  check(sigma_max, sigma_min, rtol, atol);
  let x: Float64Array = Float64Array.from(start);
  let lowBefore = x;
  let t = -Math.log(sigma_max);
  const end = -Math.log(sigma_min);
  let h = FIRST_STEP;
  let call = 0;
  /** (x − D)/σ */
  function* slope(at: Float64Array, time: number): Loop {
    if (call === max_calls)
      throw new TendonError(
        'policy_failed',
        `${DPM_ADAPTIVE}: no end after ${max_calls} calls of the network; allow more error with rtol and atol, or choose another sampler`,
      );
    const sigma = Math.exp(-time);
    const { c_in, a_x, a_f, level } = precondition(sigma);
    const answer = yield { x: at.map((v) => c_in * v), level, call: call++ };
    const f = 'ancestors' in answer ? answer.f : answer;
    return at.map((v, i) => {
      const d = a_x * v + a_f * f[i]!;
      const drawn = prefix === undefined ? d : d + prefix.weights[i]! * (prefix.target[i]! - d);
      return (v - drawn) / sigma;
    });
  }
  while (t < end - 1e-5) {
    const next = Math.min(end, t + h);
    const { low, high } = yield* step(slope, x, t, next);
    let squares = 0;
    for (let i = 0; i < x.length; i++) {
      const scale = Math.max(atol, rtol * Math.max(Math.abs(low[i]!), Math.abs(lowBefore[i]!)));
      squares += ((low[i]! - high[i]!) / scale) ** 2;
    }
    // An integral controller: the step follows the cube root of the inverse error, softly limited.
    const error = Math.sqrt(squares / x.length);
    const factor = 1 + Math.atan((1 / (error + 1e-8)) ** (1 / 3) - 1);
    if (factor >= ACCEPT_SAFETY) {
      lowBefore = low;
      x = high;
      t = next;
    }
    h *= factor;
  }
  return x;
}

function check(sigma_max: number, sigma_min: number, rtol: number, atol: number): void {
  if (!(sigma_max > sigma_min) || !(sigma_min > 0))
    throw new TendonError(
      'config_invalid',
      `${DPM_ADAPTIVE}: expected sigma_max > sigma_min > 0, got ${sigma_max} and ${sigma_min}`,
    );
  if (!(rtol >= 0 && atol > 0 && Number.isFinite(rtol + atol)))
    throw new TendonError(
      'config_invalid',
      `${DPM_ADAPTIVE}: expected rtol of 0 or more and atol above 0, got ${rtol} and ${atol}`,
    );
}

/** Second and third order from the same stages, at one and two thirds of the step. */
function* step(
  slope: (x: Float64Array, time: number) => Loop,
  x: Float64Array,
  t: number,
  next: number,
): Generator<Question, { low: Float64Array; high: Float64Array }, ArrayLike<number> | Resampled> {
  const h = next - t;
  const [t1, t2] = [t + h / 3, t + (2 * h) / 3];
  const [s1, s2, sn] = [Math.exp(-t1), Math.exp(-t2), Math.exp(-next)];
  const e0 = yield* slope(x, t);
  const e1 = yield* slope(
    x.map((v, i) => v - s1 * Math.expm1(h / 3) * e0[i]!),
    t1,
  );
  const whole = sn * Math.expm1(h);
  const low = x.map((v, i) => v - whole * e0[i]! - 1.5 * whole * (e1[i]! - e0[i]!));
  const bend = 2 * s2 * (Math.expm1((2 / 3) * h) / ((2 / 3) * h) - 1);
  const e2 = yield* slope(
    x.map((v, i) => v - s2 * Math.expm1((2 / 3) * h) * e0[i]! - bend * (e1[i]! - e0[i]!)),
    t2,
  );
  const last = 1.5 * sn * (Math.expm1(h) / h - 1);
  const high = x.map((v, i) => v - whole * e0[i]! - last * (e2[i]! - e0[i]!));
  return { low, high };
}
