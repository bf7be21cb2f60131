// What is played where a chunk that arrives overlaps those before it. Stands between inference and the player; all
// overlap is by time stamp, so a row is only ever mixed with what was said about the same moment. Chunks off each
// other's grid are read linearly between their rows. Facts: LeRobot's async_inference (aggregation) and ACT (ensemble).

import type { ActionChunk, ChunkMode, ChunkPrefix, Nanoseconds, PrefixSchedule } from '../types/index.js';
import { prefixWeights } from './prefix.js';

/** Share of the chunk that is playing in the rows that both speak of; the rest is the arriving one's. */
const AGGREGATES = {
  weighted_average: 0.3,
  latest_only: 0,
  average: 0.5,
  conservative: 0.7,
} as const;

export interface Overlap {
  /** Rows to play before the next inference, when nobody says. */
  execute(n_action_steps: number, horizon: number): number;
  /** The chunk to play: stamp, period and shape of `arrived`. `playing` is what was returned before, if in force. */
  merge(arrived: ActionChunk, playing: ActionChunk | undefined): ActionChunk;
  /** Nothing said before counts any more. */
  reset(): void;
  /** Candidates to draw for a choice among them. */
  readonly candidates?: number;
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
      for (let i = 0; i < action_dim; i++) actions[row * action_dim + i] = mean[i]! / weights;
    }
    return { ...arrived, actions };
  }

  reset(): void {
    this.said = [];
  }
}

/** Real-time chunking: the policy makes the chunks agree, here they only follow each other. */
class RealTime implements Overlap {
  constructor(
    private readonly schedule: PrefixSchedule,
    private readonly execution_horizon: number,
    private readonly fallback_period_ns: Nanoseconds,
  ) {}

  execute(n_action_steps: number): number {
    return n_action_steps;
  }

  merge(arrived: ActionChunk): ActionChunk {
    return arrived;
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
    const end = Math.max(delay, Math.min(rows, this.execution_horizon));
    return {
      actions: Float32Array.from(left),
      weights: prefixWeights(this.schedule, delay, end, rows),
    };
  }

  reset(): void {}
}

/** Bidirectional decoding's backward coherence: of the candidates the one nearest to what was going to be played. */
class Coherent implements Overlap {
  constructor(
    readonly candidates: number,
    private readonly decay: number,
    private readonly fallback_period_ns: Nanoseconds,
  ) {}

  execute(n_action_steps: number): number {
    return n_action_steps;
  }

  merge(arrived: ActionChunk, playing: ActionChunk | undefined): ActionChunk {
    const { candidates, n_candidates, horizon, action_dim } = arrived;
    if (candidates === undefined || playing === undefined) return arrived;
    const size = horizon * action_dim;
    const distance = new Float64Array(n_candidates);
    const old = new Float64Array(action_dim);
    let weight = 1;
    for (let row = 0; row < horizon; row++, weight *= this.decay) {
      const moment_ns = timeOf(arrived, row, this.fallback_period_ns);
      if (!readAt(playing, moment_ns, this.fallback_period_ns, old)) continue;
      for (let c = 0; c < n_candidates; c++)
        for (let i = 0; i < action_dim; i++) {
          const apart = candidates[c * size + row * action_dim + i]! - old[i]!;
          distance[c]! += weight * apart * apart;
        }
    }
    const chosen = distance.indexOf(Math.min(...distance));
    return { ...arrived, chosen, actions: candidates.slice(chosen * size, (chosen + 1) * size) };
  }

  reset(): void {}
}

export function overlapFor(mode: ChunkMode, fallback_period_ns: Nanoseconds): Overlap {
  switch (mode.mode) {
    case 'receding':
      return new Receding();
    case 'async':
      return new Aggregating(AGGREGATES[mode.aggregate], fallback_period_ns);
    case 'ensemble':
      return new Ensemble(mode.coeff, fallback_period_ns);
    case 'rtc':
      return new RealTime(
        mode.schedule,
        mode.execution_horizon ?? Number.POSITIVE_INFINITY,
        fallback_period_ns,
      );
    case 'bid':
      return new Coherent(mode.candidates, mode.decay, fallback_period_ns);
  }
}

function periodOf(chunk: ActionChunk, fallback_ns: Nanoseconds): Nanoseconds {
  return chunk.period_ns > 0 ? chunk.period_ns : fallback_ns;
}

function timeOf(chunk: ActionChunk, row: number, fallback_ns: Nanoseconds): Nanoseconds {
  return chunk.stamp_ns + row * periodOf(chunk, fallback_ns);
}

/** A thousandth of a row: stamps are whole nanoseconds, periods need not be. */
const ROW_SLACK = 1e-3;

/** Writes what `chunk` says of `moment_ns`; false outside its first and last row. */
function readAt(
  chunk: ActionChunk,
  moment_ns: Nanoseconds,
  fallback_ns: Nanoseconds,
  out: Float64Array,
): boolean {
  const position = (moment_ns - chunk.stamp_ns) / periodOf(chunk, fallback_ns);
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
