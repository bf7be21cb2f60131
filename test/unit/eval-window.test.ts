// Evaluation shows a policy what the control loop would: n_obs_steps observations a period apart, not a chunk apart.

import { expect, test } from 'vitest';
import { runEpisode } from '../../src/eval/episode.js';
import type { Task, TaskInstance } from '../../src/sim/task.js';
import type { ActionChunk, Observation, Policy } from '../../src/types/index.js';

test.each([
  [10, [-1, 0, 3, 4, 7, 8]],
  // Of a policy at half the task's rate the observation before is two steps back.
  [5, [-1, 0, 2, 4, 6, 8]],
])('at %i Hz, four rows of a chunk at a time', async (rate_hz, steps) => {
  const windows: number[] = [];
  let states = 0;
  const policy = {
    spec: { n_obs_steps: 2, action_dim: 1, n_action_steps: 4, horizon: 8, rate_hz },
    reset: () => undefined,
    infer(window: readonly Observation[], { state }: { state?: { n: number } }): Promise<ActionChunk> {
      windows.push(...window.map(({ values }) => values.x![0]!));
      expect(state?.n ?? 0).toBe(states++);
      const timing = { queue_ns: 0, observe_ns: 0, denoise_ns: 0, total_ns: 0 };
      return Promise.resolve({
        horizon: 8,
        actions: new Float32Array(8),
        timing,
        state: { n: states },
      } as never);
    },
    close: () => undefined,
  } as unknown as Policy;
  let step = 0;
  const env = {
    reset: () => undefined,
    observe: () => ({ x: Float32Array.of(step) }),
    advance: () => {
      step++;
    },
    success: () => step >= 12,
    failed: () => false,
    mode: () => undefined,
  } as unknown as TaskInstance;
  const task = { spec: { rate_hz: 10, max_steps: 100, goal_dim: 0 } } as Task;
  await runEpisode(policy, task, env, 0, 4);
  // The first observation stands for what was before it.
  expect(windows).toEqual(steps.map((s) => Math.max(0, s)));
});
