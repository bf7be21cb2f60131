// The maze: its plan, the base among walls, seeds and restored states, the expert, a goal that is set.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BASE_RADIUS } from '../../src/sim/base-physics.js';
import { FAR, MAZE_SPEC, type MazeInstance, mazeTask, REACH } from '../../src/sim/maze.js';
import { cellOf, corridor, FREE, middleOf, passes, stepsTo, WALLS } from '../../src/sim/maze-map.js';
import { findTask } from '../../src/sim/tasks.js';

const DT = 1 / MAZE_SPEC.rate_hz;
let env: MazeInstance;
let other: MazeInstance;
beforeAll(async () => {
  env = (await mazeTask.create()) as MazeInstance;
  other = (await mazeTask.create()) as MazeInstance;
});
afterAll(() => {
  env.dispose();
  other.dispose();
});

describe('the plan', () => {
  it('is one piece, and ways are as long as they are counted', () => {
    for (const cell of FREE) expect(stepsTo(FREE[0]!)[cell]).toBeLessThan(40);
    const [a, b] = [FREE[0]!, FREE.at(-1)!];
    const way = corridor(a, b);
    expect(way).toHaveLength(stepsTo(b)[a]! + 1);
    expect([way[0], way.at(-1)]).toEqual([a, b]);
    way.slice(1).forEach((cell, i) => {
      expect(passes(middleOf(way[i]!), middleOf(cell), BASE_RADIUS)).toBe(true);
    });
  });

  it('has no way through walls, and a spot in a wall belongs to the nearest free cell', () => {
    const [x0, y0, x1, y1] = WALLS[0]!;
    expect(passes([x0 - 1, (y0 + y1) / 2], [x1 + 1, (y0 + y1) / 2], 0.01)).toBe(false);
    expect(FREE).toContain(cellOf([x0, y0]));
    for (const cell of FREE) expect(cellOf(middleOf(cell))).toBe(cell);
  });
});

describe('the episode', () => {
  it('is registered, and begins with a far goal at which the base can stand', () => {
    expect(findTask('maze')).toBe(mazeTask);
    for (let seed = 0; seed < 30; seed++) {
      env.reset(seed);
      const { at, goal, touching } = env.view();
      expect(stepsTo(cellOf(goal))[cellOf(at)]).toBeGreaterThanOrEqual(FAR);
      expect(touching).toBe(false);
      expect(passes(goal, goal, BASE_RADIUS)).toBe(true);
      expect(env.observe()['observation.state']).toHaveLength(6);
      expect(env.success()).toBe(false);
    }
  });

  it('goes on bit-exactly from a saved state, in another instance too', () => {
    const expert = mazeTask.expert(0);
    env.reset(21);
    for (let i = 0; i < 20; i++) env.advance(expert.act(env), DT);
    const saved = env.save();
    const tail = (instance: MazeInstance): Uint8Array => {
      for (let i = 0; i < 20; i++) instance.advance(expert.act(instance), DT);
      return instance.save();
    };
    const once = tail(env);
    other.reset(22);
    other.restore(saved);
    expect(tail(other)).toEqual(once);
    env.reset(21);
    for (let i = 0; i < 40; i++) env.advance(expert.act(env), DT);
    expect(env.save()).toEqual(once);
  });

  it('moves as it is told: ahead, round, and no further than a wall', () => {
    const cell = FREE[0]!;
    env.begin(middleOf(cell), 0);
    for (let i = 0; i < 5; i++) env.advance([0, 1], DT);
    expect(env.jointPosition()[1]).toBeCloseTo(1, 2);
    expect(env.view().yaw).toBeGreaterThan(0.8);
    env.begin(middleOf(cell), 0);
    for (let i = 0; i < 3; i++) env.advance([1, 0], DT);
    expect(env.jointPosition()[0]).toBeGreaterThan(0.9);
    const { at } = env.view();
    expect(at[0] - middleOf(cell)[0]).toBeGreaterThan(0.4);
    // Commands beyond ±1 are kept to that, and walls stand.
    for (let i = 0; i < 50; i++) env.advance([100, 0], DT);
    expect(Math.abs(env.view().at[0])).toBeLessThan(6);
    expect(env.view().touching).toBe(true);
  });
});

it('the expert reaches every far goal, from wherever it was led astray', () => {
  const expert = mazeTask.expert(0);
  for (let seed = 5000; seed < 5010; seed++) {
    env.reset(seed);
    for (let i = 0; i < 10; i++) env.advance([1, seed % 2 === 0 ? 0.5 : -0.5], DT);
    for (let i = 0; i < MAZE_SPEC.max_steps && !env.success(); i++) env.advance(expert.act(env), DT);
    expect(env.success(), `seed ${seed}`).toBe(true);
  }
});

it('a goal that is set is moved to where the base can stand, and takes success back', () => {
  env.reset(1);
  env.setGoal([0, 0]);
  const { goal } = env.view();
  expect(passes(goal, goal, BASE_RADIUS)).toBe(true);
  env.begin([goal[0] - REACH / 2, goal[1]], 0);
  env.advance([0, 0], DT);
  expect(env.success()).toBe(true);
  env.setGoal([4.5, -3]);
  expect(env.success()).toBe(false);
  const poses = new Float32Array(7 * env.shapes.length);
  env.poses(poses);
  expect([...poses.slice(-7, -5)]).toEqual([...Float32Array.from(env.goal())]);
});
