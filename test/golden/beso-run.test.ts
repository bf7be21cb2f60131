// BESO's training folder as it lies: what its hydra configuration is read as, and the chunks of the folder against those of the
// same weights with a config.json and LeRobot's processors.

import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { checkPolicy } from '../../src/inspect/check.js';
import type { OpenOptions } from '../../src/policies/checkpoint.js';
import { convert, writeCheckpoint } from '../../src/policies/convert/index.js';
import type { DenoiserFamily } from '../../src/policies/denoiser-family.js';
import { loadPolicy, openFamily } from '../../src/policies/index.js';
import { writeSafetensors } from '../../src/weights/index.js';
import { writeBesoRun } from './beso-run.js';
import { beso, json } from './beso-small.js';
import { relativeError, withCheckpoint } from './golden.js';

let dir: string;
let said: string[];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tendon-beso-run-'));
  vi.stubEnv('TENDON_CACHE', join(dir, 'cache'));
  said = [];
  vi.spyOn(process, 'emitWarning').mockImplementation((text) => {
    said.push(String(text));
  });
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

const ramp = (length: number, from: number, step: number): number[] =>
  Array.from({ length }, (_, i) => from + i * step);
const STATS = {
  'observation.state': { mean: ramp(10, -0.3, 0.1), std: ramp(10, 0.5, 0.2) },
  action: { min: [-0.4, -0.1], max: [0.2, 0.3] },
};
const MASKED = [2, 5, 6, 7, 8, 9];
const MODES = { STATE: 'MEAN_STD', ENV: 'MEAN_STD', ACTION: 'MIN_MAX' };

/** What the policy of `path` says to a window and a goal, over the growing window of three steps. */
async function chunks(path: string, goal: readonly number[], options: OpenOptions = {}): Promise<number[]> {
  const policy = await loadPolicy(path, { compute: { precision: 'f32' }, ...options });
  const said: number[] = [];
  for (let t = 0; t < 3; t++) {
    const values = {
      'observation.state': beso.get('predict.state').slice(t * 10, t * 10 + 10),
      'observation.goal': Float32Array.from(goal),
    };
    const noise = beso.get('predict.x').slice(0, 2 * policy.spec.n_obs_steps);
    said.push(...(await policy.infer({ stamp_ns: t, values }, { noise })).actions);
  }
  policy.close();
  return said;
}

const weights = join(beso.dir, 'model_state_dict.pth');
const goalOf = (slots: number): number[] =>
  Array.from({ length: slots }, (_, i) => [...beso.get('predict.goal')].map((v) => v / (i + 1) + 0.1)).flat();

test('block-push: scaled by stats.json as by LeRobot’s processors, its goal masked as BESO masks it', async () => {
  const run = writeBesoRun(join(dir, 'run'), 'block_push');
  writeFileSync(join(run, 'stats.json'), JSON.stringify(STATS));
  const goal = goalOf(1);
  const got = await chunks(run, goal);
  expect((openFamily(run) as DenoiserFamily).sampling.defaults).toMatchObject({
    sampler: 'ddim',
    steps: 3,
    guidance_scale: 1,
  });

  await withCheckpoint(weights, { ...json, normalization_mapping: MODES }, async (folder) => {
    const { 'observation.state': state, action } = STATS;
    const named = { 'observation.state': state, 'observation.goal': state, action };
    const tensors = Object.entries(named).flatMap(([key, of]) =>
      Object.entries(of).map(([name, v]) => [
        `${key}.${name}`,
        { shape: [v.length], values: Float32Array.from(v) },
      ]),
    );
    writeSafetensors(join(folder, 'stats.safetensors'), Object.fromEntries(tensors));
    const config = { norm_map: MODES, eps: 1e-12 };
    for (const [side, registry_name] of [
      ['pre', 'normalizer_processor'],
      ['post', 'unnormalizer_processor'],
    ]) {
      const steps = [{ registry_name, config, state_file: 'stats.safetensors' }];
      writeFileSync(join(folder, `policy_${side}processor.json`), JSON.stringify({ steps }));
    }
    // A mean is 0 once it is scaled.
    const byHand = goal.map((v, i) => (MASKED.includes(i) ? state.mean[i]! : v));
    expect(relativeError(got, await chunks(folder, byHand))).toBeLessThan(1e-6);
    expect(relativeError(got, await chunks(folder, goal))).toBeGreaterThan(1e-4);
  });
});

