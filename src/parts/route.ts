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

/** Where on a row of milestones we are; a value, so that a replay sees the same. */
export interface MilestoneState {
  readonly index: number;
  /** The distance when this milestone became the goal. */
  readonly first: number | undefined;
  /** Steps on end that were near enough. */
  readonly held: number;
  /** The last milestone was reached. */
  readonly done: boolean;
}

/** Before the first embedding. */
export const AT_FIRST: MilestoneState = { index: 0, first: undefined, held: 0, done: false };

/** Where we are after an embedding, and what it came to. */
export interface MilestoneStep extends MilestoneState {
  /** Distance to the goal that was held against, as a share of the first; and whether that goal was reached. */
  readonly ratio: number;
  readonly reached: boolean;
}

/** After one more embedding: which milestone is the goal now. Never goes back. */
export function nextMilestone(
  before: MilestoneState,
  embedding: Row,
  goals: readonly Row[],
  { threshold, delay_steps = 0 }: FollowOptions,
): MilestoneStep {
  if (goals.length === 0) throw new TendonError('input_invalid', 'route: expected at least one milestone');
  const { index } = before;
  const now = distance(embedding, goals[index]!);
  const first = before.first ?? now;
  const ratio = first > 0 ? now / first : 0;
  const held = ratio < threshold ? before.held + 1 : 0;
  if (held <= delay_steps) return { index, first, held, done: before.done, ratio, reached: false };
  const done = index + 1 === goals.length;
  const next = done ? index : index + 1;
  // The last one's ratio begins anew too, as the authors' code has it.
  return { index: next, first: distance(embedding, goals[next]!), held: 0, done, ratio, reached: true };
}
