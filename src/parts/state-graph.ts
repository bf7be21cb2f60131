// A graph over states that were seen before, with a learnt distance for its edges: test-time graph search (TTGS, Nachkov et al.
// 2025). The path's nodes are given to the whole agent as its goals.

import { TendonError } from '../types/index.js';

/** How a graph over states is built (TTGS): which pairs are joined, and how far a long edge is trusted. */
export interface GraphOptions {
  /** Edges longer than this are penalised: d·factor^(d/τ). */
  readonly tau: number;
  readonly penalty_factor: number;
  /** Steps within which a node, or the goal, is near. */
  readonly threshold: number;
  /** Lost when the nearest node of the path is further than this many thresholds. */
  readonly replan_factor: number;
}

/** (n, n) row by row, directed; no edge to oneself. At least 1 step. */
export function edgeWeights(
  distances: ArrayLike<number>,
  n: number,
  { tau, penalty_factor }: GraphOptions,
): Float64Array {
  return Float64Array.from({ length: n * n }, (_, at) => {
    if (at % (n + 1) === 0) return Number.POSITIVE_INFINITY;
    const d = distances[at]!;
    const weight = d <= tau ? d : d * penalty_factor ** (d / tau);
    return Math.max(1, weight);
  });
}

/** Dijkstra over all nodes; the nodes from `from` to `to`, both included. Undefined where there is no way. */
export function shortestPath(
  weights: ArrayLike<number>,
  n: number,
  from: number,
  to: number,
): number[] | undefined {
  const cost = new Float64Array(n).fill(Number.POSITIVE_INFINITY);
  const before = new Int32Array(n).fill(-1);
  const done = new Uint8Array(n);
  cost[from] = 0;
  for (;;) {
    let at = -1;
    for (let i = 0; i < n; i++) if (done[i] === 0 && (at < 0 || cost[i]! < cost[at]!)) at = i;
    if (at < 0 || cost[at] === Number.POSITIVE_INFINITY) return undefined;
    if (at === to) break;
    done[at] = 1;
    for (let i = 0; i < n; i++) {
      const through = cost[at]! + weights[at * n + i]!;
      if (done[i] === 0 && through < cost[i]!) {
        cost[i] = through;
        before[i] = at;
      }
    }
  }
  const path: number[] = [];
  for (let at = to; at >= 0; at = before[at]!) path.unshift(at);
  return path;
}

/** Where on a path the robot is, and what to go for next. */
export interface Followed {
  /** Index into the path; −1: the goal itself. */
  readonly subgoal: number;
  readonly closest: number;
  readonly lost: boolean;
  readonly why: 'goal' | 'furthest_close' | 'fallback_closest+1' | 'fallback_goal';
}

/**
 * Walks a path: which node is the subgoal now. `before` is the node that was nearest last, which never goes back. `to_nodes`: distance
 * from here to each node of the path, `to_goal` to the goal, `end_to_goal` from the last node to it; all in steps.
 */
export function followPath(
  before: number,
  to_nodes: ArrayLike<number>,
  to_goal: number,
  end_to_goal: number,
  { threshold, replan_factor }: GraphOptions,
): Followed {
  const { length } = to_nodes;
  if (length < 1) throw new TendonError('input_invalid', 'route: a path has at least one node');
  let closest = before;
  for (let i = before; i < length; i++) if (to_nodes[i]! < to_nodes[closest]!) closest = i;
  const lost = !(to_nodes[closest]! <= replan_factor * threshold);
  const found = (subgoal: number, why: Followed['why']): Followed => ({ subgoal, closest, lost, why });
  if (to_goal <= threshold) return found(-1, 'goal');
  for (let i = length - 1; i > closest; i--) if (to_nodes[i]! < threshold) return found(i, 'furthest_close');
  const last = length - 1;
  const next = Math.min(closest + 1, last);
  const beyond = next === last && end_to_goal > threshold;
  return found(beyond ? -1 : next, beyond || closest === last ? 'fallback_goal' : 'fallback_closest+1');
}
