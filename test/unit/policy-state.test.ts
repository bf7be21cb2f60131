// What policies carry from one inference to the next is the caller's to keep: nothing of before a hold or reset, and nothing of
// an inference that a reset overtook, is acted on.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type LoadedPolicy, loadPolicy } from '../../src/policies/index.js';
import type { ActionChunk, Observation } from '../../src/types/index.js';
import { writeCheckpointOf } from './checkpoints.js';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'tendon-state-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

async function load(family: string, config: object = {}): Promise<LoadedPolicy> {
  const at = writeCheckpointOf(family, join(dir, `${family}${Math.random()}`));
  const file = join(at, 'config.json');
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ...config }));
  const policy = await loadPolicy(at, { precision: 'f32', threads: 1 });
  policy.reset(7);
  return policy;
}
function seen({ spec }: LoadedPolicy, t: number): Observation {
  const values = Object.entries(spec.observation_dims).map(([key, n]) => [
    key,
    Float32Array.from({ length: n }, (_, i) => Math.sin(t + i)),
  ]);
  const images = Object.entries(spec.image_shapes).map(([key, [channels, height, width]]) => {
    const data = Uint8Array.from(
      { length: channels * height * width },
      (_, i) => 128 + 100 * Math.sin(t + i),
    );
    return [key, { width, height, channels, data }];
  });
  return { stamp_ns: t * 1e8, values: Object.fromEntries(values), images: Object.fromEntries(images) };
}
/** The window at step t of an episode that began at `from`, the first observation being repeated. */
function window(policy: LoadedPolicy, t: number, from = 0): Observation[] {
  const steps = policy.spec.n_obs_steps;
  const all = Array.from({ length: t - from + 1 }, (_, i) => seen(policy, from + i));
  return Array.from({ length: steps }, (_, i) => all[Math.max(0, all.length - steps + i)]!);
}
const noiseOf = (policy: LoadedPolicy) =>
  policy.spec.family === 'beso'
    ? { noise: new Float32Array(policy.spec.n_obs_steps * policy.spec.action_dim).fill(0.3) }
    : {};

describe.each(['beso', 'rssm', 'scalezero', 'tdmpc2'])('%s', (family) => {
  it('carries its state in the answer: one caller’s steps are those of a policy that remembers', async () => {
    const [policy, own] = [await load(family), await load(family)];
    let state: object | undefined;
    for (let t = 0; t < 4; t++) {
      const chunk = await policy.infer(window(policy, t), { ...noiseOf(policy), state });
      const want = await own.infer(seen(own, t), noiseOf(own));
      expect([...chunk.actions]).toEqual([...want.actions]);
      state = chunk.state;
      expect(state).toBeDefined();
    }
  });

  it('begins anew without it, whatever came before', async () => {
    const policy = await load(family);
    const first = await policy.infer(window(policy, 3, 3), { ...noiseOf(policy), state: undefined });
    let state: object | undefined = first.state;
    for (let t = 4; t < 7; t++)
      state = (await policy.infer(window(policy, t, 3), { ...noiseOf(policy), state })).state;
    policy.reset(7);
    const again = await policy.infer(window(policy, 3, 3), { ...noiseOf(policy), state: undefined });
    expect([...again.actions]).toEqual([...first.actions]);
    // Two episodes of one policy keep out of each other's way.
    const other = await policy.infer(window(policy, 4, 3), { ...noiseOf(policy), state: again.state });
    expect(other.actions.every(Number.isFinite)).toBe(true);
  });

  it('an answer that a reset overtook enters no memory', async () => {
    const [policy, fresh] = [await load(family), await load(family)];
    const late = policy.infer(seen(policy, 0), noiseOf(policy));
    policy.reset(7);
    await late;
    policy.reset(7);
    const overtaken = policy.infer(seen(policy, 1), noiseOf(policy));
    await new Promise((resolve) => setImmediate(resolve));
    policy.reset(7);
    await overtaken;
    const got = await policy.infer(seen(policy, 2), noiseOf(policy));
    const want = await fresh.infer(seen(fresh, 2), noiseOf(fresh));
    expect([...got.actions]).toEqual([...want.actions]);
  });
});

describe('ACT’s temporal ensemble', () => {
  const config = { temporal_ensemble_coeff: 0.01, n_action_steps: 1 };
  const rows = (chunk: ActionChunk): number[] => [...chunk.actions];

  it('is the caller’s by time, who is told the coefficient; a state of its own means a bare chunk', async () => {
    const [policy, bare] = [await load('act', config), await load('act')];
    expect(policy.spec.ensemble).toBe(0.01);
    expect(bare.spec.ensemble).toBeUndefined();
    for (let t = 0; t < 3; t++) {
      const chunk = await policy.infer([seen(policy, t)], { state: undefined });
      expect(rows(chunk)).toEqual(rows(await bare.infer([seen(bare, t)])));
    }
  });

  it('is the policy’s, call after call, for a caller without one, and forgets at a reset', async () => {
    const [policy, bare] = [await load('act', config), await load('act')];
    await policy.infer(seen(policy, 0));
    expect(rows(await policy.infer(seen(policy, 1)))).not.toEqual(rows(await bare.infer(seen(bare, 1))));
    policy.reset(7);
    expect(rows(await policy.infer(seen(policy, 1)))).toEqual(rows(await bare.infer(seen(bare, 1))));
  });
});
