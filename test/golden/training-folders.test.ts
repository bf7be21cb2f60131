// Trainings as they lie: LeRobot's run with its steps, a diffusion_policy run with its .ckpt, TD-MPC2's config.yaml with ??? and ${…}.

import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { configBeside } from '../../src/policies/convert/beside.js';
import { tdmpc2Config } from '../../src/policies/convert/tdmpc2.js';
import { loadPolicy, openFamily } from '../../src/policies/index.js';
import { openSafetensors, readTensor } from '../../src/weights/index.js';
import { writeCheckpointOf } from '../unit/checkpoints.js';
import { golden } from './golden.js';
import { writeTorchZip } from './torch-zip.js';

let dir: string;
let said: string[];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tendon-trainings-'));
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

describe('LeRobot’s run', () => {
  const step = (name: string): string =>
    writeCheckpointOf('act', join(dir, 'run/checkpoints', name, 'pretrained_model'));

  test('a step’s folder, the link to the last one, and the run itself where there is one step', () => {
    const folder = step('000100');
    symlinkSync('000100', join(dir, 'run/checkpoints/last'));
    const { spec } = openFamily(folder);
    for (const path of ['run/checkpoints/000100', 'run/checkpoints/last', 'run/checkpoints', 'run'])
      expect(openFamily(join(dir, path)).spec).toEqual(spec);
    expect(said.every((text) => text.includes('its policy is') && text.includes('pretrained_model'))).toBe(
      true,
    );
    expect(said).toHaveLength(4);
  });

  test('several steps are listed', () => {
    step('000100');
    step('000200');
    symlinkSync('000200', join(dir, 'run/checkpoints/last'));
    expect(() => openFamily(join(dir, 'run'))).toThrow(
      /holds 2 checkpoints; name the one to be run: .*000100.*, .*000200/,
    );
    expect(openFamily(join(dir, 'run/checkpoints/last')).spec.family).toBe('act');
  });

  test('a folder with nothing of a policy says what a checkpoint is', () => {
    mkdirSync(join(dir, 'empty'));
    expect(() => openFamily(join(dir, 'empty'))).toThrow(/A checkpoint is a folder with config\.json/);
  });
});

describe('diffusion_policy’s run', () => {
  const write = (file: string): void => {
    mkdirSync(join(dir, 'run/checkpoints'), { recursive: true });
    const recorded = openSafetensors(join(golden('dp_transformer_causal').dir, 'model.safetensors')).tensors;
    writeTorchZip(join(dir, 'run/checkpoints', file), 'dp_transformer', (name) => {
      const ref = recorded.get(name.replace(/^model\./, ''));
      if (ref !== undefined) return readTensor(ref);
      return new Float32Array(64).fill(1).slice(0, /\.(obs)\./.test(name) ? 9 : 4);
    });
  };

  test('a .ckpt is imported once, by what is in it, and runs', async () => {
    write('latest.ckpt');
    const file = join(dir, 'run/checkpoints/latest.ckpt');
    const policy = await loadPolicy(file, { precision: 'f32', threads: 1 });
    expect(policy.spec).toMatchObject({ family: 'diffusion_policy', action_dim: 4 });
    policy.close();
    expect(said.join()).toMatch(
      /latest\.ckpt is a training's own file; it was imported to .*cache\/imported/,
    );
    expect(openFamily(join(dir, 'run')).spec.family).toBe('diffusion_policy');
    expect(readdirSync(join(dir, 'cache/imported'))).toHaveLength(1);
    write('epoch=0100.ckpt');
    expect(() => openFamily(join(dir, 'run'))).toThrow(/holds 2 checkpoints.*epoch=0100\.ckpt.*latest\.ckpt/);
  });

  test('a file that is none leaves nothing behind', () => {
    writeFileSync(join(dir, 'x.ckpt'), 'nothing');
    expect(() => openFamily(join(dir, 'x.ckpt'))).toThrow(expect.objectContaining({ code: 'unsupported' }));
    expect(existsSync(join(dir, 'cache/imported'))).toBe(false);
  });
});

test('TD-MPC2: what config.yaml leaves open stands in the weights', () => {
  const { config, dir: recorded } = golden('tdmpc2_tiny');
  mkdirSync(join(dir, 'run/models'), { recursive: true });
  mkdirSync(join(dir, 'run/.hydra'));
  writeFileSync(
    join(dir, 'run/.hydra/config.yaml'),
    `task: dog-run
obs: state
episodic: false
mpc: true
iterations: 3
samples: 32
num_samples: \${samples}
num_elites: 8
num_pi_trajs: 4
num_bins: 21
vmin: -10
episode_length: ???
obs_shape: ???
action_dim: ???
latent_dim: 512
`,
  );
  const hydra = configBeside(join(dir, 'run/models/final.pt'))!;
  const file = openSafetensors(join(recorded, 'model.safetensors'));
  const prefix = [...file.tensors.keys()].find((n) => n.includes('_dynamics.0.'))!.split('_dynamics')[0]!;
  const found = tdmpc2Config(hydra, file, prefix);
  const { obs_shape, action_dim, latent_dim, num_q } = config;
  // 512 is the default of another size of model: the weights know.
  expect(found).toMatchObject({ obs_shape, action_dim, latent_dim, num_q, num_samples: 32, iterations: 3 });
  expect(found).not.toHaveProperty('episode_length');
});
