// The learned world model of the arm as it is shipped: what it foresees is what the simulation then does, and planning
// through it solves the task.

import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it, test } from 'vitest';
import { runEpisode } from '../../src/eval/episode.js';
import { addon } from '../../src/native/index.js';
import { Imagination, loadPolicy } from '../../src/policies/index.js';
import { armTask } from '../../src/sim/arm.js';
import type { TaskInstance } from '../../src/sim/task.js';

const dir = fileURLToPath(new URL('../../models/arm-world', import.meta.url));
/** Rows that are rolled out: half of what is planned ahead. */
const STEPS = 5;

let env: TaskInstance;
beforeAll(async () => {
  env = await armTask.create();
});
afterAll(() => env.dispose());

test.each([
  ['on the way', 5],
  ['beside the post', 14],
  ['above the spot', 40],
])('foresees what the expert earns %s', async (_, begin) => {
  const model = await Imagination.open(dir, STEPS, new (addon().Pool)({ threads: 1 }));
  env.reset(11);
  const expert = armTask.expert(11);
  for (let i = 0; i < begin; i++) env.advance(expert.act(env), 0.05);
  const observation = { stamp_ns: 0, values: env.observe() };
  const actions = new Float32Array(STEPS * 6);
  const earned: number[] = [];
  for (let t = 0; t < STEPS; t++) {
    const target = expert.act(env);
    actions.set(target, 6 * t);
    env.advance(target, 0.05);
    earned.push(armTask.model!.reward(env));
  }
  const { reward } = await model.imagine(observation, actions);
  // A tenth of what a period on the way costs; masses and gains are not seen.
  for (const [t, r] of earned.entries())
    expect(Math.abs(reward[t]! - r), `row ${t}: ${r}`).toBeLessThan(0.15);
});

it('carries the block to its spot', async () => {
  const policy = await loadPolicy(dir, { compute: { threads: 2 } });
  const { n_action_steps } = policy.spec;
  const seeds = [1, 2, 3, 4, 5, 6];
  const won: number[] = [];
  for (const seed of seeds)
    if ((await runEpisode(policy, armTask, env, seed, n_action_steps)).success) won.push(seed);
  policy.close();
  // At nineteen in twenty, five or more of six are to be expected.
  expect(won.length, `of seeds ${seeds}, these: ${won}`).toBeGreaterThanOrEqual(5);
}, 120_000);
