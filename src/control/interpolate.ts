// What is commanded between the rows of a chunk, when commands are more frequent than rows. The executor's thread does
// the same in native/chunk/track.cpp; test/unit/interpolate.test.ts compares the two.

import type { Interpolation, Rotation } from '../types/index.js';
import { fromQuaternion, slerp, toQuaternion } from './pose.js';

/**
 * Writes what is to be commanded at `position` (in rows, 0 ≤ position < rows) of `actions` (rows, dim). `hold`: the row in
 * force, as in training. `linear`: straight lines. `cubic`: Hermite with the slopes of neighbouring rows (Catmull and Rom
 * 1974), continuous in speed. `quintic`: Hermite with their slopes and second differences, continuous in acceleration.
 * The last row is reached at rest. Orientations turn steadily the shorter way, whatever the rest does.
 */
export function interpolate(
  actions: ArrayLike<number>,
  rows: number,
  position: number,
  how: Interpolation,
  rotations: readonly Rotation[],
  out: Float64Array,
): void {
  const dim = out.length;
  const row = Math.floor(position);
  const u = how === 'hold' || row + 1 >= rows ? 0 : position - row;
  const here = row * dim;
  for (let j = 0; j < dim; j++) out[j] = actions[here + j]!;
  // On a row exactly nothing else is looked at, not even a neighbour that is not finite.
  if (u === 0) return;
  for (let j = 0; j < dim; j++) {
    const p = actions[here + j]!;
    const next = actions[here + dim + j]!;
    const rise = next - p;
    if (how === 'linear') {
      out[j] = p + u * rise;
      continue;
    }
    const first = row === 0;
    const last = row + 2 >= rows;
    const before = first ? p : actions[here - dim + j]!;
    const after = last ? next : actions[here + 2 * dim + j]!;
    const v0 = first ? rise : (next - before) / 2;
    const v1 = last ? 0 : (after - p) / 2;
    if (how === 'cubic') {
      out[j] = p + u * (v0 + u * (3 * rise - 2 * v0 - v1 + u * (v0 + v1 - 2 * rise)));
      continue;
    }
    const a0 = first ? 0 : next - 2 * p + before;
    const a1 = last ? 0 : after - 2 * next + p;
    const c3 = 10 * rise - 6 * v0 - 4 * v1 - 1.5 * a0 + 0.5 * a1;
    const c4 = -15 * rise + 8 * v0 + 7 * v1 + 1.5 * a0 - a1;
    const c5 = 6 * rise - 3 * v0 - 3 * v1 - 0.5 * a0 + 0.5 * a1;
    out[j] = p + u * (v0 + u * (0.5 * a0 + u * (c3 + u * (c4 + u * c5))));
  }
  for (const { at, as } of rotations) {
    const from = toQuaternion(actions, here + at, as);
    const to = toQuaternion(actions, here + dim + at, as);
    fromQuaternion(slerp(from, to, u), out, at, as);
  }
}
