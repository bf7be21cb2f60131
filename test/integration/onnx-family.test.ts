// A folder with an exported denoiser is a policy: through the core, and, when the core cannot compile it, whole on
// onnxruntime-node, with the same result.

import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, expect, test } from 'vitest';
import { loadPolicy } from '../../src/policies/index.js';
import type { Observation } from '../../src/types/index.js';
import { relativeError } from '../golden/golden.js';
import { withUnreadOp } from './onnx-parts.js';

const exported = fileURLToPath(new URL('../golden/onnx_unet/model.onnx', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'tendon-onnx-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const warnings: string[] = [];
const listen = (warning: Error): void => {
  if (warning.name === 'TendonWarning') warnings.push(warning.message);
};
process.on('warning', listen);
afterAll(() => process.off('warning', listen));
afterEach(() => warnings.splice(0));

const config = {
  type: 'onnx',
  sample: 'x',
  level: 't',
  condition: 'cond',
  n_obs_steps: 2,
  n_action_steps: 4,
  input_features: { 'observation.state': { type: 'STATE', shape: [3] } },
  output_features: { action: { type: 'ACTION', shape: [2] } },
  normalization_mapping: { STATE: 'IDENTITY', ACTION: 'IDENTITY' },
  training: {
    kind: 'diffusers',
    num_train_timesteps: 100,
    beta_schedule: 'squaredcos_cap_v2',
    beta_start: 0.0001,
    beta_end: 0.02,
    prediction_type: 'epsilon',
    clip_sample: true,
    clip_sample_range: 1,
  },
};
const window: Observation[] = [0, 1].map((i) => ({
  stamp_ns: i,
  values: { 'observation.state': Float32Array.of(0.1 * i, -0.2, 0.3) },
}));

async function actions(options: { sampler: string }): Promise<Float32Array> {
  const policy = await loadPolicy(dir, {
    compute: { precision: 'f32' },
    sampling: { steps: 5, candidates: 3, ...options },
  });
  policy.reset(3);
  const chunk = await policy.infer(window);
  policy.close();
  expect([chunk.horizon, chunk.action_dim, chunk.n_candidates]).toEqual([7, 2, 3]);
  return chunk.candidates!;
}

test.each(['ddim', 'ddpm', 'dpmpp_2m'])('%s: the core and onnxruntime-node agree', async (sampler) => {
  writeFileSync(join(dir, 'config.json'), JSON.stringify(config));
  copyFileSync(exported, join(dir, 'model.onnx'));
  const ours = await actions({ sampler });
  expect(warnings).toEqual([]);
  // The same network with an op that the core does not read, before its output.
  const bytes = readFileSync(exported);
  writeFileSync(join(dir, 'model.onnx'), withUnreadOp(bytes));
  const theirs = await actions({ sampler });
  await new Promise((resolve) => setImmediate(resolve));
  expect(warnings.join()).toContain('Round');
  // An untrained network does not settle near 1; f32 against float64 with an f32 network.
  expect(relativeError(theirs, ours)).toBeLessThan(1e-4);
});

test('what does not fit is named', async () => {
  copyFileSync(exported, join(dir, 'model.onnx'));
  const refused = async (change: object, words: string): Promise<void> => {
    writeFileSync(join(dir, 'config.json'), JSON.stringify({ ...config, ...change }));
    await expect(loadPolicy(dir)).rejects.toThrow(words);
  };
  await refused({ sample: 'y' }, 'it has x, t, cond');
  await refused({ n_obs_steps: 3 }, '"cond" has 6 values');
  await refused({ output_features: { action: { type: 'ACTION', shape: [5] } } }, '(batch, horizon, 5)');
  await refused({ model: '../x.onnx' }, 'model');
  await refused({ normalization_mapping: { STATE: 'MEAN_STD', ACTION: 'IDENTITY' } }, 'statistics');
});
