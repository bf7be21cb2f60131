// Planning over the simulation: what an observation says is put into it, threads change nothing, and the arm's task is
// solved by it.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TaskInstance } from '../../src/sim/task.js';

// Its workers are compiled files.
const root = fileURLToPath(new URL('../..', import.meta.url));
const { PhysicsRollouts } = (await import(
  join(root, 'dist/sim/rollouts.js')
)) as typeof import('../../src/sim/rollouts.js');
const { armTask } = (await import(join(root, 'dist/sim/arm.js'))) as typeof import('../../src/sim/arm.js');
const { openPolicy } = (await import(
  join(root, 'dist/eval/open-policy.js')
)) as typeof import('../../src/eval/open-policy.js');
const { runEpisode } = (await import(
  join(root, 'dist/eval/episode.js')
)) as typeof import('../../src/eval/episode.js');

let env: TaskInstance;
let twin: TaskInstance;
beforeAll(async () => {
  env = await armTask.create();
  twin = await armTask.create();
});
afterAll(() => {
  env.dispose();
  twin.dispose();
});

/** Through the noise of an expert's first steps, so that everything moves. */
function underWay(seed: number, steps: number): void {
  env.reset(seed);
  const expert = armTask.expert(seed);
  for (let i = 0; i < steps; i++) env.advance(expert.act(env), 0.05);
}

describe('physics as the world model', () => {
  it.each([5, 60])('recalls what an observation shows, after %i steps', (steps) => {
    underWay(4, steps);
    const seen = env.observe();
    armTask.model!.recall(twin, seen);
    // Offsets from the tip are differences of floats of the order of 1.
    for (const [key, values] of Object.entries(twin.observe()))
      for (const [i, v] of values.entries())
        expect(v, `${key}[${i}] after ${steps}`).toBeCloseTo(seen[key]![i]!, 4);
  });

  it('foresees what will come, but for masses and gains that it cannot see', () => {
    underWay(4, 8);
    armTask.model!.recall(twin, env.observe());
    const target = armTask.expert(4).act(env);
    for (let i = 0; i < 4; i++) for (const e of [env, twin]) e.advance(target, 0.05);
    const [was, foreseen] = [env.jointPosition(), twin.jointPosition()];
    // Servo gains are within a tenth of nominal; the arm moves by some 0.1 rad.
    for (const [i, v] of was.entries()) expect(foreseen[i]).toBeCloseTo(v, 1);
  });

  it('values the same rollouts the same, on any number of threads', async () => {
    underWay(4, 3);
    const values = env.observe();
    const here = env.jointPosition();
    const count = 5;
    const targets = Float32Array.from(
      { length: count * 4 * 6 },
      (_, i) => here[i % 6]! + 0.03 * Math.sin(i * 1.7),
    );
    const one = PhysicsRollouts.open('arm', 1);
    const three = PhysicsRollouts.open('arm', 3);
    const returns = await one.returns(values, targets.slice(), count);
    expect(await three.returns(values, targets.slice(), count)).toEqual(returns);
    expect(new Set(returns).size).toBe(count);
    // What the instances here make of the first of them.
    armTask.model!.recall(twin, values);
    let sum = 0;
    for (let t = 0; t < 4; t++) {
      twin.advance(targets.subarray(6 * t, 6 * t + 6), 0.05);
      sum += armTask.model!.reward(twin);
    }
    expect(returns[0]).toBeCloseTo(sum, 5);
    one.close();
    three.close();
    await expect(three.returns(values, targets, count)).rejects.toThrow('closed');
  });

  it('carries the block to its spot', async () => {
    const policy = await openPolicy('physics:arm', { compute: { threads: 2 } });
    const record = await runEpisode(policy, armTask, env, 2, policy.spec.n_action_steps);
    expect(record.success).toBe(true);
    const chunk = await policy.infer({ stamp_ns: 1, values: env.observe() });
    expect(chunk.scores).toHaveLength(chunk.n_candidates);
    expect(chunk.candidates).toHaveLength(chunk.n_candidates * chunk.actions.length);
    policy.close();
  }, 180_000);

  it('says what a task lacks, and which planners there are', async () => {
    expect(() => PhysicsRollouts.open('pusht', 1)).toThrow('no reward to plan by');
    await expect(openPolicy('physics:arm', { sampling: { sampler: 'tree-search' } })).rejects.toThrow('icem');
  });
});
