// Plays a chunk by the clock: action i is in force from stamp + i·period on, so a chunk that arrives late is entered
// where it belongs and rows that are already past are skipped. A newer chunk replaces the older at once.

import type { ActionChunk, Interpolation, Nanoseconds, Rotation } from '../types/index.js';
import { interpolate } from './interpolate.js';

/** Reads the chunk in force at a time stamp, between its rows as `interpolation` says. */
export class ChunkPlayer {
  private chunk: ActionChunk | undefined;
  private period_ns = 0;
  /** Largest jump of the set point at a change of chunk so far, in the unit of the joint. */
  boundary_jump = 0;

  constructor(
    private readonly fallback_period_ns: Nanoseconds,
    private readonly interpolation: Interpolation = 'hold',
    private readonly rotations: readonly Rotation[] = [],
  ) {}

  get current(): ActionChunk | undefined {
    return this.chunk;
  }

  clear(): void {
    this.chunk = undefined;
  }

  accept(chunk: ActionChunk, now_ns: Nanoseconds, scratch: Float64Array): void {
    const before = this.chunk !== undefined && this.at(now_ns, scratch);
    const old = before ? Float64Array.from(scratch) : undefined;
    this.chunk = chunk;
    this.period_ns = chunk.period_ns > 0 ? chunk.period_ns : this.fallback_period_ns;
    if (old !== undefined && this.at(now_ns, scratch))
      for (let i = 0; i < old.length; i++)
        this.boundary_jump = Math.max(this.boundary_jump, Math.abs(scratch[i]! - old[i]!));
  }

  /** Rows of the chunk that are past at `now_ns`; Infinity without a chunk. */
  played(now_ns: Nanoseconds): number {
    return this.chunk === undefined
      ? Number.POSITIVE_INFINITY
      : (now_ns - this.chunk.stamp_ns) / this.period_ns;
  }

  /** Writes the action in force; false when there is none (no chunk, or it is used up). */
  at(now_ns: Nanoseconds, out: Float64Array): boolean {
    const { chunk } = this;
    if (chunk === undefined) return false;
    const position = Math.max(0, (now_ns - chunk.stamp_ns) / this.period_ns);
    if (!(position < chunk.horizon)) return false;
    interpolate(chunk.actions, chunk.horizon, position, this.interpolation, this.rotations, out);
    return true;
  }
}
