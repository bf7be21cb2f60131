// What every policy owes its caller: the same seed gives the same chunk, bad input is refused by name, and a
// checkpoint that disagrees with itself is refused at load.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { addon } from '../../src/native/index.js';
import { loadPolicy } from '../../src/policies/index.js';
import { openSafetensors, readTensor, writeSafetensors } from '../../src/weights/index.js';
import { golden } from '../golden/golden.js';

const root = mkdtempSync(join(tmpdir(), 'tendon-policies-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const identity = { STATE: 'IDENTITY', ENV: 'IDENTITY', ACTION: 'IDENTITY' };
const feature = (type: string, n: number) => ({ type, shape: [n] });
const CASES = {
  beso: {
    golden: 'beso_small',
    config: {
      type: 'beso',
      input_features: {
        'observation.state': feature('STATE', 10),
        'observation.goal': feature('ENV', 10),
      },
      output_features: { action: feature('ACTION', 2) },
      normalization_mapping: identity,
    },
  },
  diffusion: {
    golden: 'diffusion_env_ddim',
    config: { type: 'diffusion', noise_scheduler_type: 'DDIM', num_inference_steps: 5 },
  },
  act: { golden: 'act_env_prenorm_gelu_novae', config: { type: 'act' } },
} as const;

function checkpoint(name: keyof typeof CASES, changes: object = {}): string {
  const dir = mkdtempSync(join(root, `${name}-`));
  const source = golden(CASES[name].golden);
  writeFileSync(join(dir, 'model.safetensors'), readFileSync(join(source.dir, 'model.safetensors')));
  writeFileSync(
    join(dir, 'config.json'),
    JSON.stringify({ ...source.config, ...CASES[name].config, ...changes }),
  );
  for (const side of ['pre', 'post'])
    writeFileSync(join(dir, `policy_${side}processor.json`), JSON.stringify({ steps: [] }));
  return dir;
}

describe.each(Object.keys(CASES) as (keyof typeof CASES)[])('%s', (name) => {
  it('gives the same chunk for the same seed, and refuses bad observations by name', async () => {
    const policy = await loadPolicy(checkpoint(name), { compute: { precision: 'f32' } });
    const values = Object.fromEntries(
      Object.entries(policy.spec.observation_dims).map(([k, n]) => [
        k,
        Float32Array.from({ length: n }, (_, i) => Math.sin(i)),
      ]),
    );
    policy.reset(5);
    const first = await policy.infer({ stamp_ns: 1, values });
    policy.reset(5);
    const second = await policy.infer({ stamp_ns: 1, values });
    expect(second.actions).toEqual(first.actions);
    expect(first.actions.length).toBe(policy.spec.horizon * policy.spec.action_dim);
    const [key, length] = Object.entries(policy.spec.observation_dims)[0]!;
    const infer = (bad: Float32Array) => policy.infer({ stamp_ns: 2, values: { ...values, [key]: bad } });
    await expect(infer(new Float32Array(length + 1))).rejects.toThrow(key);
    await expect(infer(new Float32Array(length).fill(Number.NaN))).rejects.toThrow(/must be finite/);
    await expect(policy.infer({ stamp_ns: 2, values: {} })).rejects.toMatchObject({ code: 'input_invalid' });
    policy.close();
  });

  it('refuses weights that are truncated, unused, missing or of another shape', async () => {
    const cut = checkpoint(name);
    const path = join(cut, 'model.safetensors');
    const whole = readFileSync(path);
    writeFileSync(path, whole.subarray(0, whole.length - 5));
    await expect(loadPolicy(cut)).rejects.toMatchObject({ code: 'file_corrupt' });

    const rewrite = async (
      edit: (t: Record<string, { shape: readonly number[]; values: Float32Array }>) => void,
    ) => {
      writeFileSync(path, whole);
      const tensors = Object.fromEntries(
        [...openSafetensors(path).tensors].map(([k, ref]) => [
          k,
          { shape: ref.shape, values: readTensor(ref) },
        ]),
      );
      edit(tensors);
      writeSafetensors(path, tensors);
      return loadPolicy(cut);
    };
    await expect(
      rewrite((t) => {
        t.stray = { shape: [1], values: Float32Array.of(1) };
      }),
    ).rejects.toThrow(/belong to nothing .*stray/);
    const bias = [...openSafetensors(path).tensors.keys()].filter((k) => k.endsWith('.bias')).at(-1)!;
    await expect(
      rewrite((t) => {
        delete t[bias];
      }),
    ).rejects.toThrow(`no tensor ${bias}`);
    await expect(
      rewrite((t) => {
        t[bias] = { shape: [1], values: Float32Array.of(1) };
      }),
    ).rejects.toThrow(`tensor ${bias} should be`);
  });

  it('refuses a config with a wrong field, naming it', async () => {
    await expect(loadPolicy(checkpoint(name, { output_features: 3 }))).rejects.toThrow(/output_features/);
    await expect(loadPolicy(checkpoint(name), { sampling: { sampler: 'nonsense' } })).rejects.toThrow(
      /sampler/,
    );
  });
});

it('takes every draw of a stochastic sampler from its caller, and refuses too few', async () => {
  const policy = await loadPolicy(checkpoint('diffusion'), {
    compute: { precision: 'f32' },
    sampling: { sampler: 'ddpm', steps: 5 },
  });
  const values = Object.fromEntries(
    Object.entries(policy.spec.observation_dims).map(([k, n]) => [k, new Float32Array(n).fill(0.3)]),
  );
  policy.reset(5);
  const drawn = await policy.infer({ stamp_ns: 1, values });
  // The stream of an episode: the start first, then what each step but the last adds.
  const size = await noiseSize();
  const stream = addon().philoxNormal(5, 0, 0, 5 * size);
  policy.reset(99);
  const observation = { stamp_ns: 1, values };
  const given = { noise: stream.slice(0, size), step_noise: stream.slice(size) };
  expect((await policy.infer(observation, given)).actions).toEqual(drawn.actions);
  const other = { ...given, step_noise: given.step_noise.map((v) => -v) };
  expect((await policy.infer(observation, other)).actions).not.toEqual(drawn.actions);
  const few = { ...given, step_noise: stream.slice(2 * size) };
  await expect(policy.infer(observation, few)).rejects.toThrow(/step_noise: expected 4 draws/);
  policy.close();

  async function noiseSize(): Promise<number> {
    const said = await policy
      .infer({ stamp_ns: 1, values }, { noise: new Float32Array(1) })
      .catch((caught: Error) => caught.message);
    const [, rows, dim] = /× (\d+) × (\d+) values/.exec(String(said)) ?? [];
    return Number(rows) * Number(dim);
  }
});

it('takes observations under the names that rename_map gives', async () => {
  const dir = checkpoint('act');
  const steps = [
    {
      registry_name: 'rename_observations_processor',
      config: { rename_map: { 'observation.joints': 'observation.state' } },
    },
  ];
  writeFileSync(join(dir, 'policy_preprocessor.json'), JSON.stringify({ steps }));
  const policy = await loadPolicy(dir, { compute: { precision: 'f32' } });
  const environment = { 'observation.environment_state': new Float32Array(7).fill(0.3) };
  const joints = Float32Array.of(1, 2, 3, 4, 5);
  const infer = (values: Record<string, Float32Array>) =>
    policy.infer({ stamp_ns: 0, values: { ...environment, ...values } });
  const own = await infer({ 'observation.state': joints });
  expect((await infer({ 'observation.joints': joints })).actions).toEqual(own.actions);
});

it('reads LeRobot’s configs of 2024 and statistics kept among the weights', async () => {
  const source = golden('diffusion_env_ddim');
  const modern = checkpoint('diffusion', {
    normalization_mapping: { STATE: 'MEAN_STD', ENV: 'MIN_MAX', ACTION: 'MIN_MAX' },
  });
  const {
    input_features,
    output_features,
    normalization_mapping: _,
    ...rest
  } = source.config as Record<string, never>;
  const shapes = (features: Record<string, { shape: number[] }>) =>
    Object.fromEntries(Object.entries(features).map(([k, f]) => [k, f.shape]));
  const old = checkpoint('diffusion');
  writeFileSync(
    join(old, 'config.json'),
    JSON.stringify({
      ...rest,
      noise_scheduler_type: 'DDIM',
      num_inference_steps: 5,
      input_shapes: shapes(input_features!),
      output_shapes: shapes(output_features!),
      input_normalization_modes: {
        'observation.state': 'mean_std',
        'observation.environment_state': 'min_max',
      },
      output_normalization_modes: { action: 'min_max' },
    }),
  );
  const stats = {
    observation_state: { mean: [1, 2, 3, 4], std: [1, 2, 0.5, 4] },
    observation_environment_state: { min: [0, 0, 0, 0, 0, 0], max: [1, 2, 3, 4, 5, 6] },
    action: { min: [-1, -2, -3], max: [4, 5, 6] },
  };
  for (const dir of [modern, old]) {
    const path = join(dir, 'model.safetensors');
    const tensors = Object.fromEntries(
      [...openSafetensors(path).tensors].map(([k, ref]) => [
        k,
        { shape: ref.shape, values: readTensor(ref) },
      ]),
    );
    for (const [feature, by] of Object.entries(stats))
      for (const [stat, numbers] of Object.entries(by)) {
        const sides =
          feature === 'action' ? ['normalize_targets', 'unnormalize_outputs'] : ['normalize_inputs'];
        for (const side of sides)
          tensors[`${side}.buffer_${feature}.${stat}`] = {
            shape: [numbers.length],
            values: Float32Array.from(numbers),
          };
      }
    writeSafetensors(path, tensors);
    for (const side of ['pre', 'post']) rmSync(join(dir, `policy_${side}processor.json`));
  }
  const values = {
    'observation.state': Float32Array.of(1, 2, 3, 4),
    'observation.environment_state': Float32Array.of(1, 1, 1, 1, 1, 1),
  };
  const chunks = await Promise.all(
    [modern, old].map(async (dir) =>
      (await loadPolicy(dir, { compute: { precision: 'f32' } })).infer({ stamp_ns: 0, values }),
    ),
  );
  expect(chunks[0]!.actions).toEqual(chunks[1]!.actions);
  // Clipped to ±1 before it is put back into the range of the data.
  for (let i = 0; i < chunks[0]!.actions.length; i++) {
    expect(chunks[0]!.actions[i]).toBeGreaterThanOrEqual(stats.action.min[i % 3]! - 1e-3);
    expect(chunks[0]!.actions[i]).toBeLessThanOrEqual(stats.action.max[i % 3]! + 1e-3);
  }
});
