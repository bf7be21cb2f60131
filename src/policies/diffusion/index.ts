// LeRobot's `diffusion` family on state, cameras and environment state: DDPM and DDIM as diffusers runs them, and
// every σ-sampler through the variance-preserving bridge.

import type { GraphBuilder } from '../../native/index.js';
import { timestepEmbedding, type UnetShape, unetGraph } from '../../networks/index.js';
import type { Checkpoint } from '../checkpoint.js';
import { definePolicy } from '../define.js';
import type { DenoiserFamily } from '../denoiser-family.js';
import {
  actionCodec,
  actionMap,
  conditionVector,
  LEROBOT_STATES,
  lowDimFeatures,
  statesOf,
} from '../features.js';
import { diffusion } from '../sampling.js';
import { cameraSpec, camerasOf, picturesOf } from '../vision/camera.js';
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
  const first_row = config.n_obs_steps - 1;

  return definePolicy({
    family: 'diffusion',
    rate_hz: config.fps,
    action_dim: action.dim,
    observes: { observation_dims: features.dims, ...cameraSpec(cameras) },
    network: {
      rows: config.horizon,
      build: (groups) => unetGraph(shape, tensors, groups),
      finish: () => tensors.finish(),
      schedule: (levels) => ({
        timestep_embedding: timestepEmbedding(levels, config.diffusion_step_embed_dim),
      }),
      condition: (history) =>
        cameras.length === 0
          ? { cond: conditionVector(features, history, undefined) }
          : { ...statesOf(features, history), ...picturesOf(cameras, history) },
    },
    sampling: diffusion('diffusion', config, {
      sampler: config.noise_scheduler_type.toLowerCase(),
      // All of training's where the config leaves it open, as LeRobot.
      steps: config.num_inference_steps ?? config.num_train_timesteps,
    }),
    codec: actionCodec(action),
    window: {
      n_obs_steps: config.n_obs_steps,
      first_row,
      // The peer takes a slice, which ends with the chunk.
      n_action_steps: Math.min(config.n_action_steps, config.horizon - first_row),
      rename: processing.rename,
    },
  });
}
