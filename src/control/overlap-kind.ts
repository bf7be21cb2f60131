// What every way of joining chunks answers (overlap.ts, coherence.ts).

import type { ActionChunk, ChunkPrefix, Nanoseconds } from '../types/index.js';

/** How a new chunk follows the one that is playing: when to ask for it, and what of it to play (docs/chunks.md). */
export interface Overlap {
  /** Rows to play before the next inference, when nobody says. */
  execute(n_action_steps: number, horizon: number): number;
  /** The chunk to play: stamp, period and shape of `arrived`. `playing` is what was returned before, if in force. */
  merge(arrived: ActionChunk, playing: ActionChunk | undefined): ActionChunk;
  /** Nothing said before counts any more. */
  reset(): void;
  /** Candidates to draw for a choice among them; undefined: as many as the policy draws anyway. */
  readonly candidates?: number | undefined;
  /**
   * What a chunk for the observation of `stamp_ns` should be drawn towards, when it is expected to arrive at
   * `arrives_ns`; undefined when nothing is left of `playing` by then.
   */
  prefix?(
    playing: ActionChunk | undefined,
    stamp_ns: Nanoseconds,
    arrives_ns: Nanoseconds,
  ): ChunkPrefix | undefined;
}
