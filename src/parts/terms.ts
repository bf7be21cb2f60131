// Terms that steer a denoiser while it runs: what they add, and by how much. v is a velocity, ε predicted noise, D the denoised
// estimate, t = 1 noise … 0 data, s = 1 − t.

import { norm, type Row } from './numbers.js';

/** Optimal control × flow matching (FOCUS): σ²(s)·(1 − s), σ² = 2(1 − s + ε)/(s + ε). At s = 0 it is 2/ε: clip the term there. */
export function controlGain(t: number, epsilon = 1e-3): number {
  const s = 1 - t;
  return ((2 * (1 - s + epsilon)) / (s + epsilon)) * (1 - s);
}

/** v + (scale − 1)·(v − other): away from a worse denoiser (ACG), or from one without its condition (guidance). */
export const contrasted = (v: Row, other: Row, scale: number): Float64Array =>
  Float64Array.from({ length: v.length }, (_, i) => v[i]! + (scale - 1) * (v[i]! - other[i]!));

/** share·v + (1 − share)·other: two policies in one chunk (RL²-VLA). */
export const composed = (v: Row, other: Row, share: number): Float64Array =>
  Float64Array.from({ length: v.length }, (_, i) => share * v[i]! + (1 - share) * other[i]!);

/** No longer than `most`, in its own direction. */
export function clipped(term: Row, most: number): Float64Array {
  const length = norm(term);
  const factor = length > most ? most / length : 1;
  return Float64Array.from(term, (v) => v * factor);
}

/** Gradient of the mean distance of rows to a drawn path (ITPS): each row's unit direction from it, over the rows. */
export function pathGradient(x: Row, path: Row, action_dim: number): Float64Array {
  const rows = x.length / action_dim;
  const out = new Float64Array(x.length);
  for (let row = 0; row < rows; row++) {
    let squares = 0;
    for (let i = row * action_dim; i < (row + 1) * action_dim; i++) squares += (x[i]! - path[i]!) ** 2;
    // On the path there is no direction away from it.
    if (squares === 0) continue;
    const length = Math.sqrt(squares) * rows;
    for (let i = row * action_dim; i < (row + 1) * action_dim; i++) out[i] = (x[i]! - path[i]!) / length;
  }
  return out;
}

/**
 * DynaGuide: gradient of log Σ exp(−‖e − good‖/α) − log Σ exp(−‖e − bad‖/α) with respect to the predicted outcome e; the chunk's
 * follows by the outcome model's derivative. Up this gradient lie the good outcomes.
 */
export function outcomeGradient(
  e: Row,
  good: readonly Row[],
  bad: readonly Row[],
  alpha: number,
): Float64Array {
  const out = new Float64Array(e.length);
  const add = (outcomes: readonly Row[], sign: number): void => {
    if (outcomes.length === 0) return;
    const apart = outcomes.map((o) => Float64Array.from(e, (v, i) => v - o[i]!));
    const lengths = apart.map(norm);
    const least = Math.min(...lengths);
    const weights = lengths.map((d) => Math.exp(-(d - least) / alpha));
    const sum = weights.reduce((a, b) => a + b, 0);
    apart.forEach((d, k) => {
      if (lengths[k] === 0) return;
      for (let i = 0; i < out.length; i++)
        out[i]! -= (sign * weights[k]! * d[i]!) / (sum * alpha * lengths[k]!);
    });
  };
  add(good, 1);
  add(bad, -1);
  return out;
}

/** x of the next level from a DDIM step (η 0) with ε; D is clipped to ±limit, ε stays what it was told (diffusers). */
export function ddimStep(
  x: Row,
  epsilon: Row,
  alpha_bar: number,
  next_alpha_bar: number,
  limit = Number.POSITIVE_INFINITY,
): { readonly denoised: Float64Array; readonly next: Float64Array } {
  const denoised = Float64Array.from({ length: x.length }, (_, i) => {
    const d = (x[i]! - Math.sqrt(1 - alpha_bar) * epsilon[i]!) / Math.sqrt(alpha_bar);
    return Math.min(Math.max(d, -limit), limit);
  });
  const next = denoised.map(
    (d, i) => Math.sqrt(next_alpha_bar) * d + Math.sqrt(1 - next_alpha_bar) * epsilon[i]!,
  );
  return { denoised, next };
}

/** D noised again to the level that it came from, for another call there (ITPS's repeats). */
export const noisedAgain = (denoised: Row, noise: Row, alpha_bar: number): Float64Array =>
  Float64Array.from(
    { length: denoised.length },
    (_, i) => Math.sqrt(alpha_bar) * denoised[i]! + Math.sqrt(1 - alpha_bar) * noise[i]!,
  );
