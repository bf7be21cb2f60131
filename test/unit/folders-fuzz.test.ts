// Damaged files of a checkpoint's folder: adapters, indexes of shards, processor steps, a training's config.yaml. Each is read or
// refused with an error of ours, never another one. TENDON_FUZZ=100000 makes as many of each format.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { merged } from '../../src/policies/adapters/merge.js';
import { BesoConfig } from '../../src/policies/beso/config.js';
import { parseConfig, readConfig } from '../../src/policies/checkpoint.js';
import { configBeside } from '../../src/policies/convert/beside.js';
import { processingOf } from '../../src/policies/processors/processing.js';
import { TendonError } from '../../src/types/index.js';
import { openWeights, writeSafetensors } from '../../src/weights/index.js';
import { writeBesoRun } from '../golden/beso-run.js';
import { drawer, mutate } from './mutations.js';

const COUNT = Number(process.env.TENDON_FUZZ ?? 1_500);
let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'tendon-folders-fuzz-'));
  vi.stubEnv('TENDON_CACHE', join(dir, 'cache'));
});
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
  vi.unstubAllEnvs();
});

const tensor = (...shape: number[]) => ({
  shape,
  values: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.5),
});

/** `read` after each of COUNT damages to `file`; how many were refused. */
function damaged(file: string, seed: number, read: () => unknown): number {
  const random = drawer(seed);
  const original = readFileSync(file);
  let refused = 0;
  for (let i = 0; i < COUNT; i++) {
    writeFileSync(file, mutate(original, random, 4));
    try {
      read();
    } catch (caught) {
      expect(caught).toBeInstanceOf(TendonError);
      expect((caught as TendonError).code).not.toBe('internal');
      refused++;
    }
  }
  writeFileSync(file, original);
  read();
  return refused;
}

function adapter(): { at: string; base: string } {
  const [at, base] = [join(dir, 'adapter'), join(dir, 'base')];
  for (const folder of [at, base]) mkdirSync(folder, { recursive: true });
  writeSafetensors(join(base, 'model.safetensors'), {
    'net.a.weight': tensor(4, 3),
    'net.b.weight': tensor(2, 4),
  });
  writeSafetensors(join(at, 'adapter_model.safetensors'), {
    'base_model.model.net.a.lora_A.weight': tensor(2, 3),
    'base_model.model.net.a.lora_B.weight': tensor(4, 2),
    'base_model.model.net.a.lora_magnitude_vector': tensor(4),
    'base_model.model.net.b.weight': tensor(2, 4),
  });
  const config = { peft_type: 'LORA', base_model_name_or_path: '../base', r: 2, lora_alpha: 4 };
  const more = { use_rslora: false, rank_pattern: { 'net.a': 2 }, alpha_pattern: {}, use_dora: true };
  writeFileSync(join(at, 'adapter_config.json'), JSON.stringify({ ...config, ...more }));
  return { at, base };
}

test.each(['adapter_config.json', 'adapter_model.safetensors'])(
  `${COUNT} damages to %s`,
  (name) => {
    const { at, base } = adapter();
    const refused = damaged(join(at, name), 17, () => {
      // What was merged before is not asked for again.
      rmSync(join(dir, 'cache'), { recursive: true, force: true });
      return merged(at, base);
    });
    expect(refused).toBeGreaterThan(COUNT / 4);
  },
  600_000,
);

test(`${COUNT} damages to model.safetensors.index.json`, () => {
  const at = join(dir, 'sharded');
  mkdirSync(at);
  writeSafetensors(join(at, 'model-1.safetensors'), { a: tensor(2), 'b.c': tensor(3) });
  writeSafetensors(join(at, 'model-2.safetensors'), { d: tensor(1) });
  const weight_map = { a: 'model-1.safetensors', 'b.c': 'model-1.safetensors', d: 'model-2.safetensors' };
  writeFileSync(join(at, 'model.safetensors.index.json'), JSON.stringify({ metadata: {}, weight_map }));
  const refused = damaged(join(at, 'model.safetensors.index.json'), 5, () => openWeights(at));
  expect(refused).toBeGreaterThan(COUNT / 4);
}, 600_000);

test(`${COUNT} damages to a preprocessor with every kind of step`, () => {
  const at = join(dir, 'processors');
  mkdirSync(at);
  const features = {
    'observation.state': { type: 'STATE' as const, shape: [2] },
    'observation.images.top': { type: 'VISUAL' as const, shape: [3, 4, 6] },
  };
  const step = (registry_name: string, config: object, more: object = {}) => ({
    registry_name,
    config,
    ...more,
  });
  writeSafetensors(join(at, 'stats.safetensors'), {
    'observation.state.mean': tensor(2),
    'observation.state.std': tensor(2),
  });
  const relative = { enabled: true, exclude_joints: ['gripper'], action_names: ['a', 'gripper'] };
  const normalize = {
    eps: 1e-8,
    features,
    norm_map: { STATE: 'MEAN_STD' },
    normalize_observation_keys: null,
  };
  const steps = [
    step('rename_observations_processor', { rename_map: { joints: 'observation.state' } }),
    step('to_batch_processor', {}),
    step('image_crop_resize_processor', { crop_params_dict: { x: [0, 0, 1, 1] }, resize_size: [4, 6] }),
    step('relative_actions_processor', relative),
    step('normalizer_processor', normalize, { state_file: 'stats.safetensors' }),
  ];
  writeFileSync(join(at, 'policy_preprocessor.json'), JSON.stringify({ name: 'pre', steps }));
  const added = [step('absolute_actions_processor', { enabled: true })];
  writeFileSync(join(at, 'policy_postprocessor.json'), JSON.stringify({ name: 'post', steps: added }));
  const config = {
    input_features: features,
    output_features: { action: { type: 'ACTION' as const, shape: [2] } },
    normalization_mapping: { STATE: 'MEAN_STD' },
  };
  const refused = damaged(join(at, 'policy_preprocessor.json'), 3, () => {
    const processing = processingOf(at, config, undefined);
    return [processing.input('observation.state', 2), processing.action(2), processing.pictures];
  });
  expect(refused).toBeGreaterThan(COUNT / 4);
}, 600_000);

test(`${COUNT} damages to a training's config.yaml`, () => {
  const at = join(dir, 'training/.hydra');
  mkdirSync(at, { recursive: true });
  const file = join(at, 'config.yaml');
  const reference = (name: string): string => ['$', '{', name, '}'].join('');
  const lines = [
    'a: &x',
    '  b: [1, 2.5, "???"]',
    `  c: ${reference('d.e')}`,
    'd:',
    `  e: "${reference('a.b')}"`,
    'f: *x',
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  damaged(file, 29, () => {
    const hydra = configBeside(join(dir, 'training/model.pt'));
    return [hydra?.find('a.c'), hydra?.find('d.e'), hydra?.find('f')];
  });
}, 600_000);

test(`${COUNT} damages to BESO's config.yaml, and to stats.json beside it`, () => {
  const run = writeBesoRun(join(dir, 'beso'), 'block_push');
  const stats = { 'observation.state': { mean: Array(10).fill(0), std: Array(10).fill(1) } };
  const action = { min: [-1, -1], max: [1, 1] };
  writeFileSync(join(run, 'stats.json'), JSON.stringify({ ...stats, action }));
  const read = () => parseConfig(BesoConfig, readConfig(run), run, 'beso');
  expect(damaged(join(run, '.hydra/config.yaml'), 31, read)).toBeGreaterThan(COUNT / 10);
  expect(damaged(join(run, 'stats.json'), 37, read)).toBeGreaterThan(COUNT / 4);
}, 600_000);
