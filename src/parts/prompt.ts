// Prompts for policies that follow a direction in a learnt space (HILP, Park et al. 2024): a goal by way of what was seen
// before, or a reward over recorded states.

import { TendonError } from '../types/index.js';
import { mean, norm, type Row, smallest, squaredDistance } from './numbers.js';

/**
 * A midpoint on the way to `goal`: `recursions` times the mean of the k stored states that lie best between here and what
 * was found before. All are φ of states.
 */
export function midpoint(
  stored: readonly Row[],
  here: Row,
  goal: Row,
  { recursions, neighbours }: { readonly recursions: number; readonly neighbours: number },
): Float64Array {
  let target = Float64Array.from(goal);
  for (let i = 0; i < recursions; i++) {
    const reach = stored.map((phi) => Math.max(squaredDistance(phi, here), squaredDistance(phi, target)));
    const best = smallest(reach, neighbours);
    target = Float64Array.from({ length: target.length }, (_, j) => mean(best.map((at) => stored[at]![j]!)));
  }
  return target;
}

/** z = √n·direction of the least squares fit of rewards on φ over recorded states. */
export function rewardPrompt(features: readonly Row[], rewards: Row): Float64Array {
  const n = features[0]?.length ?? 0;
  if (features.length < n || rewards.length !== features.length)
    throw new TendonError(
      'input_invalid',
      `prompt: expected at least ${n} states with a reward each, got ${features.length} and ${rewards.length}`,
    );
  const z = leastSquares(features, rewards, n);
  const length = norm(z);
  if (!(length > 1e-9))
    throw new TendonError(
      'input_invalid',
      'prompt: these rewards do not depend on the states; no direction follows from them',
    );
  return z.map((v) => (v * Math.sqrt(n)) / length);
}

/** By Householder reflections, which keep the precision that normal equations would square away. */
function leastSquares(rows: readonly Row[], values: Row, n: number): Float64Array {
  const m = rows.length;
  const a = rows.map((row) => Float64Array.from(row));
  const b = Float64Array.from(values);
  for (let k = 0; k < n; k++) {
    let length = 0;
    for (let i = k; i < m; i++) length = Math.hypot(length, a[i]![k]!);
    if (length === 0)
      throw new TendonError(
        'input_invalid',
        'prompt: the states do not span the space; record more different ones',
      );
    const v = Float64Array.from({ length: m - k }, (_, i) => a[k + i]![k]!);
    v[0]! += v[0]! >= 0 ? length : -length;
    const squares = v.reduce((s, x) => s + x * x, 0);
    const reflect = (get: (i: number) => number, set: (i: number, x: number) => void): void => {
      let sum = 0;
      for (let i = 0; i < v.length; i++) sum += v[i]! * get(k + i);
      const factor = (2 * sum) / squares;
      for (let i = 0; i < v.length; i++) set(k + i, get(k + i) - factor * v[i]!);
    };
    for (let j = k; j < n; j++)
      reflect(
        (i) => a[i]![j]!,
        (i, x) => {
          a[i]![j] = x;
        },
      );
    reflect(
      (i) => b[i]!,
      (i, x) => {
        b[i] = x;
      },
    );
  }
  const x = new Float64Array(n);
  for (let k = n - 1; k >= 0; k--) {
    let rest = b[k]!;
    for (let j = k + 1; j < n; j++) rest -= a[k]![j]! * x[j]!;
    x[k] = rest / a[k]![k]!;
  }
  return x;
}
