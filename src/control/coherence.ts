// Chunks that agree with the one in force: real-time chunking (Black et al. 2025, sections 3 and 4; LeRobot's
// RTCProcessor) and bidirectional decoding (Liu et al. 2025, section 4.2).

import { argmax, coherence, periodOf, ROW_SLACK, readAt } from '../parts/index.js';
import type { ActionChunk, ChunkMode, ChunkPrefix, Nanoseconds } from '../types/index.js';
import type { Overlap } from './overlap-kind.js';
import { prefixWeights } from './prefix.js';

/** Weight of each further row where real-time chunking chooses among candidates. */
const COHERENCE_DECAY = 0.5;

/**
 * Real-time chunking: the policy draws the chunk towards what is playing while it denoises. Of several candidates the
 * one that came nearest is taken, as bidirectional decoding does.
 */
export class RealTime implements Overlap {
  readonly candidates: number | undefined;

  constructor(
    private readonly mode: Extract<ChunkMode, { mode: 'rtc' }>,
    private readonly fallback_period_ns: Nanoseconds,
  ) {
    this.candidates = mode.candidates;
  }

  execute(n_action_steps: number): number {
    return n_action_steps;
  }

  merge(arrived: ActionChunk, playing: ActionChunk | undefined): ActionChunk {
    return mostCoherent(arrived, playing, COHERENCE_DECAY, this.fallback_period_ns);
  }

  prefix(
    playing: ActionChunk | undefined,
    stamp_ns: Nanoseconds,
    arrives_ns: Nanoseconds,
  ): ChunkPrefix | undefined {
    if (playing === undefined) return undefined;
    const { action_dim, horizon } = playing;
    const period_ns = periodOf(playing, this.fallback_period_ns);
    const row = new Float64Array(action_dim);
    const left: number[] = [];
    while (left.length < horizon * action_dim) {
      const moment_ns = stamp_ns + (left.length / action_dim) * period_ns;
      if (!readAt(playing, moment_ns, this.fallback_period_ns, row)) break;
      left.push(...row);
    }
    const rows = left.length / action_dim;
    const delay = Math.max(0, Math.ceil((arrives_ns - stamp_ns) / period_ns - ROW_SLACK));
    // Nothing is left by the time it arrives: it may begin anywhere.
    if (rows === 0 || delay >= rows) return undefined;
    const actions = Float32Array.from(left);
    if (this.mode.trained === true) {
      // What is played before the answer comes is decided; the network makes the rest of it.
      if (delay === 0) return undefined;
      return {
        actions,
        weights: Float32Array.from({ length: rows }, (_, i) => (i < delay ? 1 : 0)),
        trained: true,
      };
    }
    const end = Math.max(delay, Math.min(rows, this.mode.execution_horizon ?? rows));
    return {
      actions,
      weights: prefixWeights(this.mode.schedule, delay, end, rows),
      derivative: this.mode.derivative,
    };
  }

  reset(): void {}
}

/** Bidirectional decoding's backward coherence: of the candidates the one nearest to what was going to be played. */
export class Coherent implements Overlap {
  constructor(
    readonly candidates: number,
    private readonly decay: number,
    private readonly fallback_period_ns: Nanoseconds,
  ) {}

  execute(n_action_steps: number): number {
    return n_action_steps;
  }

  merge(arrived: ActionChunk, playing: ActionChunk | undefined): ActionChunk {
    return mostCoherent(arrived, playing, this.decay, this.fallback_period_ns);
  }

  reset(): void {}
}

/** Of several candidates the one that goes on best from what is playing; of a policy that chose among them itself, its own. */
function mostCoherent(
  arrived: ActionChunk,
  playing: ActionChunk | undefined,
  decay: number,
  fallback_ns: Nanoseconds,
): ActionChunk {
  const { candidates, n_candidates, horizon, action_dim, steering } = arrived;
  if (candidates === undefined || playing === undefined || steering?.ruled === true) return arrived;
  const scores = coherence({ ...arrived, values: candidates, n: n_candidates }, playing, decay, fallback_ns);
  const chosen = argmax(scores);
  const size = horizon * action_dim;
  return { ...arrived, chosen, actions: candidates.slice(chosen * size, (chosen + 1) * size) };
}
