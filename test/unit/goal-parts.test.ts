// Parts that say where to go, by hand-worked cases: assignment, the progress monitor, places of a drive, growing maps, rendezvous.

import { describe, expect, it } from 'vitest';
import {
  agree,
  assignGreedily,
  assignOptimally,
  CellMap,
  FREE_CELL,
  frontierScores,
  locate,
  mustLeave,
  type Progress,
  placesOf,
  progressed,
  WALL_CELL,
} from '../../src/parts/index.js';
import { Random } from '../../src/sim/random.js';

describe('assignment', () => {
  const total = (scores: number[][], given: readonly number[]): number =>
    given.reduce((sum, task, robot) => sum + (task < 0 ? 0 : scores[robot]![task]!), 0);

  it('greedily takes the best pair first; optimally the best sum', () => {
    const scores = [
      [10, 9],
      [9, 1],
    ];
    expect(assignGreedily(scores)).toEqual([0, 1]);
    expect(assignOptimally(scores)).toEqual([1, 0]);
  });

  it('optimally equals trying every assignment, for more robots, more tasks, and pairs that are forbidden', () => {
    const random = new Random(3);
    for (let trial = 0; trial < 200; trial++) {
      const [robots, tasks] = [1 + Math.floor(4 * random.next()), 1 + Math.floor(4 * random.next())];
      const scores = Array.from({ length: robots }, () =>
        Array.from({ length: tasks }, () => (random.next() < 0.2 ? Number.NaN : random.uniform(-50, 50))),
      );
      let best = { count: -1, sum: Number.NEGATIVE_INFINITY };
      const tryAll = (robot: number, used: ReadonlySet<number>, count: number, sum: number): void => {
        if (robot === robots) {
          if (count > best.count || (count === best.count && sum > best.sum)) best = { count, sum };
          return;
        }
        tryAll(robot + 1, used, count, sum);
        for (let task = 0; task < tasks; task++)
          if (!used.has(task) && Number.isFinite(scores[robot]![task]!))
            tryAll(robot + 1, new Set([...used, task]), count + 1, sum + scores[robot]![task]!);
      };
      tryAll(0, new Set(), 0, 0);
      const given = assignOptimally(scores);
      const taken = given.filter((task) => task >= 0);
      expect(new Set(taken).size).toBe(taken.length);
      expect(taken.length).toBe(best.count);
      expect(total(scores, given)).toBeCloseTo(best.sum, 9);
      expect(assignGreedily(scores).every((task, r) => task < 0 || Number.isFinite(scores[r]![task]!))).toBe(
        true,
      );
    }
  });

  it('gives nobody anything where there is nothing, and refuses rows of different lengths', () => {
    expect(assignOptimally([[], []])).toEqual([-1, -1]);
    expect(assignGreedily([])).toEqual([]);
    expect(() => assignOptimally([[1], [1, 2]])).toThrow(/a score for each of 1 tasks/);
  });
});

describe('progress', () => {
  const options = { reached_steps: 2, reached_for: 2, stall_after: 3, lost_steps: 10 };
  const states = (distances: readonly number[], off?: readonly number[]): string[] => {
    let now: Progress | undefined;
    return distances.map((d, i) => {
      now = progressed(now, d, options, off?.[i]);
      return now.state;
    });
  };

  it('is on the way while the distance falls, stalled when it does not, and on the way again', () => {
    expect(states([20, 18, 18, 17.5, 18, 18, 16])).toEqual([
      'on the way',
      'on the way',
      'on the way',
      'on the way',
      'stalled',
      'stalled',
      'on the way',
    ]);
  });

  it('is reached when it was close for long enough, and stays so', () => {
    expect(states([5, 1, 5, 1, 1, 9])).toEqual([...Array(4).fill('on the way'), 'reached', 'reached']);
  });

  it('is off the route where no place is near, and blind eyes never reach anything', () => {
    expect(states([20, 19, 18], [1, 11, 2])).toEqual(['on the way', 'off the route', 'on the way']);
    expect(states([Number.NaN, Number.NaN, Number.NaN, Number.NaN]).at(-1)).toBe('stalled');
    expect(states([20], [Number.NaN])).toEqual(['off the route']);
  });
});

describe('places of a drive', () => {
  const options = { window: 1, close: 0.5, lost: 1.5 };
  const to = (x: number): number[] => [0, 1, 2, 3].map((place) => Math.abs(place - x));

  it('go on one by one, do not jump beyond the window, and end at the last', () => {
    expect(locate(to(0.1), undefined, options)).toMatchObject({ at: 0, subgoal: 1, done: false });
    expect(locate(to(0.8), 0, options)).toMatchObject({ at: 1, subgoal: 2 });
    // A place that looks alike further on is not believed.
    expect(locate([1, 0.9, 0.9, 0], 0, options).at).toBe(1);
    expect(locate(to(2.8), 2, options)).toMatchObject({ at: 3, subgoal: 3, done: true });
  });

  it('are looked for everywhere when nothing in the window is near, and lost where nothing is', () => {
    expect(locate(to(3), 0, options)).toMatchObject({ at: 3, lost: false });
    expect(locate(to(9), 1, options)).toMatchObject({ at: 3, lost: true, done: false });
    expect(locate([Number.NaN, Number.NaN], 0, options).lost).toBe(true);
  });

  it('lie apart', () => {
    const x = [0, 0.2, 0.4, 0.9, 1.1, 1.9, 2];
    expect(placesOf(x.length, 0.8, (a, b) => Math.abs(x[a]! - x[b]!))).toEqual([0, 3, 5, 6]);
    expect(placesOf(0, 1, () => 0)).toEqual([]);
  });
});

describe('a growing map', () => {
  /** Known: the first three cells of a corridor of five, walls beside it. */
  function corridor(): CellMap {
    const map = new CellMap(5, 3);
    map.cells.fill(WALL_CELL);
    for (const cell of [5, 6, 7]) map.cells[cell] = FREE_CELL;
    for (const cell of [8, 9]) map.cells[cell] = -1;
    return map;
  }

  it('has its frontier where the unknown begins, worth less the further it is', () => {
    const map = corridor();
    expect(map.frontiers()).toEqual([7]);
    expect([...frontierScores(map, 5, [7])]).toEqual([1 - 2]);
    expect(map.way(5, 7)).toEqual([5, 6, 7]);
    expect(map.way(5, 9)).toBeUndefined();
    expect([...frontierScores(map, 4, [7])]).toEqual([Number.NEGATIVE_INFINITY]);
  });

  it('takes over what another knows, and never forgets by that', () => {
    const [map, other] = [corridor(), new CellMap(5, 3)];
    other.cells[8] = FREE_CELL;
    map.merge(other);
    expect(map.frontiers()).toEqual([8]);
    expect(map.way(5, 8)).toEqual([5, 6, 7, 8]);
    expect(() => map.merge(new CellMap(4, 3))).toThrow(/4 × 3/);
  });

  it('meets in the middle, and leaves in time', () => {
    const map = corridor();
    const meeting = agree(map, 5, 7, 100, 60)!;
    expect(meeting).toEqual({ cell: 6, at_s: 160 });
    expect(mustLeave(map, 5, meeting, 150, 5)).toBe(false);
    expect(mustLeave(map, 5, meeting, 155, 5)).toBe(true);
    expect(mustLeave(map, 9, meeting, 100, 5)).toBe(true);
    expect(agree(map, 5, 4, 0, 10)).toBeUndefined();
  });
});
