// What is commanded between the rows of a chunk, when commands are more frequent than rows: of joints as the executor's
// thread has it (native/drive/track.h), and of orientations.

import { addon } from '../native/index.js';
import type { Interpolation, Rotation } from '../types/index.js';
import { fromQuaternion, slerp, toQuaternion } from './pose.js';

/**
 * Writes what is to be commanded at `position` (in rows, 0 ≤ position < rows) of `actions` (rows, dim). `hold`: the row in
 * force, as in training. `linear`: straight lines. `cubic`: Hermite with the slopes of neighbouring rows (Catmull and Rom
 * 1974), continuous in speed. `quintic`: Hermite with their slopes and second differences, continuous in acceleration.
 * The last row is reached at rest. Orientations turn steadily the shorter way, whatever the rest does.
 */
export function interpolate(
  actions: Float32Array,
  rows: number,
  position: number,
  how: Interpolation,
  rotations: readonly Rotation[],
  out: Float64Array,
): void {
  addon().interpolate(actions, rows, position, how, out);
  const row = Math.floor(position);
  const u = how === 'hold' || row + 1 >= rows ? 0 : position - row;
  if (u === 0) return;
  const here = row * out.length;
  for (const { at, as } of rotations) {
    const from = toQuaternion(actions, here + at, as);
    const to = toQuaternion(actions, here + out.length + at, as);
    fromQuaternion(slerp(from, to, u), out, at, as);
  }
}
