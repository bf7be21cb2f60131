// What is played where a chunk that arrives overlaps those before it. Stands between inference and the player; all
// overlap is by time stamp, so a row is only ever mixed with what was said about the same moment. Facts: LeRobot's async_inference (aggregation) and ACT (ensemble).

import { readAt, timeOf } from '../parts/index.js';
import type { ActionChunk, ChunkMode, Nanoseconds } from '../types/index.js';
import { Coherent, RealTime } from './coherence.js';
import type { Overlap } from './overlap-kind.js';

/** Share of the chunk that is playing in the rows that both speak of; the rest is the arriving one's. */
const AGGREGATES = {
  weighted_average: 0.3,
  latest_only: 0,
  average: 0.5,
  conservative: 0.7,
} as const;

/** A chunk replaces the one before it. */
class Receding implements Overlap {
  execute(n_action_steps: number): number {
    return n_action_steps;
  }
  merge(arrived: ActionChunk): ActionChunk {
    return arrived;
  }
  reset(): void {}
}

/** LeRobot's asynchronous queue: asks at half a chunk, and mixes old and new in fixed shares. */
class Aggregating implements Overlap {
  constructor(
    private readonly old_share: number,
    private readonly fallback_period_ns: Nanoseconds,
  ) {}

  execute(n_action_steps: number, horizon: number): number {
    return Math.min(n_action_steps, Math.ceil(horizon / 2));
  }

  merge(arrived: ActionChunk, playing: ActionChunk | undefined): ActionChunk {
    if (playing === undefined || this.old_share === 0) return arrived;
    const { action_dim, horizon } = arrived;
    const actions = Float32Array.from(arrived.actions);
    const old = new Float64Array(action_dim);
    for (let row = 0; row < horizon; row++) {
      if (!readAt(playing, timeOf(arrived, row, this.fallback_period_ns), this.fallback_period_ns, old))
        continue;
      for (let i = 0, at = row * action_dim; i < action_dim; i++, at++)
        actions[at] = this.old_share * old[i]! + (1 - this.old_share) * arrived.actions[at]!;
    }
    return { ...arrived, actions };
  }

  reset(): void {}
}

/** Chunks the ensemble remembers; ACT's 100-row chunk asked for at every row needs as many. */
const REMEMBERED = 128;

/** ACT's temporal ensemble: mean of all chunks that speak of a moment, weights exp(−c·i), i = 0 the oldest. */
class Ensemble implements Overlap {
  private said: ActionChunk[] = [];

  constructor(
    private readonly coeff: number,
    private readonly fallback_period_ns: Nanoseconds,
  ) {}

  execute(): number {
    return 1;
  }

  merge(arrived: ActionChunk): ActionChunk {
    const { action_dim, horizon } = arrived;
    const period_ns = this.fallback_period_ns;
    this.said = this.said.filter(
      (chunk) => timeOf(chunk, chunk.horizon - 1, period_ns) >= arrived.stamp_ns - 1,
    );
    this.said.push(arrived);
    if (this.said.length > REMEMBERED) this.said.shift();
    const actions = new Float32Array(horizon * action_dim);
    const mean = new Float64Array(action_dim);
    const one = new Float64Array(action_dim);
    for (let row = 0; row < horizon; row++) {
      const moment_ns = timeOf(arrived, row, period_ns);
      let spoke = 0;
      let weights = 0;
      mean.fill(0);
      for (const chunk of this.said) {
        if (!readAt(chunk, moment_ns, period_ns, one)) continue;
        const weight = Math.exp(-this.coeff * spoke++);
        weights += weight;
        for (let i = 0; i < action_dim; i++) mean[i]! += weight * one[i]!;
      }
      // A stamp or period so odd that the moment is rounded out of every chunk: the row as it came.
      for (let i = 0, at = row * action_dim; i < action_dim; i++, at++)
        actions[at] = spoke > 0 ? mean[i]! / weights : arrived.actions[at]!;
    }
    return { ...arrived, actions };
  }

  reset(): void {
    this.said = [];
  }
}

/** The overlap of a mode of the robot file; `fallback_period_ns` is the row period of chunks that say none. */
export function overlapFor(mode: ChunkMode, fallback_period_ns: Nanoseconds): Overlap {
  switch (mode.mode) {
    case 'receding':
      return new Receding();
    case 'async':
      return new Aggregating(AGGREGATES[mode.aggregate], fallback_period_ns);
    case 'ensemble':
      return new Ensemble(mode.coeff, fallback_period_ns);
    case 'rtc':
      return new RealTime(mode, fallback_period_ns);
    case 'bid':
      return new Coherent(mode.candidates, mode.decay, fallback_period_ns);
  }
}
