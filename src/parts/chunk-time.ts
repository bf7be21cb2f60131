// Rows of a chunk by time: the only way that chunks are compared or mixed. Chunks off each other's grid are read
// linearly between their rows.

import type { ActionChunk, Nanoseconds } from '../types/index.js';

/** ns between rows. */
export function periodOf(chunk: ActionChunk, fallback_ns: Nanoseconds): Nanoseconds {
  return chunk.period_ns > 0 ? chunk.period_ns : fallback_ns;
}

/** The moment that a row speaks of. */
export function timeOf(chunk: ActionChunk, row: number, fallback_ns: Nanoseconds): Nanoseconds {
  return chunk.stamp_ns + row * periodOf(chunk, fallback_ns);
}

/** Where in the chunk a moment is, in rows. */
export function positionIn(chunk: ActionChunk, moment_ns: Nanoseconds, fallback_ns: Nanoseconds): number {
  return (moment_ns - chunk.stamp_ns) / periodOf(chunk, fallback_ns);
}

/** A thousandth of a row: stamps are whole nanoseconds, periods need not be. */
export const ROW_SLACK = 1e-3;

/** Writes what `chunk` says of `moment_ns`; false outside its first and last row. */
export function readAt(
  chunk: ActionChunk,
  moment_ns: Nanoseconds,
  fallback_ns: Nanoseconds,
  out: Float64Array,
): boolean {
  const position = positionIn(chunk, moment_ns, fallback_ns);
  const last = chunk.horizon - 1;
  if (!(position >= -ROW_SLACK && position <= last + ROW_SLACK)) return false;
  const nearest = Math.round(position);
  const on_grid = Math.abs(position - nearest) <= ROW_SLACK;
  const row = on_grid ? nearest : Math.floor(position);
  const fraction = on_grid ? 0 : position - row;
  for (let i = 0; i < out.length; i++) {
    const here = chunk.actions[row * out.length + i]!;
    const next = fraction > 0 ? chunk.actions[(row + 1) * out.length + i]! : here;
    out[i] = (1 - fraction) * here + fraction * next;
  }
  return true;
}
