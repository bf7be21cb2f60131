// Checkpoints of LeRobot's 2024 (≤ 0.1): no type, shapes and modes by key, statistics among the weights, fields that had
// other names. Each must be what the same training's later folder is; ACT's is held to its recording as well.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DenoiserFamily } from '../../src/policies/denoiser-family.js';
import { loadPolicy, openFamily } from '../../src/policies/index.js';
import type { Image, Observation } from '../../src/types/index.js';
import { openSafetensors, readTensor, type TensorSource, writeSafetensors } from '../../src/weights/index.js';
import { writeCheckpointOf } from '../unit/checkpoints.js';
import { golden, relativeError } from './golden.js';
import { image, vector } from './hashed.js';

type Json = Record<string, unknown>;
type Features = Record<string, { type: string; shape: number[] }>;

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'tendon-2024-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** The later form's config as it would have been written in 2024. */
function asOf2024(config: Json, changes: Json): Json {
  const { type: _, input_features, output_features, normalization_mapping, ...rest } = config;
  const modes = normalization_mapping as Record<string, string>;
  const shapes = (features: Features) =>
    Object.fromEntries(Object.entries(features).map(([key, { shape }]) => [key, shape]));
  const named = (features: Features) =>
    Object.fromEntries(
      Object.entries(features)
        .filter(([, { type }]) => (modes[type] ?? 'IDENTITY') !== 'IDENTITY')
        .map(([key, { type }]) => [key, modes[type]!.toLowerCase()]),
    );
  const inputs = named(input_features as Features);
  return {
    ...rest,
    input_shapes: shapes(input_features as Features),
    output_shapes: shapes(output_features as Features),
    // TD-MPC's is null.
    input_normalization_modes: Object.keys(inputs).length === 0 ? null : inputs,
    output_normalization_modes: named(output_features as Features),
    ...changes,
  };
}

/** Both folders of a family, with the same weights and, in buffers, statistics that are not plain. */
function folders(family: string, changes: Json, rename: Record<string, string> = {}) {
  const whole = writeCheckpointOf(family, join(root, 'whole'));
  const config = JSON.parse(readFileSync(join(whole, 'config.json'), 'utf8')) as Json;
  const tensors: Record<string, TensorSource> = {};
  for (const [name, ref] of openSafetensors(join(whole, 'model.safetensors')).tensors)
    tensors[name] = { shape: ref.shape, values: readTensor(ref) };
  const features = { ...(config.input_features as Features), ...(config.output_features as Features) };
  for (const [key, { type, shape }] of Object.entries(features)) {
    const n = type === 'VISUAL' ? [shape[0]!, 1, 1] : shape;
    const sides = type === 'ACTION' ? ['normalize_targets', 'unnormalize_outputs'] : ['normalize_inputs'];
    for (const [stat, value] of Object.entries({ mean: 0.5, std: 2, min: -3, max: 5 }))
      for (const side of sides)
        tensors[`${side}.buffer_${key.replaceAll('.', '_')}.${stat}`] = {
          shape: n,
          values: new Float32Array(n[0]!).fill(value),
        };
  }
  const write = (name: string, json: Json, names: Record<string, string>): string => {
    const dir = writeCheckpointOf(family, join(root, name));
    for (const side of ['pre', 'post']) rmSync(join(dir, `policy_${side}processor.json`), { force: true });
    rmSync(join(dir, 'model.safetensors'));
    const renamed = Object.entries(tensors).map(([key, value]) => [names[key] ?? key, value]);
    writeSafetensors(join(dir, 'model.safetensors'), Object.fromEntries(renamed));
    writeFileSync(join(dir, 'config.json'), JSON.stringify(json));
    return dir;
  };
  return { later: write('later', config, {}), old: write('old', asOf2024(config, changes), rename) };
}

function observationOf({ observation_dims, image_shapes }: DenoiserFamily['spec']): Observation {
  const values = Object.entries(observation_dims).map(([key, n]) => [key, vector(key, n)]);
  const images = Object.entries(image_shapes).map(([key, [, height, width]]): [string, Image] => [
    key,
    { width, height, channels: 3, data: image(key, height, width) },
  ]);
  return { stamp_ns: 0, values: Object.fromEntries(values), images: Object.fromEntries(images) };
}

describe('of 2024', () => {
  it.each([
    ['act', { temporal_ensemble_coeff: undefined, temporal_ensemble_momentum: null }],
    ['vqbet', { type: undefined }],
    ['tdmpc', { n_action_steps: undefined, n_obs_steps: undefined }],
  ])('%s is the later folder’s policy', async (family, changes) => {
    const { later, old } = folders(family, changes);
    expect(JSON.parse(readFileSync(join(old, 'config.json'), 'utf8'))).not.toHaveProperty('type');
    const chunks: Float32Array[] = [];
    for (const dir of [later, old]) {
      const policy = await loadPolicy(dir, { compute: { precision: 'f32', threads: 1 } });
      expect(policy.spec).toMatchObject({ family });
      policy.reset(6);
      const { actions } = await policy.infer(observationOf(policy.spec));
      chunks.push(actions);
      policy.close();
    }
    expect(chunks[0]!.some((v) => Math.abs(v) > 1e-3)).toBe(true);
    expect(chunks[1]).toEqual(chunks[0]);
  });

  it('act’s says what was recorded, its positions under their first name', async () => {
    const io = golden('act_env_prenorm_gelu_novae');
    const { old } = folders(
      'act',
      { temporal_ensemble_coeff: undefined, temporal_ensemble_momentum: null },
      {
        'model.encoder_1d_feature_pos_embed.weight': 'model.encoder_robot_and_latent_pos_embed.weight',
      },
    );
    const json = JSON.parse(readFileSync(join(old, 'config.json'), 'utf8')) as Json;
    expect(json.input_normalization_modes).toEqual({ 'observation.state': 'mean_std' });
    const values = {
      // By mean and deviation, 0.5 and 2; the environment as it is.
      'observation.state': io
        .get('in.observation.state')
        .slice(0, 5)
        .map((v) => 2 * v + 0.5),
      'observation.environment_state': io.get('in.observation.environment_state').slice(0, 7),
    };
    const policy = await loadPolicy(old, { compute: { precision: 'f32' } });
    const { actions } = await policy.infer({ stamp_ns: 0, values });
    const want = io.get('out.actions').slice(0, 40);
    expect(
      relativeError(
        actions,
        want.map((v) => 2 * v + 0.5),
      ),
    ).toBeLessThan(1e-4);
    policy.close();
  });

  it('a momentum that was set is refused with what to put in its place', () => {
    const momentum = { temporal_ensemble_coeff: undefined, temporal_ensemble_momentum: 0.9 };
    expect(() => openFamily(folders('act', momentum).old)).toThrow(/momentum 0.9 .* temporal_ensemble_coeff/);
  });
});
