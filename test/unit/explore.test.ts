// Two simulated bases explore a maze, each with a map of its own. They hear each other only when they are near, share what they have
// seen then, and agree where and when to meet next (src/parts/explore.ts).

import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  agree,
  assignOptimally,
  CellMap,
  FREE_CELL,
  frontierScores,
  mustLeave,
  type Rendezvous,
  WALL_CELL,
} from '../../src/parts/index.js';
import { BASE_RADIUS } from '../../src/sim/base-physics.js';
import { type MazeInstance, mazeTask } from '../../src/sim/maze.js';
import { COLUMNS, cellOf, FREE, middleOf, passes, ROWS } from '../../src/sim/maze-map.js';

const TICK_S = 0.2;
/** Nearer than this they hear each other, m. */
const EARSHOT = 1.6;
/** What a cell takes, with turning, s. */
const CELL_S = 3;
const APART_S = 60;

class Explorer {
  readonly map = new CellMap(COLUMNS, ROWS);
  meeting: Rendezvous | undefined;
  target: number | undefined;

  constructor(readonly base: MazeInstance) {}

  get cell(): number {
    return cellOf(this.base.view().at);
  }

  /** The cells around are seen. */
  look(): void {
    const { map, cell } = this;
    for (const seen of [cell, ...map.neighbours(cell)])
      map.cells[seen] = FREE.includes(seen) ? FREE_CELL : WALL_CELL;
  }

  /** To the meeting in time, else to the frontier that is worth most, else nowhere. */
  decide(now_s: number): void {
    const { map, cell, meeting } = this;
    if (meeting !== undefined && mustLeave(map, cell, meeting, now_s, CELL_S)) {
      this.target = meeting.cell;
      return;
    }
    const frontiers = map.frontiers();
    if (this.target !== undefined && frontiers.includes(this.target)) return;
    const scores = [...frontierScores(map, cell, frontiers)];
    this.target = frontiers[scores.indexOf(Math.max(...scores))];
  }

  drive(): void {
    const { base, map, cell, target } = this;
    const way = target === undefined ? undefined : map.way(cell, target);
    const next = way?.[1] ?? way?.[0];
    if (next === undefined) {
      base.advance([0, 0], TICK_S);
      return;
    }
    // Round a corner by the middle of the cell.
    const straight = passes(base.view().at, middleOf(next), BASE_RADIUS + 0.02);
    base.advance(base.pointAction(middleOf(straight ? next : cell)), TICK_S);
  }
}

let two: Explorer[] = [];
beforeAll(async () => {
  two = await Promise.all([0, 1].map(async () => new Explorer((await mazeTask.create()) as MazeInstance)));
});
afterAll(() => {
  for (const { base } of two) base.dispose();
});

it('they see the whole maze between them, out of earshot most of the time, and meet when they agreed to', () => {
  const [a, b] = two as [Explorer, Explorer];
  a.base.begin(middleOf(FREE[0]!), 0);
  b.base.begin(middleOf(FREE[1]!), 0);
  const late_s: number[] = [];
  let [apart, differed] = [0, 0];
  const whole = ({ map }: Explorer): boolean => FREE.every((cell) => map.cells[cell] === FREE_CELL);
  let now_s = 0;
  for (; now_s < 900 && !(whole(a) && whole(b)); now_s += TICK_S) {
    for (const explorer of two) explorer.look();
    const [p, q] = [a.base.view().at, b.base.view().at];
    if (Math.hypot(p[0] - q[0], p[1] - q[1]) < EARSHOT) {
      a.map.merge(b.map);
      b.map.merge(a.map);
      const isDue = a.meeting === undefined || now_s >= a.meeting.at_s - 20;
      if (isDue) {
        if (a.meeting !== undefined) late_s.push(now_s - a.meeting.at_s);
        a.meeting = agree(a.map, a.cell, b.cell, now_s, APART_S);
        b.meeting = a.meeting;
        // Who goes to which frontier is agreed as well.
        const frontiers = a.map.frontiers();
        const given = assignOptimally(two.map(({ map, cell }) => frontierScores(map, cell, frontiers)));
        two.forEach((explorer, i) => {
          explorer.target = given[i]! < 0 ? undefined : frontiers[given[i]!];
        });
      }
    } else {
      apart++;
      if (a.map.cells.some((cell, i) => cell !== b.map.cells[i])) differed++;
    }
    for (const explorer of two) {
      explorer.decide(now_s);
      explorer.drive();
    }
  }
  expect(whole(a) && whole(b)).toBe(true);
  expect(apart * TICK_S).toBeGreaterThan(0.5 * now_s);
  expect(differed).toBeGreaterThan(100);
  // They met again at least once, and never much after the time that they had agreed on.
  expect(late_s.length).toBeGreaterThan(0);
  expect(Math.max(...late_s)).toBeLessThan(15);
});
