// Training-time action conditioning against a recording (test/golden/onnx_prefix): a flow with a time for each row, whose
// first rows are given and stay as they are.

import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { loadPolicy } from '../../src/policies/index.js';
import { golden, relativeError } from './golden.js';

const recorded = golden('onnx_prefix');
const { horizon, action_dim, state_dim, steps } = recorded.config as Record<string, number>;
const dir = mkdtempSync(join(tmpdir(), 'tendon-prefix-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const config = {
  type: 'onnx',
  sample: 'x',
  level: 't',
  condition: 'state',
  n_action_steps: 4,
  input_features: { 'observation.state': { type: 'STATE', shape: [state_dim] } },
  output_features: { action: { type: 'ACTION', shape: [action_dim] } },
  normalization_mapping: { STATE: 'IDENTITY', ACTION: 'IDENTITY' },
  training: { kind: 'flow', time: 'noise_at_one' },
  num_inference_steps: steps,
};
copyFileSync(join(recorded.dir, 'model.onnx'), join(dir, 'model.onnx'));
writeFileSync(join(dir, 'config.json'), JSON.stringify(config));
const observation = { stamp_ns: 0, values: { 'observation.state': recorded.get('state') } };

test.each([0, 2, 5])('%d rows given: the chunk is the recorded one', async (delay) => {
  const policy = await loadPolicy(dir, { compute: { precision: 'f32' } });
  const actions = recorded.get('prefix').slice(0, 6 * action_dim!);
  // As real-time chunking weighs its rows: only what is decided counts.
  const weights = Float32Array.from({ length: 6 }, (_, i) => (i < delay ? 1 : 0.4));
  const { actions: chunk } = await policy.infer(observation, {
    noise: recorded.get('noise'),
    ...(delay === 0 ? {} : { prefix: { actions, weights, derivative: true } }),
  });
  expect(chunk).toHaveLength(horizon! * action_dim!);
  expect(relativeError(chunk, recorded.get(`chunk.${delay}`))).toBeLessThan(1e-4);
  expect(chunk.slice(0, delay * action_dim!)).toEqual(recorded.get('prefix').slice(0, delay * action_dim!));
});

test('with candidates every one begins as given', async () => {
  const policy = await loadPolicy(dir, { compute: { precision: 'f32' }, sampling: { candidates: 3 } });
  const actions = recorded.get('prefix').slice(0, 2 * action_dim!);
  policy.reset(1);
  const { candidates } = await policy.infer(observation, {
    prefix: { actions, weights: Float32Array.of(1, 1) },
  });
  for (let c = 0; c < 3; c++) {
    const at = c * horizon! * action_dim!;
    expect(candidates!.slice(at, at + actions.length)).toEqual(actions);
  }
});

test('times for each row are for flows', async () => {
  const training = { kind: 'edm', sigma_data: 0.5, sigma_min: 0.01, sigma_max: 1 };
  writeFileSync(join(dir, 'config.json'), JSON.stringify({ ...config, training }));
  await expect(loadPolicy(dir)).rejects.toThrow('for a flow one per row of the chunk (8)');
});
