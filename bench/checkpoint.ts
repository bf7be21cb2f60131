// A LeRobot diffusion policy on states of any size, as the folder that its training would have left: what loading and
// starting are measured on.

import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { unetGraph } from '../src/networks/index.js';
import type { Tensors } from '../src/policies/tensors.js';
import { wishes, writeHoles, writeRandom } from './weights.js';

const STATE = 14;
const ACTION = 7;
const EMBED = 128;
const HORIZON = 16;

/** Writes it; gives the bytes of its weights. With `holes` they are zeros that take no disk. */
export function diffusionFolder(dir: string, down_dims: number[], holes = false): number {
  mkdirSync(dir);
  const config = {
    type: 'diffusion',
    n_obs_steps: 2,
    horizon: HORIZON,
    n_action_steps: 8,
    input_features: { 'observation.state': { type: 'STATE', shape: [STATE] } },
    output_features: { action: { type: 'ACTION', shape: [ACTION] } },
    normalization_mapping: { STATE: 'IDENTITY', ACTION: 'IDENTITY' },
    down_dims,
    kernel_size: 5,
    n_groups: 8,
    diffusion_step_embed_dim: EMBED,
    use_film_scale_modulation: true,
    noise_scheduler_type: 'DDIM',
    num_train_timesteps: 100,
    beta_schedule: 'squaredcos_cap_v2',
    beta_start: 0.0001,
    beta_end: 0.02,
    prediction_type: 'epsilon',
    clip_sample: true,
    clip_sample_range: 1,
    num_inference_steps: 10,
  };
  writeFileSync(join(dir, 'config.json'), JSON.stringify(config));
  for (const side of ['pre', 'post'])
    writeFileSync(join(dir, `policy_${side}processor.json`), JSON.stringify({ steps: [] }));
  const shape = {
    prefix: 'diffusion.unet.',
    horizon: HORIZON,
    action_dim: ACTION,
    cond_dim: 2 * STATE,
    down_dims,
    kernel_size: 5,
    n_groups: 8,
    step_embed_dim: EMBED,
    film_scale: true,
  };
  const file = join(dir, 'model.safetensors');
  const shapes = wishes((tensors: Tensors) => unetGraph(shape, tensors, 1));
  if (holes) writeHoles(file, shapes);
  else writeRandom(file, shapes);
  return statSync(file).size;
}
