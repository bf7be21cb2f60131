// A small checkpoint folder of every family, from the weights that the goldens keep: what the fuzz of configs starts from.

import { copyFileSync, cpSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { convert } from '../../src/policies/convert/index.js';
import { openSafetensors, type TensorSource, writeSafetensors } from '../../src/weights/index.js';
import { golden } from '../golden/golden.js';
import { keys, shapesOf, weight } from '../golden/hashed.js';
import { writeTorchZip } from '../golden/torch-zip.js';
import { openpiFolder } from '../golden/vla-folder.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
type Features = Record<string, { type: string; shape: number[] }>;
const feature = (type: string, ...shape: number[]) => ({ type, shape });

/** LeRobot's two processor files and their statistics for every feature of `config`. */
function writeProcessors(dir: string, config: Record<string, unknown>): void {
  const features = { ...(config.input_features as Features), ...(config.output_features as Features) };
  const tensors: Record<string, TensorSource> = {};
  for (const [key, { shape, type }] of Object.entries(features)) {
    const n = type === 'VISUAL' ? [shape[0]!, 1, 1] : shape;
    for (const [stat, value] of Object.entries({ mean: 0, std: 1, min: -1, max: 1 }))
      tensors[`${key}.${stat}`] = { shape: n, values: new Float32Array(n[0]!).fill(value) };
  }
  for (const [side, name] of [
    ['pre', 'normalizer_processor'],
    ['post', 'unnormalizer_processor'],
  ] as const) {
    const state_file = `${side}.safetensors`;
    const norm_map = config.normalization_mapping;
    const steps = [
      { registry_name: 'rename_observations_processor', config: { rename_map: {} } },
      { registry_name: name, config: { eps: 1e-8, features, norm_map }, state_file },
    ];
    writeFileSync(join(dir, `policy_${side}processor.json`), JSON.stringify({ name: side, steps }));
    writeSafetensors(join(dir, state_file), tensors);
  }
}

/** A golden's weights under another config, with processors where its family reads them. */
function recorded(name: string, changes: object, processors = false): (dir: string) => void {
  return (dir) => {
    const { dir: from, config } = golden(name);
    const whole = { ...config, ...changes };
    writeFileSync(join(dir, 'config.json'), JSON.stringify(whole));
    symlinkSync(join(from, 'model.safetensors'), join(dir, 'model.safetensors'));
    if (processors) writeProcessors(dir, whole);
  };
}

const IDENTITY = { STATE: 'IDENTITY', ENV: 'IDENTITY', ACTION: 'IDENTITY' };

function edm(dir: string): void {
  const from = join(root, 'models/arm');
  for (const name of readdirSync(from))
    if (/\.(json|safetensors)$/.test(name)) copyFileSync(join(from, name), join(dir, name));
}

function dp(dir: string): void {
  const network = openSafetensors(join(golden('dp_unet_local').dir, 'model.safetensors')).tensors;
  const tensors: Record<string, TensorSource> = {};
  for (const [name, ref] of network) tensors[`model.${name}`] = ref;
  for (const [key, n] of Object.entries({ obs: 5, action: 3 }))
    for (const [part, value] of Object.entries({ scale: 2, offset: 0.5 }))
      tensors[`normalizer.params_dict.${key}.${part}`] = {
        shape: [n],
        values: new Float32Array(n).fill(value),
      };
  writeSafetensors(join(dir, 'model.safetensors'), tensors);
  const config = {
    type: 'diffusion_policy',
    n_obs_steps: 2,
    horizon: 16,
    n_action_steps: 8,
    oa_step_convention: true,
    input_features: { 'observation.state': feature('STATE', 5) },
    output_features: { action: feature('ACTION', 3) },
    normalizer_keys: { 'observation.state': 'obs', action: 'action' },
    obs_as: 'local_cond',
    network: {
      kind: 'unet',
      down_dims: [32, 64],
      kernel_size: 3,
      n_groups: 8,
      diffusion_step_embed_dim: 32,
      cond_predict_scale: false,
    },
    noise_scheduler_type: 'DDPM',
    num_train_timesteps: 100,
    beta_schedule: 'squaredcos_cap_v2',
    beta_start: 0.0001,
    beta_end: 0.02,
    prediction_type: 'epsilon',
    clip_sample: true,
    num_inference_steps: 10,
  };
  writeFileSync(join(dir, 'config.json'), JSON.stringify(config));
}

function vqbet(dir: string): void {
  const { shapes, config } = keys('vqbet_small');
  const whole = { ...config, type: 'vqbet' };
  const tensors = Object.fromEntries(
    [...shapes].map(([name, shape]) => [name, { shape, values: weight(name, shape) }]),
  );
  writeSafetensors(join(dir, 'model.safetensors'), tensors);
  writeFileSync(join(dir, 'config.json'), JSON.stringify(whole));
  writeProcessors(dir, whole);
}

function onnx(dir: string): void {
  copyFileSync(join(root, 'test/golden/onnx_unet/model.onnx'), join(dir, 'model.onnx'));
  const { beta_schedule, beta_start, beta_end } = golden('diffusion_env_ddim').config;
  const config = {
    type: 'onnx',
    sample: 'x',
    level: 't',
    condition: 'cond',
    n_obs_steps: 2,
    n_action_steps: 4,
    input_features: { 'observation.state': feature('STATE', 3) },
    output_features: { action: feature('ACTION', 2) },
    normalization_mapping: IDENTITY,
    training: {
      kind: 'diffusers',
      num_train_timesteps: 100,
      beta_schedule,
      beta_start,
      beta_end,
      prediction_type: 'epsilon',
      clip_sample: true,
      clip_sample_range: 1,
    },
  };
  writeFileSync(join(dir, 'config.json'), JSON.stringify(config));
}

/** robomimic's recorded .pth as `tendon import` makes a folder of it. */
function robomimic(dir: string): void {
  const shapes = shapesOf('rm_gmm');
  const file = join(dir, '..', 'model.pth');
  writeTorchZip(file, 'rm_gmm', (name) => weight(name, shapes.get(name)!));
  const { config, tensors } = convert(file);
  writeSafetensors(join(dir, 'model.safetensors'), tensors);
  writeFileSync(join(dir, 'config.json'), JSON.stringify(config));
  rmSync(file);
}

/** Hashed weights under the recorded names of a golden, with its config. */
const hashedCase =
  (name: string, ...beside: readonly string[]) =>
  (dir: string): void => {
    const tensors = Object.fromEntries(
      [...shapesOf(name)].map(([key, shape]) => [key, { shape, values: weight(key, shape) }]),
    );
    writeSafetensors(join(dir, 'model.safetensors'), tensors);
    writeFileSync(join(dir, 'config.json'), JSON.stringify(golden(name).config));
    for (const part of beside) cpSync(join(golden(name).dir, part), join(dir, part), { recursive: true });
  };

function openpi(dir: string): void {
  const from = openpiFolder(golden('pi0_tiny'));
  cpSync(from, dir, { recursive: true });
  rmSync(from, { recursive: true });
}

/** The files that a training left, beside the recording, with `config` in place of its config.json. */
function whole(name: string, config?: object): (dir: string) => void {
  return (dir) => {
    const { dir: from } = golden(name);
    cpSync(from, dir, { recursive: true, filter: (path) => !/\/(io\.|keys\.txt)/.test(path) });
    if (config !== undefined) writeFileSync(join(dir, 'config.json'), JSON.stringify(config));
  };
}

const beso = {
  type: 'beso',
  input_features: { 'observation.state': feature('STATE', 10), 'observation.goal': feature('ENV', 10) },
  output_features: { action: feature('ACTION', 2) },
  normalization_mapping: IDENTITY,
};

/** Family → how its folder is written. */
export const CHECKPOINTS: Readonly<Record<string, (dir: string) => void>> = {
  edm,
  beso: recorded('beso_small', beso),
  act: recorded('act_env_prenorm_gelu_novae', { type: 'act' }, true),
  diffusion: recorded('diffusion_env_ddim', { type: 'diffusion' }, true),
  vqbet,
  diffusion_policy: dp,
  robomimic,
  gaussian_actor: hashedCase('gaussian_actor_states'),
  reward_classifier: hashedCase('reward_classifier'),
  multi_task_dit: hashedCase('multi_task_dit', 'tokenizer', 'clip_config.json'),
  onnx,
  actor: whole('ogbench_hiql', {
    type: 'actor',
    weights: 'params_1000000.pkl',
    fps: 20,
    temperature: 0,
    goal_use: [0, 1],
    goal_dim: 7,
    discount: 0.99,
  }),
  smolvla: whole('smolvla_tiny'),
  pi0: whole('pi0_tiny'),
  pi05: whole('pi05_tiny'),
  openpi,
  tdmpc: recorded('tdmpc_lerobot_env', { type: 'tdmpc' }, true),
  tdmpc2: recorded('tdmpc2_tiny', {}),
  ensemble: recorded('ensemble', {}),
  rssm: recorded('rssm', {}),
  scalezero: recorded('scalezero', {}),
};

export function writeCheckpointOf(family: string, dir: string): string {
  mkdirSync(dir, { recursive: true });
  CHECKPOINTS[family]!(dir);
  return dir;
}
