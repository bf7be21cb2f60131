// `tendon imagine` on a recording made here: what it says of each row adds up to what the planner's own graph says of the
// whole chunk, and the program finds the chunk, prints and plots it.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addon } from '../../src/native/index.js';
import { Imagination, openFamily } from '../../src/policies/index.js';
import { answeredChunk } from '../../src/record/index.js';
import type { ActionChunk, Observation } from '../../src/types/index.js';
import { golden, relativeError } from '../golden/golden.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'tendon-imagine-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const wave = (n: number, scale: number, shift = 0): Float32Array =>
  Float32Array.from({ length: n }, (_, i) => scale * Math.sin(1.3 * i + shift));

function chunkFor(observation: Observation, horizon: number, action_dim: number, shift: number): ActionChunk {
  return {
    stamp_ns: observation.stamp_ns,
    period_ns: 1e8,
    horizon,
    action_dim,
    actions: wave(horizon * action_dim, 0.8, shift),
    n_candidates: 1,
    chosen: 0,
    timing: { queue_ns: 0, observe_ns: 0, denoise_ns: 0, total_ns: 1 },
  };
}

/** Two chunks, 0.5 s apart, as the controller would have recorded them. */
async function record(file: string, states: number, actions: number): Promise<void> {
  const { SessionRecorder } = (await import(
    join(root, 'dist/record/recorder.js')
  )) as typeof import('../../src/record/recorder.js');
  const header = {
    robot: 'tiny',
    joint_names: Array.from({ length: actions }, (_, i) => `j${i}`),
    observation_dims: { 'observation.state': states },
    action_dim: actions,
    policy: { dir: '/models/tiny', family: 'none', n_obs_steps: 1, n_action_steps: 1, horizon: 4 },
    load: {},
    isa: 'reference',
    seed: 7,
    controller: {
      rate_hz: 50,
      position_key: 'observation.state',
      limits: { lower: [-1], upper: [1], velocity: [1] },
      freshness_ms: 100,
      inference_ms: 100,
      lifetime_ms: 100,
    },
  };
  const recorder = await SessionRecorder.open({ file, header }, () => performance.now() * 1e6);
  for (const [k, start_ns] of [0, 5e8].entries()) {
    const observation = { stamp_ns: start_ns + 3, values: { 'observation.state': wave(states, 0.5, k) } };
    recorder.tick(start_ns + 10, 0, observation);
    recorder.asked(start_ns + 11, [observation], undefined);
    recorder.tick(start_ns + 20, 0, { ...observation, stamp_ns: start_ns + 15 });
    recorder.answered(start_ns + 21, 'used', chunkFor(observation, 4, actions, k), '');
  }
  recorder.answered(9e8, 'failed', undefined, 'nothing came');
  await recorder.close();
}

const recordings = { tdmpc2: join(folder, 'tdmpc2.mcap'), ensemble: join(folder, 'ensemble.mcap') };
beforeAll(async () => {
  await record(recordings.tdmpc2, 7, 3);
  await record(recordings.ensemble, 4, 2);
});

const pool = new (addon().Pool)({ threads: 1 });
type Family = Extract<ReturnType<typeof openFamily>, { kind: string }>;
const worldOf = (dir: string): Family => openFamily(dir) as Family;

/** Outputs of the planner's graph, for latents and actions that the test gives. */
async function planned(
  family: Family,
  outputs: string[],
  batch: number,
  inputs: Record<string, Float32Array>,
) {
  const model = await addon().compileModel(family.graph().native, { precision: 'f32', pool });
  const session = await model.openSession({ batch, outputs });
  return (await session.run(inputs)).outputs;
}

