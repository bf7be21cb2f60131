// Bidirectional decoding's backward coherence (Liu et al. 2025, section 4.2): of the candidates the one nearest to what was
// going to be played.

import type { ActionChunk, Nanoseconds } from '../types/index.js';
import { readAt } from './chunk-time.js';
import type { Chunks } from './ports.js';

/**
 * Minus the squared distance of each candidate to `playing`, row i weighing decay^i; rows that `playing` says nothing of do
 * not count. All 0 where nothing is playing.
 */
export function coherence(
  chunks: Pick<Chunks, 'values' | 'n' | 'horizon' | 'action_dim' | 'stamp_ns' | 'period_ns'>,
  playing: ActionChunk | undefined,
  decay: number,
  fallback_ns: Nanoseconds = chunks.period_ns,
): Float64Array {
  const { values, n, horizon, action_dim, stamp_ns } = chunks;
  const scores = new Float64Array(n);
  if (playing === undefined) return scores;
  const period_ns = chunks.period_ns > 0 ? chunks.period_ns : fallback_ns;
  const size = horizon * action_dim;
  const old = new Float64Array(action_dim);
  let weight = 1;
  for (let row = 0; row < horizon; row++, weight *= decay) {
    if (!readAt(playing, stamp_ns + row * period_ns, fallback_ns, old)) continue;
    for (let c = 0; c < n; c++)
      for (let i = 0; i < action_dim; i++) {
        const apart = values[c * size + row * action_dim + i]! - old[i]!;
        scores[c]! -= weight * apart * apart;
      }
  }
  return scores;
}
