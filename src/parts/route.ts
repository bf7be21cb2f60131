// Routes: an ordered memory of goals. Milestones are cut from one demonstration by UVD's rule (Zhang et al. 2024); a follower
// says which of them is the present goal.

import { TendonError } from '../types/index.js';
import { distance, type Row } from './numbers.js';

/** How milestones are found along a demonstration (UVD, Zhang et al. 2024). */
export interface MilestoneOptions {
  /** Steps that lie between two milestones at least (18). */
  readonly min_interval: number;
  /** Of the kernel exp(−γ·Δt²) that smooths the distance curve (0.08). */
  readonly gamma: number;
}

/** Nadaraya–Watson regression of `values` on their index. */
export function smoothed(values: Row, gamma: number): Float64Array {
  return Float64Array.from({ length: values.length }, (_, t) => {
    let [sum, weights] = [0, 0];
    for (let u = 0; u < values.length; u++) {
      const weight = Math.exp(-gamma * (t - u) ** 2);
      sum += weight * values[u]!;
      weights += weight;
    }
    return sum / weights;
  });
}

/** Distance of each embedding up to `end` to the one at `end`, smoothed. */
export const distanceCurve = (embeddings: readonly Row[], end: number, gamma: number): Float64Array =>
  smoothed(
    embeddings.slice(0, end + 1).map((e) => distance(e, embeddings[end]!)),
    gamma,
  );

/**
 * Steps of a demonstration that are goals on the way, ascending; the last is its end. From the end backwards: where the smoothed
 * distance to the goal last had a maximum, the next earlier goal was reached.
 */
export function milestones(embeddings: readonly Row[], { min_interval, gamma }: MilestoneOptions): number[] {
  const found = [embeddings.length - 1];
  for (let end = embeddings.length - 1; end > min_interval; ) {
    const curve = distanceCurve(embeddings, end, gamma);
    const next = lastMaximum(curve, end, min_interval);
    if (next === undefined) break;
    found.unshift(next);
    end = next;
  }
  return found;
}

function lastMaximum(curve: Float64Array, end: number, min_interval: number): number | undefined {
  for (let t = curve.length - 2; t > 0; t--)
    if (curve[t]! > curve[t - 1]! && curve[t]! > curve[t + 1]! && end - t > min_interval && t > min_interval)
      return t;
  return undefined;
}

/** How a route of subgoals is followed. */
export interface FollowOptions {
  /** A milestone is reached when the distance falls below this share of what it was when it became the goal (0.2). */
  readonly threshold: number;
  /** Steps that it must stay so (0). */
  readonly delay_steps?: number;
}

/** Which milestone is the goal now. Never goes back. */
export class MilestoneFollower {
  private at = 0;
  private first: number | undefined;
  private held = 0;
  private finished = false;

  constructor(
    private readonly goals: readonly Row[],
    private readonly options: FollowOptions,
  ) {
    if (goals.length === 0) throw new TendonError('input_invalid', 'route: expected at least one milestone');
  }

  get index(): number {
    return this.at;
  }

  get of(): number {
    return this.goals.length;
  }

  /** Whether the last milestone was reached. */
  get done(): boolean {
    return this.finished;
  }

  /** Takes the present embedding; the ratio to the goal that it was held against, and whether that goal was reached. */
  step(embedding: Row): { readonly ratio: number; readonly reached: boolean; readonly index: number } {
    const now = distance(embedding, this.goals[this.at]!);
    this.first ??= now;
    const ratio = this.first > 0 ? now / this.first : 0;
    this.held = ratio < this.options.threshold ? this.held + 1 : 0;
    const reached = this.held > (this.options.delay_steps ?? 0);
    if (reached) {
      this.finished = this.at + 1 === this.goals.length;
      if (!this.finished) this.at++;
      // The last one's ratio begins anew too, as the authors' code has it.
      this.first = distance(embedding, this.goals[this.at]!);
      this.held = 0;
    }
    return { ratio, reached, index: this.at };
  }
}
