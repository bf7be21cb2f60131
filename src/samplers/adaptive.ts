// DPM-Solver with adaptive steps (Lu et al. 2022; k-diffusion's sample_dpm_adaptive, order 3). How many calls it
// makes depends on the sample, so it cannot be a table: the host drives it, one call of the denoiser at a time.

import { TendonError } from '../types/index.js';

/** D(x; σ), the denoised estimate. */
export type Denoiser = (x: Float64Array, sigma: number) => Promise<ArrayLike<number>>;

export interface AdaptiveOptions {
  readonly rtol?: number;
  readonly atol?: number;
  readonly h_init?: number;
  readonly accept_safety?: number;
  /** Gives up with `policy_failed` beyond this; a network that returns nonsense would step for ever. */
  readonly max_calls?: number;
}

export async function dpmAdaptive(
  denoise: Denoiser,
  start: ArrayLike<number>,
  sigma_max: number,
  sigma_min: number,
  options: AdaptiveOptions = {},
): Promise<{ x: Float64Array; calls: number }> {
  const { rtol = 0.05, atol = 0.0078, h_init = 0.05, accept_safety = 0.81, max_calls = 1000 } = options;
  if (!(sigma_max > sigma_min) || !(sigma_min > 0))
    throw new TendonError(
      'config_invalid',
      `dpm_adaptive: expected sigma_max > sigma_min > 0, got ${sigma_max} and ${sigma_min}`,
    );
  let x: Float64Array = Float64Array.from(start);
  let lowBefore = x;
  let t = -Math.log(sigma_max);
  const end = -Math.log(sigma_min);
  let h = h_init;
  let calls = 0;
  const slope = async (at: Float64Array, time: number): Promise<Float64Array> => {
    if (++calls > max_calls)
      throw new TendonError('policy_failed', `dpm_adaptive: no end after ${max_calls} calls of the network`);
    const sigma = Math.exp(-time);
    const d = await denoise(at, sigma);
    return at.map((v, i) => (v - d[i]!) / sigma);
  };
  while (t < end - 1e-5) {
    const next = Math.min(end, t + h);
    const { low, high } = await step(slope, x, t, next);
    let squares = 0;
    for (let i = 0; i < x.length; i++) {
      const scale = Math.max(atol, rtol * Math.max(Math.abs(low[i]!), Math.abs(lowBefore[i]!)));
      squares += ((low[i]! - high[i]!) / scale) ** 2;
    }
    // An integral controller: the step follows the cube root of the inverse error, softly limited.
    const error = Math.sqrt(squares / x.length);
    const factor = 1 + Math.atan((1 / (error + 1e-8)) ** (1 / 3) - 1);
    if (factor >= accept_safety) {
      lowBefore = low;
      x = high;
      t = next;
    }
    h *= factor;
  }
  return { x, calls };
}

/** Second and third order from the same stages, at one and two thirds of the step. */
async function step(
  slope: (x: Float64Array, time: number) => Promise<Float64Array>,
  x: Float64Array,
  t: number,
  next: number,
): Promise<{ low: Float64Array; high: Float64Array }> {
  const h = next - t;
  const [t1, t2] = [t + h / 3, t + (2 * h) / 3];
  const [s1, s2, sn] = [Math.exp(-t1), Math.exp(-t2), Math.exp(-next)];
  const e0 = await slope(x, t);
  const e1 = await slope(
    x.map((v, i) => v - s1 * Math.expm1(h / 3) * e0[i]!),
    t1,
  );
  const whole = sn * Math.expm1(h);
  const low = x.map((v, i) => v - whole * e0[i]! - 1.5 * whole * (e1[i]! - e0[i]!));
  const bend = 2 * s2 * (Math.expm1((2 / 3) * h) / ((2 / 3) * h) - 1);
  const e2 = await slope(
    x.map((v, i) => v - s2 * Math.expm1((2 / 3) * h) * e0[i]! - bend * (e1[i]! - e0[i]!)),
    t2,
  );
  const last = 1.5 * sn * (Math.expm1(h) / h - 1);
  const high = x.map((v, i) => v - whole * e0[i]! - last * (e2[i]! - e0[i]!));
  return { low, high };
}
