// LeRobot's renaming steps: maps in a row, two keys that change places, renames behind the normaliser, what a
// postprocessor may say of an action.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { History } from '../../src/policies/history.js';
import { loadPolicy } from '../../src/policies/index.js';
import { processingOf } from '../../src/policies/processors/processing.js';
import type { PolicySpec } from '../../src/types/index.js';
import { writeSafetensors } from '../../src/weights/index.js';
import { writeCheckpointOf } from './checkpoints.js';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tendon-rename-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const scalar = (type: 'STATE' | 'ACTION') => ({ type, shape: [1] });
const FEATURES = {
  input_features: { left: scalar('STATE'), right: scalar('STATE'), state: scalar('STATE') },
  output_features: { action: scalar('ACTION') },
  normalization_mapping: { STATE: 'MEAN_STD', ACTION: 'MEAN_STD' },
};

const rename = (rename_map: Record<string, string>) => ({
  registry_name: 'rename_observations_processor',
  config: { rename_map },
});
const normalize = (file: string, stats: Record<string, readonly number[]>, config: object = {}) => {
  const tensors = Object.entries(stats).map(([name, values]) => [
    name,
    { shape: [values.length], values: Float32Array.from(values) },
  ]);
  writeSafetensors(join(dir, file), Object.fromEntries(tensors));
  const registry_name = file.startsWith('pre') ? 'normalizer_processor' : 'unnormalizer_processor';
  return { registry_name, config, state_file: file };
};
function pipelines(pre: object[], post: object[]) {
  writeFileSync(join(dir, 'policy_preprocessor.json'), JSON.stringify({ steps: pre }));
  writeFileSync(join(dir, 'policy_postprocessor.json'), JSON.stringify({ steps: post }));
  return processingOf(dir, FEATURES, undefined);
}

test('maps in a row are followed to the end, and the postprocessor’s takes nothing back', () => {
  const { rename: map } = pipelines(
    [rename({ front: 'camera', joints: 'state' }), rename({ camera: 'image', wrist: 'hand' })],
    [rename({}), rename({ image: 'other' })],
  );
  expect(map).toEqual({ front: 'image', joints: 'state', camera: 'image', wrist: 'hand' });
});

test('statistics follow a key that is renamed after it was normalised', () => {
  const of = (means: Record<string, number>): Record<string, number[]> =>
    Object.fromEntries(
      Object.entries(means).flatMap(([key, mean]) => [
        [`${key}.mean`, [mean]],
        [`${key}.std`, [1]],
      ]),
    );
  const features = {
    left: scalar('STATE'),
    right: scalar('STATE'),
    joints: scalar('STATE'),
    action: scalar('ACTION'),
  };
  const stats = { left: 1, right: 2, joints: 3 };
  const found = pipelines(
    [
      normalize('pre.safetensors', of({ ...stats, action: 4 }), { features }),
      rename({ left: 'right', right: 'left', joints: 'state' }),
    ],
    // The postprocessor's file has every feature of the data set; it undoes the action's alone.
    [normalize('post.safetensors', of({ left: 7, right: 8, joints: 9, action: 5 }))],
  );
  const means = Object.fromEntries(
    ['left', 'right', 'state'].map((key) => [key, found.input(key, 1).back_add[0]]),
  );
  expect({ ...means, action: found.action(1).affine.back_add[0] }).toEqual({
    left: 2,
    right: 1,
    state: 3,
    action: 5,
  });
});

test('two keys change places; one that comes under its own name stays', () => {
  const spec = { family: 'x', n_obs_steps: 1, observation_dims: { left: 1, right: 1 }, image_shapes: {} };
  const seen = (map: Record<string, string>, values: Record<string, number>) => {
    const given = Object.entries(values).map(([key, v]) => [key, Float32Array.of(v)]);
    const history = new History(spec as unknown as PolicySpec, map);
    const [newest] = history.take({ stamp_ns: 0, values: Object.fromEntries(given) });
    return [newest!.values.left![0], newest!.values.right![0]];
  };
  expect(seen({ left: 'right', right: 'left' }, { left: 1, right: 2 })).toEqual([2, 1]);
  expect(seen({ port: 'left' }, { port: 1, left: 2, right: 3 })).toEqual([2, 3]);
  expect(seen({ port: 'left' }, { port: 1, right: 3 })).toEqual([1, 3]);
});

test('a postprocessor may name the motors of an action, as many as it has', async () => {
  writeCheckpointOf('act', dir);
  const named = (motor_names: string[]) => ({
    registry_name: 'policy_action_to_robot_action_processor',
    config: { motor_names },
  });
  const values = {
    'observation.state': new Float32Array(5).fill(0.2),
    'observation.environment_state': new Float32Array(7),
  };
  const actions = async (): Promise<Float32Array> => {
    const policy = await loadPolicy(dir, { compute: { precision: 'f32' } });
    const chunk = await policy.infer({ stamp_ns: 0, values });
    policy.close();
    return chunk.actions;
  };
  const plain = await actions();
  const { action_dim } = (await loadPolicy(dir)).spec;
  const motors = Array.from({ length: action_dim }, (_, i) => `motor_${i}`);
  const unnormalize = { registry_name: 'unnormalizer_processor', state_file: 'post.safetensors' };
  const write = (names: string[]): void =>
    writeFileSync(
      join(dir, 'policy_postprocessor.json'),
      JSON.stringify({ steps: [unnormalize, named(names)] }),
    );
  write(motors);
  expect(await actions()).toEqual(plain);
  write(motors.slice(1));
  await expect(loadPolicy(dir)).rejects.toThrow(`expected ${action_dim} names`);
});

test('BESO takes observations and goals under other names too', async () => {
  writeCheckpointOf('beso', dir);
  const own = {
    'observation.state': new Float32Array(10).fill(0.1),
    'observation.goal': new Float32Array(10),
  };
  const noise = new Float32Array(10).fill(0.5);
  const plain = await loadPolicy(dir, { compute: { precision: 'f32' } });
  const { actions } = await plain.infer({ stamp_ns: 0, values: own }, { noise });
  pipelines([rename({ joints: 'observation.state', aim: 'observation.goal' })], []);
  const renamed = await loadPolicy(dir, { compute: { precision: 'f32' } });
  const values = { joints: own['observation.state'], aim: own['observation.goal'] };
  expect((await renamed.infer({ stamp_ns: 0, values }, { noise })).actions).toEqual(actions);
});
