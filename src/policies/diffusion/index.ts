// LeRobot's `diffusion` family on state, cameras and environment state: DDPM and DDIM as diffusers runs them, and
// every σ-sampler through the variance-preserving bridge.

import type { GraphBuilder } from '../../native/index.js';
import { timestepEmbedding, type UnetShape, unetGraph } from '../../networks/index.js';
import { DIFFUSION_SAMPLERS, diffusionTable, type SamplerTable } from '../../samplers/index.js';
import type { Checkpoint } from '../checkpoint.js';
import type { DenoiserFamily } from '../denoiser-family.js';
import {
  actionCodec,
  actionMap,
  conditionVector,
  LEROBOT_STATES,
  lowDimFeatures,
  rowsOf,
} from '../features.js';
import { anySize, camerasOf, framesOf, imageShapes } from '../vision/camera.js';
import { cameraCondition } from './condition.js';
import { DiffusionConfig } from './config.js';

export function openDiffusion(checkpoint: Checkpoint): DenoiserFamily {
  const config = checkpoint.parse(DiffusionConfig, 'diffusion');
  const tensors = checkpoint.tensors('diffusion');
  const processing = checkpoint.processing(config, tensors);
  const features = lowDimFeatures(config.input_features, processing, LEROBOT_STATES);
  const cameras = camerasOf(config.input_features, processing, config);
  const action = actionMap(config.output_features, processing);
  const shape: UnetShape = {
    prefix: 'diffusion.unet.',
    horizon: config.horizon,
    action_dim: action.dim,
    cond_dim: features.width * config.n_obs_steps,
    ...(cameras.length === 0
      ? {}
      : { condition: (g: GraphBuilder) => cameraCondition(g, tensors, config, cameras, features) }),
    down_dims: config.down_dims,
    kernel_size: config.kernel_size,
    n_groups: config.n_groups,
    step_embed_dim: config.diffusion_step_embed_dim,
    film_scale: config.use_film_scale_modulation,
  };
  tensors.ignore(/^(un)?normalize_(inputs|targets|outputs)\./);
  const graph = (groups: number) => {
    const g = unetGraph(shape, tensors, groups);
    tensors.finish();
    return g;
  };
  graph(1);
  const first_row = config.n_obs_steps - 1;

  return {
    spec: {
      family: 'diffusion',
      n_obs_steps: config.n_obs_steps,
      horizon: config.horizon - first_row,
      // The peer takes a slice, which ends with the chunk.
      n_action_steps: Math.min(config.n_action_steps, config.horizon - first_row),
      action_dim: action.dim,
      observation_dims: features.dims,
      image_shapes: imageShapes(cameras),
      ...anySize(cameras),
      goal_dims: {},
      rate_hz: config.fps,
    },
    rename: processing.rename,
    model_horizon: config.horizon,
    first_row,
    defaults: {
      sampler: config.noise_scheduler_type.toLowerCase(),
      // All of training's where the config leaves it open, as LeRobot.
      steps: config.num_inference_steps ?? config.num_train_timesteps,
      candidates: 1,
      precision: 'auto',
      guidance_scale: 1,
    },
    samplers: DIFFUSION_SAMPLERS,
    max_steps: config.num_train_timesteps,
    guidable: false,
    graph,
    table: (sampler, steps, noise) => diffusionTable(config, sampler, steps, noise),
    schedule: (table: SamplerTable) => ({
      timestep_embedding: timestepEmbedding(table.levels, config.diffusion_step_embed_dim),
    }),
    condition(history) {
      if (cameras.length === 0) return { cond: conditionVector(features, history, undefined) };
      const states = features.keys.map((key) => [key, rowsOf(features, key, history)] as const);
      return Object.fromEntries([...states, ...cameras.map((c) => [c.key, framesOf(c, history)] as const)]);
    },
    ...actionCodec(action),
  };
}
