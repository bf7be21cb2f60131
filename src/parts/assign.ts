// Who does what: robots to tasks by scores, higher is better; a score that is not finite forbids. Greedily, as a manager that
// takes the best pair that is free, one after another; or optimally (Kuhn 1955, in the shortest-path form of Jonker and Volgenant
// 1987, cubic).

import { TendonError } from '../types/index.js';
import type { Row } from './numbers.js';

/** Task of each robot, −1: none. Each task goes to one robot at most. */
export type Assignment = readonly number[];

function widthOf(scores: readonly Row[]): number {
  const tasks = scores[0]?.length ?? 0;
  if (scores.some((row) => row.length !== tasks))
    throw new TendonError(
      'input_invalid',
      `assign: expected a score for each of ${tasks} tasks from every robot, got ${scores.map((row) => row.length).join(', ')}`,
    );
  return tasks;
}

/** The best pair that is left, until none is. Equal scores go to the first robot, then the first task. */
export function assignGreedily(scores: readonly Row[]): Assignment {
  const tasks = widthOf(scores);
  const given = scores.map(() => -1);
  const taken = new Set<number>();
  for (;;) {
    let best: [robot: number, task: number] | undefined;
    scores.forEach((row, robot) => {
      if (given[robot] !== -1) return;
      for (let task = 0; task < tasks; task++)
        if (!taken.has(task) && Number.isFinite(row[task]!))
          if (best === undefined || row[task]! > scores[best[0]]![best[1]]!) best = [robot, task];
    });
    if (best === undefined) return given;
    given[best[0]] = best[1];
    taken.add(best[1]);
  }
}

/** As many robots as possible get a task, and of all such assignments the one with the greatest sum. */
export function assignOptimally(scores: readonly Row[]): Assignment {
  const tasks = widthOf(scores);
  const robots = scores.length;
  const n = Math.max(robots, tasks);
  const finite = scores.flatMap((row) => Array.from(row).filter(Number.isFinite));
  const spread = finite.reduce((most, v) => Math.max(most, Math.abs(v)), 1);
  // More than any sum of allowed scores can make up for.
  const forbidden = 4 * (n + 1) * spread;
  const cost = (robot: number, task: number): number => {
    const score = scores[robot]?.[task];
    return score === undefined || !Number.isFinite(score) ? forbidden : -score;
  };
  const robotOf = shortestAugmenting(n, cost);
  const given = new Array<number>(robots).fill(-1);
  robotOf.forEach((robot, task) => {
    if (robot < robots && task < tasks && Number.isFinite(scores[robot]![task]!)) given[robot] = task;
  });
  return given;
}

/** The row of each column in a square assignment of least cost. */
function shortestAugmenting(n: number, cost: (row: number, column: number) => number): number[] {
  const u = new Float64Array(n + 1);
  const v = new Float64Array(n + 1);
  // Column n stands for "not yet".
  const rowOf = new Array<number>(n + 1).fill(-1);
  for (let row = 0; row < n; row++) {
    rowOf[n] = row;
    const least = new Float64Array(n + 1).fill(Number.POSITIVE_INFINITY);
    const before = new Int32Array(n + 1).fill(n);
    const done = new Uint8Array(n + 1);
    let column = n;
    while (rowOf[column] !== -1) {
      done[column] = 1;
      const here = rowOf[column]!;
      let delta = Number.POSITIVE_INFINITY;
      let next = -1;
      for (let j = 0; j < n; j++) {
        if (done[j] === 1) continue;
        const reduced = cost(here, j) - u[here]! - v[j]!;
        if (reduced < least[j]!) {
          least[j] = reduced;
          before[j] = column;
        }
        if (least[j]! < delta) {
          delta = least[j]!;
          next = j;
        }
      }
      for (let j = 0; j <= n; j++) {
        if (done[j] === 1) {
          u[rowOf[j]!]! += delta;
          v[j]! -= delta;
        } else least[j]! -= delta;
      }
      column = next;
    }
    while (column !== n) {
      const previous = before[column]!;
      rowOf[column] = rowOf[previous]!;
      column = previous;
    }
  }
  return rowOf.slice(0, n);
}