test('kitchen: raw, a goal for each slot, guided where training left goals out, bounded where there are bounds', async () => {
  const run = writeBesoRun(join(dir, 'run'), 'kitchen');
  const goal = goalOf(2);
  const got = await chunks(run, goal);
  expect(said.join()).toMatch(/1\.1 times its data's bounds.*stats\.json/);
  const config = {
    ...json,
    obs_seq_len: 4,
    goal_seq_len: 2,
    guidance_scale: 1.5,
    input_features: { ...json.input_features, 'observation.goal': { type: 'ENV', shape: [20] } },
  };
  await withCheckpoint(weights, config, async (folder) => {
    const byHand = goal.map((v, i) => (MASKED.includes(i % 10) ? 0 : v));
    expect(relativeError(got, await chunks(folder, byHand))).toBeLessThan(1e-6);
  });
  writeFileSync(join(run, 'stats.json'), JSON.stringify({ action: { min: [-1e-3, -1], max: [1e-3, 1] } }));
  const bounded = await chunks(run, goal);
  expect(Math.abs(bounded[0]!)).toBeCloseTo(1.1e-3, 8);
  expect(Math.abs(got[0]!)).toBeGreaterThan(1.1e-3);
});

describe('without statistics', () => {
  test('a scaled training is refused with where to write them, and runs when its numbers are raw', async () => {
    const run = writeBesoRun(join(dir, 'run'), 'block_push');
    expect(() => openFamily(run)).toThrow(
      expect.objectContaining({
        code: 'file_missing',
        message: expect.stringMatching(/--raw all.*stats\.json beside model_state_dict\.pth.*x_mean/s),
      }),
    );
    const raw = await chunks(run, goalOf(1), { raw: 'all' });
    const same = writeBesoRun(join(dir, 'raw'), 'block_push', { scale_data: false });
    expect(raw).toEqual(await chunks(same, goalOf(1)));
  });

  test.each([
    ['{"other": {"mean": [1]}}', /statistics at observation\.state and action/],
    ['{"observation.state": {"mean": [1, "2"]}}', /finite numbers at observation\.state\.mean/],
    ['{"observation.state": {"mean": [1], "std": [1]}}', /"mean" of length 10, got 1/],
    ['{"observation.state"', /not JSON/],
  ])('stats.json of %s is refused', (text, message) => {
    const run = writeBesoRun(join(dir, 'run'), 'block_push');
    writeFileSync(join(run, 'stats.json'), text);
    expect(() => openFamily(run)).toThrow(message);
  });

  test('two sets of statistics are refused', () => {
    const run = writeBesoRun(join(dir, 'run'), 'block_push');
    writeFileSync(join(run, 'stats.json'), JSON.stringify(STATS));
    for (const side of ['pre', 'post'])
      writeFileSync(join(run, `policy_${side}processor.json`), JSON.stringify({ steps: [] }));
    expect(() => openFamily(run)).toThrow(/leave the one that its training used/);
  });
});

describe('the configuration', () => {
  const set = (field: string, value: string) => (yaml: string) =>
    yaml.replace(new RegExp(`^( *${field}): .*$`, 'm'), `$1: ${value}`);

  test.each([
    ['obs_dim', '???', /inner_model\.state_dim \(\$\{obs_dim\}\).*\?\?\? that was never filled in/],
    ['scale_data', '"???"', /workspaces\.scale_data.*nothing/],
    ['n_heads', ['"$', '{n_heads}"'].join(''), /refers to itself/],
    [
      'hidden_dim',
      '[1, 2]',
      /a number at agents\.model\.inner_model\.embed_dim \(\$\{hidden_dim\}\), got \[1,2\]/,
    ],
    ['num_hidden_layers', '1000', /run \(beso\).*n_layers/s],
  ])('%s: %s is refused by name', (field, value, message) => {
    const run = writeBesoRun(join(dir, 'run'), 'kitchen', { [field]: value });
    expect(() => openFamily(run)).toThrow(message);
  });

  test('what is open and of no use here is no fault', () => {
    const given = { seed: '???', use_ema: '???', goal_dim: '???', cond_lambda: '???', cond_mask_prob: 0 };
    expect(openFamily(writeBesoRun(join(dir, 'run'), 'kitchen', given)).spec.family).toBe('beso');
    const guided = writeBesoRun(join(dir, 'guided'), 'kitchen', { cond_lambda: '???' });
    expect(() => openFamily(guided)).toThrow(/cond_lambda/);
  });

  test.each([
    [
      'inner_model:\n      _target_',
      'beso.x.score_mlps.ScoreNetwork',
      /should be a DiffusionGPT.*ScoreNetwork/,
    ],
    ['input_encoder:\n    _target_', 'beso.x.ResNetEncoder', /should be a NoEncoder/],
    ['  window_size', '3', /agents\.window_size, got 3/],
    ['sampler_type', 'magic', /sampler: expected one of/],
  ])('%s: %s is refused', async (field, value, message) => {
    const run = writeBesoRun(join(dir, 'run'), 'kitchen', {}, set(field, value));
    await expect(loadPolicy(run, { compute: { precision: 'f32' } })).rejects.toThrow(message);
  });
});

describe('by whichever name', () => {
  test('the folder, the file in it, and an import of either file open as the same policy', async () => {
    const run = writeBesoRun(join(dir, 'run'), 'block_push');
    writeFileSync(join(run, 'stats.json'), JSON.stringify(STATS));
    const want = await chunks(run, goalOf(1));
    expect(await chunks(join(run, 'model_state_dict.pth'), goalOf(1))).toEqual(want);
    expect(await chunks(join(run, 'non_ema_model_state_dict.pth'), goalOf(1))).toEqual(want);
    const out = join(dir, 'out');
    writeCheckpoint(out, convert(join(run, 'model_state_dict.pth'), { config: { fps: 10 } }));
    expect(await chunks(out, goalOf(1))).toEqual(want);
    expect(openFamily(out).spec.rate_hz).toBe(10);
    // New statistics beside the file are not passed over for an import made before.
    const other = { ...STATS, action: { min: [-2, -2], max: [2, 2] } };
    writeFileSync(join(run, 'stats.json'), JSON.stringify(other));
    expect(await chunks(join(run, 'non_ema_model_state_dict.pth'), goalOf(1))).not.toEqual(want);
  });

  test('a config.yaml instead of .hydra/config.yaml, and weights of another policy', () => {
    const run = writeBesoRun(join(dir, 'run'), 'kitchen');
    renameSync(join(run, '.hydra/config.yaml'), join(run, 'config.yaml'));
    expect(openFamily(run).spec.family).toBe('beso');
    writeFileSync(join(run, 'config.yaml'), 'agents: {_target_: other.Agent}\n');
    expect(() => openFamily(join(run, 'model_state_dict.pth'))).toThrow(/not its configuration/);
  });
});

test('what tendon check does with the folder', async () => {
  const run = writeBesoRun(join(dir, 'run'), 'kitchen');
  const { spec, sampler, on_zeros, on_noise } = await checkPolicy(run, { compute: { precision: 'f32' } });
  expect(spec).toMatchObject({ family: 'beso', n_obs_steps: 4, action_dim: 2 });
  expect(sampler).toBe('ddim');
  expect([on_zeros.finite, on_noise.finite]).toEqual([true, true]);
});
