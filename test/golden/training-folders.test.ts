// Trainings as they lie: LeRobot's run with its steps, a diffusion_policy run with its .ckpt, TD-MPC2's config.yaml with ??? and ${…}.

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { configBeside } from '../../src/policies/convert/beside.js';
import { convert, writeCheckpoint } from '../../src/policies/convert/index.js';
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
    const policy = await loadPolicy(file, { compute: { precision: 'f32', threads: 1 } });
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

test('TD-MPC2: a run’s folder plans as its recorded config.json does, from the file and the folders around it', async () => {
  const { config, dir: recorded, get } = golden('tdmpc2_tiny');
  mkdirSync(join(dir, 'run/models'), { recursive: true });
  copyFileSync(join(recorded, 'tdmpc2.pt'), join(dir, 'run/models/final.pt'));
  // What hydra wrote: one value refers to another, and what the environment says is open.
  const open = ['tasks', 'obs_shape', 'obs_shapes', 'action_dim', 'episode_length', 'bin_size', 'checkpoint'];
  const { iterations, ...given } = config;
  const rounds = ['$', '{rounds}'].join('');
  const lines = Object.entries({ ...given, rounds: iterations, iterations: rounds })
    .filter(([key]) => !open.includes(key))
    .map(([key, value]) => `${key}: ${value}`);
  const yaml = [...lines, ...open.map((key) => `${key}: ???`)].join('\n');
  writeFileSync(join(dir, 'run/config.yaml'), yaml);

  const planned = async (path: string): Promise<number[]> => {
    const policy = await loadPolicy(path, { compute: { precision: 'f32', threads: 1 } });
    policy.reset(5);
    const { actions } = await policy.infer({ stamp_ns: 0, values: { 'observation.state': get('obs') } });
    policy.close();
    return [...actions];
  };
  mkdirSync(join(dir, 'ours'));
  for (const file of ['config.json', 'model.safetensors'])
    copyFileSync(join(recorded, file), join(dir, 'ours', file));
  const want = await planned(join(dir, 'ours'));
  for (const path of ['run', 'run/models', 'run/models/final.pt'])
    expect(await planned(join(dir, path))).toEqual(want);
  expect(said.join()).toMatch(/does not say episode_length, so plans are valued with the γ of 500 steps/);

  const shorter = { episode_length: 100, fps: 20 };
  writeCheckpoint(join(dir, 'out'), convert(join(dir, 'run/models/final.pt'), { config: shorter }));
  const told = await planned(join(dir, 'out'));
  expect(openFamily(join(dir, 'out')).spec).toMatchObject({ family: 'tdmpc2', rate_hz: 20 });
  expect(told).not.toEqual(want);
  said = [];
  writeFileSync(join(dir, 'run/config.yaml'), yaml.replace('episode_length: ???', 'episode_length: 100'));
  expect(await planned(join(dir, 'run'))).toEqual(told);
  expect(said.join()).not.toMatch(/episode_length/);
});

describe('torch’s formats before 1.6', () => {
  const tar = (): Buffer => {
    // As torch ≤ 0.1.9 wrote: a tar of sys_info, pickle, tensors and storages.
    const bytes = Buffer.alloc(4096);
    bytes.write('storages', 0);
    bytes.write('ustar', 257);
    return bytes;
  };
  // The number that torch.save put first, as a pickle of protocol 2.
  const pickles = Buffer.from('80028a0a6cfc9c46f9206aa850192e8002', 'hex');
  test.each([
    ['a tar', tar(), /a tar, as torch before 0\.2/],
    [
      'a row of pickles',
      Buffer.concat([pickles, Buffer.alloc(64)]),
      /a row of pickles, as torch before 1\.6/,
    ],
    ['something else', Buffer.alloc(64, 7), /not a zip/],
  ])('%s is refused with what to do', (_, bytes, message) => {
    const file = join(dir, 'old.pth');
    writeFileSync(file, bytes);
    expect(() => openFamily(file)).toThrow(
      expect.objectContaining({ code: 'unsupported', message: expect.stringMatching(message) }),
    );
    expect(() => openFamily(file)).toThrow(/save it again with a newer torch/);
  });
});
