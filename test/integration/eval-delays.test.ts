// The delay table's episodes: the same bytes twice, and without a delay the receding mode is the plain evaluation.

import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { runDelayed } from '../../src/eval/delayed.js';
import { runEpisode } from '../../src/eval/episode.js';
import { loadPolicy } from '../../src/policies/index.js';
import { findTask } from '../../src/sim/tasks.js';

it('is deterministic, and without delay what tendon eval runs', async () => {
  const task = findTask('arm');
  const dir = fileURLToPath(new URL('../../models/arm', import.meta.url));
  const [policy, env] = await Promise.all([loadPolicy(dir, { compute: { threads: 1 } }), task.create()]);
  for (const seed of [0, 1, 2]) {
    const mode = { mode: 'ensemble', coeff: 0.01 } as const;
    const late = await runDelayed(policy, task, env, seed, mode, 4);
    expect(await runDelayed(policy, task, env, seed, mode, 4)).toEqual(late);
    const plain = await runEpisode(policy, task, env, seed, policy.spec.n_action_steps);
    const prompt = await runDelayed(policy, task, env, seed, { mode: 'receding' }, 0);
    expect(prompt.success).toBe(plain.success);
    expect(prompt.max_jump).toBeGreaterThanOrEqual(plain.boundary_jump);
  }
});
