// Noise schedules over σ, each ending in 0 (Karras et al. 2022; k-diffusion; the ones BESO offers).

import { TendonError } from '../types/index.js';

export interface SigmaRange {
  readonly sigma_min: number;
  readonly sigma_max: number;
  readonly rho?: number;
}

const ramp = (n: number, from = 0, to = 1): number[] =>
  Array.from({ length: n }, (_, i) => (n === 1 ? from : from + ((to - from) * i) / (n - 1)));

/** Variance-preserving, β_d 19.9, β_min 0.1, time from 1 to 1e-3. */
function vp(n: number): number[] {
  return ramp(n, 1, 1e-3).map((t) => Math.sqrt(Math.expm1((19.9 * t * t) / 2 + 0.1 * t)));
}

/** As BESO writes it: its ramp runs over n points from 0 to n + 1 and is divided by n − 1. */
function ve(n: number, { sigma_min, sigma_max }: SigmaRange): number[] {
  return ramp(n, 0, n + 1).map((v) => sigma_max * (sigma_min / sigma_max) ** (v / (n - 1)));
}

/** Improved-DDPM levels (Nichol and Dhariwal 2021) as in EDM's appendix, M = 1000, C1 = 0.001, C2 = 0.008. */
function iddpm(n: number, { sigma_min, sigma_max }: SigmaRange): number[] {
  const M = 1000;
  const bar = (j: number): number => Math.sin((0.5 * Math.PI * j) / M / (0.008 + 1)) ** 2;
  const u = new Float64Array(M + 1);
  for (let j = M; j > 0; j--)
    u[j - 1] = Math.sqrt((u[j]! ** 2 + 1) / Math.max(bar(j - 1) / bar(j), 0.001) - 1);
  const kept = [...u].filter((v) => v >= sigma_min && v <= sigma_max);
  const stride = n === 1 ? 0 : (kept.length - 1) / (n - 1);
  return Array.from({ length: n }, (_, i) => kept[halfEven(stride * i)]!);
}

/** A half to the even number, as torch rounds. */
function halfEven(value: number): number {
  const up = Math.round(value);
  return up - value === 0.5 && up % 2 === 1 ? up - 1 : up;
}

/** The βs of a cosine schedule taken for levels, as BESO does. */
function cosineBeta(n: number): number[] {
  const bar = ramp(n + 1).map((t) => Math.cos(((t + 0.008) / 1.008) * Math.PI * 0.5) ** 2);
  const beta = ramp(n, 0, n - 1).map((i) => Math.min(0.999, 1 - bar[i + 1]! / bar[i]!));
  return beta.reverse();
}

const SCHEDULES: Readonly<Record<string, (n: number, range: SigmaRange) => number[]>> = {
  karras: (n, { sigma_min, sigma_max, rho = 7 }) => {
    const low = sigma_min ** (1 / rho);
    const high = sigma_max ** (1 / rho);
    return ramp(n).map((r) => (high + r * (low - high)) ** rho);
  },
  exponential: (n, { sigma_min, sigma_max }) =>
    ramp(n, Math.log(sigma_max), Math.log(sigma_min)).map((v) => Math.exp(v)),
  linear: (n, { sigma_min, sigma_max }) => ramp(n, sigma_max, sigma_min),
  polyexp: (n, { sigma_min, sigma_max, rho = 1 }) =>
    ramp(n, 1, 0).map((r) =>
      Math.exp(r ** rho * (Math.log(sigma_max) - Math.log(sigma_min)) + Math.log(sigma_min)),
    ),
  vp: (n) => vp(n),
  ve,
  iddpm,
  cosine_beta: (n) => cosineBeta(n),
};

export const SIGMA_SCHEDULES = Object.keys(SCHEDULES);

/** The ends of a schedule, above 0: what an adaptive sampler goes between. */
export function adaptiveRange(
  name: string,
  steps: number,
  range: SigmaRange,
): { readonly sigma_max: number; readonly sigma_min: number } {
  const levels = sigmaSchedule(name, Math.max(2, steps), range);
  return { sigma_max: levels[0]!, sigma_min: levels.at(-2)! };
}

/** `steps` decreasing levels and a final 0. */
export function sigmaSchedule(name: string, steps: number, range: SigmaRange): number[] {
  const schedule = Object.hasOwn(SCHEDULES, name) ? SCHEDULES[name] : undefined;
  if (schedule === undefined)
    throw new TendonError(
      'config_invalid',
      `sigma_schedule: expected one of ${SIGMA_SCHEDULES.join(', ')}, got "${name}"`,
      { name },
    );
  if (!Number.isInteger(steps) || steps < 1 || steps > 1000)
    throw new TendonError('config_invalid', `steps: expected a whole number from 1 to 1000, got ${steps}`, {
      steps,
    });
  return [...schedule(steps, range), 0];
}
