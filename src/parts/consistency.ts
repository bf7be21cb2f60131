// Statistical temporal consistency of action chunks (STAC: Agia et al. 2024, Sentinel): what two successive inferences say
// of the same rows, as a maximum mean discrepancy of their candidates.

import { distance, mean, type Row, squaredDistance } from './numbers.js';

/** MMD² with the kernel exp(−d²/β): k̄(a, a) + k̄(b, b) − 2·k̄(a, b). */
export function mmd(a: readonly Row[], b: readonly Row[], beta: number): number {
  const kernel = (x: readonly Row[], y: readonly Row[]): number => {
    let sum = 0;
    for (const p of x) for (const q of y) sum += Math.exp(-squaredDistance(p, q) / beta);
    return sum / (x.length * y.length);
  };
  return kernel(a, a) + kernel(b, b) - 2 * kernel(a, b);
}

/** 2·median(d)² over the pairs of both sets together, the lower of two medians (FAIL-Detect). */
export function medianBandwidth(a: readonly Row[], b: readonly Row[]): number {
  const all = [...a, ...b];
  const distances: number[] = [];
  for (let i = 0; i < all.length; i++)
    for (let j = i + 1; j < all.length; j++) distances.push(distance(all[i]!, all[j]!));
  distances.sort((x, y) => x - y);
  const median = distances[Math.floor((distances.length - 1) / 2)]!;
  return 2 * median * median;
}

/** The rows that both chunks speak of: those of `before` from `executed` on, and as many of `now` from its start. */
export function overlapping(
  before: Row,
  now: Row,
  executed: number,
  horizon: number,
  action_dim: number,
): [Float64Array, Float64Array] {
  const rows = horizon - executed;
  const part = (chunk: Row, first: number): Float64Array =>
    Float64Array.from({ length: rows * action_dim }, (_, i) => chunk[first * action_dim + i]!);
  return [part(before, executed), part(now, 0)];
}

/** Of one candidate each: the mean distance of rows. */
export function rowDistance(before: Row, now: Row, action_dim: number): number {
  const rows = before.length / action_dim;
  const row = (chunk: Row, i: number): number[] =>
    Array.from({ length: action_dim }, (_, j) => chunk[i * action_dim + j]!);
  return mean(Array.from({ length: rows }, (_, i) => distance(row(before, i), row(now, i))));
}

/** Trace of the candidates' covariance (ddof 1). */
export function totalVariance(candidates: readonly Row[]): number {
  const n = candidates.length;
  let sum = 0;
  for (let i = 0; i < candidates[0]!.length; i++) {
    const values = candidates.map((c) => c[i]!);
    const average = mean(values);
    sum += values.reduce((s, v) => s + (v - average) ** 2, 0) / (n - 1);
  }
  return sum;
}
