// What a planner would pass over is refused, where it is asked for: at load, in a choice, with an inference.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { physicsPolicy } from '../../src/eval/open-policy.js';
import {
  type LoadOptions,
  loadPolicy,
  type PlanningPolicy,
  type PlanOptions,
} from '../../src/policies/index.js';
import { writeCheckpointOf } from './checkpoints.js';

let dir: string;
let policy: PlanningPolicy;
const SMALL = { steps: 1, candidates: 8 };
beforeAll(async () => {
  dir = writeCheckpointOf('tdmpc2', mkdtempSync(join(tmpdir(), 'tendon-planner-')));
  policy = (await loadPolicy(dir, { sampling: SMALL })) as PlanningPolicy;
});
afterAll(() => {
  policy.close();
  rmSync(dir, { recursive: true, force: true });
});

describe('at load', () => {
  it.each([
    [
      { sampling: { guidance_scale: 2 } },
      /^guidance_scale: tdmpc2 plans with mppi, which has no half .* got 2/,
    ],
    [{ sampling: { eta: 0.5 } }, /^eta: .* adds no noise .*min_std, max_std/],
    [{ sampling: { churn: { s_churn: 3 } } }, /^churn: .* got/],
    [{ sampling: { rtol: 0.1 } }, /^rtol: .* steps and candidates/],
    [{ sampling: { atol: 0.1 } }, /^atol: /],
    [{ sampling: { parallel_tolerance: 1e-3 } }, /^parallel_tolerance: /],
    [{ joins: { derivative: true } }, /^chunks: .* another share than steer/],
    [
      { joins: { prefix: true } },
      /^chunks: .* is not drawn towards a prefix; .* receding, async or ensemble/,
    ],
    [{ joins: { candidates: true } }, /^chunks: .* none to choose among/],
    [{ sampling: { sampler: 'policy', candidates: 4 } }, /^candidates: .* the prior acting alone/],
    [{ sampling: { sampler: 'policy', steps: 4 } }, /^steps: .* the prior acting alone/],
    [
      { sampling: { sampler: 'random-shooting', steps: 4 } },
      /^steps: .* draws once; expected 1, or cem, got 4/,
    ],
  ] as [LoadOptions, RegExp][])('%j', async (options, why) => {
    await expect(loadPolicy(dir, options)).rejects.toThrow(why);
    await expect(loadPolicy(dir, options)).rejects.toMatchObject({ code: 'config_invalid' });
  });

  it('what asks for nothing is no such question', async () => {
    const nothing = { guidance_scale: 1, eta: 0, churn: { s_churn: 0 }, parallel_tolerance: 0 };
    const joins = { prefix: false, derivative: false, candidates: false };
    const plain = await loadPolicy(dir, { joins, sampling: { ...nothing, ...SMALL } });
    expect(plain.choice).toMatchObject({ sampler: 'mppi', ...SMALL });
    plain.close();
  });
});

it('in a choice, which leaves the one in force', async () => {
  await expect(policy.choose({ guidance_scale: 1.5 })).rejects.toThrow(/^guidance_scale/);
  expect(policy.choice).toMatchObject({ sampler: 'mppi', guidance_scale: 1, ...SMALL });
});

describe('with an inference', () => {
  const ofLength = (n: number): Float32Array => new Float32Array(n);
  const observation = () => ({
    stamp_ns: 0,
    values: Object.fromEntries(
      Object.entries(policy.spec.observation_dims).map(([key, n]) => [key, ofLength(n)]),
    ),
  });

  it.each([
    [{ prefix: { actions: ofLength(2), weights: ofLength(1) } }, /^prefix: .* receding, async or ensemble/],
    [{ noise: ofLength(4) }, /^noise: .* reset\(seed\), or of a tape/],
    [{ step_noise: ofLength(4) }, /^step_noise: /],
    [{ candidates: 3 }, /^candidates: .* choose\(\{ candidates \}\)/],
    [{ root_noise: ofLength(3) }, /^root_noise: .* choose tree-search/],
    [
      { goal: { 'observation.goal': ofLength(3) } },
      /^goal: tdmpc2 plans for the reward .* none, got observation.goal/,
    ],
  ] as [PlanOptions, RegExp][])('%j', async (options, why) => {
    await expect(policy.infer(observation(), options)).rejects.toThrow(why);
  });

  it('the prior alone has neither tape nor spread', async () => {
    const prior = (await loadPolicy(dir, { sampling: { sampler: 'policy' } })) as PlanningPolicy;
    await expect(prior.infer(observation(), { explore: true })).rejects.toThrow(/^explore: .* with policy/);
    await expect(prior.infer(observation(), { tape: {} as never })).rejects.toThrow(/^tape: /);
    expect((await prior.infer(observation())).actions.every(Number.isFinite)).toBe(true);
    prior.close();
  });

  it('a refusal leaves the history as it was', async () => {
    policy.reset(3);
    const { actions } = await policy.infer(observation());
    policy.reset(3);
    await expect(policy.infer(observation(), { candidates: 2 })).rejects.toThrow();
    expect((await policy.infer(observation())).actions).toEqual(actions);
  });
});

it('a plan with the simulation as its model refuses the same', async () => {
  expect(() => physicsPolicy('arm', { sampling: { guidance_scale: 2 } })).toThrow(/^guidance_scale: physics/);
  const physics = physicsPolicy('arm', { sampling: SMALL });
  await expect(physics.choose({ guidance_scale: 2 })).rejects.toThrow(/^guidance_scale/);
  const values = Object.fromEntries(
    Object.entries(physics.spec.observation_dims).map(([key, n]) => [key, new Float32Array(n)]),
  );
  const prefix = { actions: new Float32Array(2), weights: Float32Array.of(1) };
  await expect(physics.infer({ stamp_ns: 0, values }, { prefix })).rejects.toThrow(/^prefix: physics/);
  physics.close();
});

it('a policy that does not denoise is refused before its first prefix', async () => {
  const act = writeCheckpointOf('act', join(dir, 'act'));
  await expect(loadPolicy(act, { joins: { prefix: true } })).rejects.toThrow(/act does not denoise/);
  (await loadPolicy(act, { joins: { prefix: false } })).close();
});