describe('a recorded chunk in a world model', () => {
  it('is found with the observation that it answers', async () => {
    const second = await answeredChunk(recordings.tdmpc2, { number: 1 });
    expect(second.observation.stamp_ns).toBe(5e8 + 3);
    expect([...second.observation.values['observation.state']!]).toEqual([...wave(7, 0.5, 1)]);
    expect(second.at_s).toBeCloseTo(0.5, 6);
    expect((await answeredChunk(recordings.tdmpc2, { at_s: 0.2 })).number).toBe(1);
    await expect(answeredChunk(recordings.tdmpc2, { number: 2 })).rejects.toThrow('2 answered chunks');
  });

  it('earns along its rows what the planner sums up, valued by the critics (tdmpc2)', async () => {
    const { dir } = golden('tdmpc2_tiny');
    const { chunk, observation } = await answeredChunk(recordings.tdmpc2, { number: 0 });
    const steps = 3;
    const actions = chunk.actions.slice(0, steps * 3);
    const model = await Imagination.open(dir, steps, pool);
    const found = await model.imagine(observation, actions);
    const family = worldOf(dir);
    const { latent } = await planned(family, ['latent'], 1, {
      state: observation.values['observation.state']!,
    });
    const sum = await planned(family, ['return'], 1, { latent: latent!, actions });
    // f32 sums in another order.
    expect(relativeError([found.return], sum.return!)).toBeLessThan(1e-5);
    const critics = Array.from({ length: family.networks.critics }, (_, i) => `value_${i}`);
    const values = await planned(family, critics, 1, {
      critic_latent: latent!,
      critic_action: actions.slice(0, 3),
    });
    const each = critics.map((name) => values[name]![0]!);
    const mean = each.reduce((a, b) => a + b) / each.length;
    const std = Math.sqrt(each.reduce((s, v) => s + (v - mean) ** 2, 0) / (each.length - 1));
    expect(relativeError([found.value![0]!], [mean])).toBeLessThan(1e-5);
    expect(relativeError([found.uncertainty![0]!], [std])).toBeLessThan(1e-4);
    expect(found.reward).toHaveLength(steps);
    expect(found.cut).toBe(0);
  });

  it('is rolled out many times where the model draws, and its members may disagree (ensemble)', async () => {
    const { dir } = golden('ensemble');
    const { chunk, observation } = await answeredChunk(recordings.ensemble, { number: 1 });
    const actions = chunk.actions.slice(0, 6);
    const found = await (await Imagination.open(dir, 3, pool)).imagine(observation, actions);
    const family = worldOf(dir);
    const noise = addon().philoxNormal(0, 0, 0, 32 * 3 * family.networks.draws!);
    const sums = await planned(family, ['return'], 32, {
      latent: observation.values['observation.state']!,
      actions: Float32Array.from({ length: 32 * 6 }, (_, i) => actions[i % 6]!),
      model_noise: noise,
    });
    const mean = sums.return!.reduce((a, b) => a + b) / 32;
    expect(relativeError([found.return], [mean])).toBeLessThan(1e-4);
    expect(found.value).toBeUndefined();
    expect(found.uncertainty!.every((u) => u > 0)).toBe(true);
    expect(found.unsure_of).toContain('member');
  });

  it('counts actions that the model has not learnt', async () => {
    const { dir } = golden('ensemble');
    const { observation } = await answeredChunk(recordings.ensemble, { number: 0 });
    const model = await Imagination.open(dir, 2, pool);
    const wild = await model.imagine(observation, Float32Array.of(3, 0.5, -0.2, -9));
    expect(wild.cut).toBe(2);
    const held = await model.imagine(observation, Float32Array.of(1, 0.5, -0.2, -1));
    expect([...wild.reward]).toEqual([...held.reward]);
    await expect(model.imagine(observation, new Float32Array(3))).rejects.toThrow('2 actions of 2 numbers');
  });
});

describe('tendon imagine', () => {
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [join(root, 'dist/cli/main.js'), 'imagine', ...args], {
      encoding: 'utf8',
      cwd: root,
    });

  it('prints a row for each action and writes a page', () => {
    const html = join(folder, 'imagined.html');
    const model = golden('tdmpc2_tiny').dir;
    const { stdout, status } = run(recordings.tdmpc2, '--model', model, '--at', '0.3', '--html', html);
    expect(status).toBe(0);
    expect(stdout).toContain('chunk 1, 0.50 s into');
    expect(stdout).toContain('/models/tiny');
    expect(stdout.match(/^ +[0-3] +0\.[0-3]00 +-?\d+\.\d{4} /gm)).toHaveLength(4);
    expect(stdout).toContain('standard deviation of the critics');
    const page = readFileSync(html, 'utf8');
    expect(page.match(/<svg/g)).toHaveLength(3);
    expect(page.match(/<circle/g)).toHaveLength(12);
  });

  it.each([
    ['a policy that is no world model', 'models/arm', 'not what comes of them'],
    ['a model of another robot', golden('ensemble').dir, 'takes actions of 2 numbers'],
  ])('refuses %s', (_, model, sentence) => {
    const { stderr, status } = run(recordings.tdmpc2, '--model', model);
    expect(stderr).toContain(sentence);
    expect(status).toBe(2);
  });
});
