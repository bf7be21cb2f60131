// LeRobot's `gaussian_actor` family: the actor that HIL-SERL trains by soft actor-critic. One action at a time, drawn from its
// Gaussian as the peer draws it; with num_discrete_actions the gripper's choice is the last number of the action.

import type { GraphBuilder } from '../../native/index.js';
import { makeTable, row } from '../../samplers/index.js';
import { TendonError } from '../../types/index.js';
import type { Checkpoint } from '../checkpoint.js';
import type { DenoiserFamily } from '../denoiser-family.js';
import { actionCodec, actionMap, LEROBOT_STATES, lowDimFeatures, rowsOf } from '../features.js';
import { camerasOf, framesOf, imageShapes } from '../vision/camera.js';
import { GaussianActorConfig } from './config.js';
import { gaussianActorGraph } from './graph.js';

export function openGaussianActor(checkpoint: Checkpoint): DenoiserFamily {
  const config = checkpoint.parse(GaussianActorConfig, 'gaussian_actor');
  const gripper = config.num_discrete_actions !== null;
  if (gripper && config.discrete_critic_network_kwargs === undefined)
    throw new TendonError(
      'config_invalid',
      `${checkpoint.dir}/config.json: num_discrete_actions needs discrete_critic_network_kwargs`,
    );
  const tensors = checkpoint.tensors('gaussian_actor');
  const processing = checkpoint.processing(config, tensors);
  const features = lowDimFeatures(config.input_features, processing, LEROBOT_STATES);
  const cameras = camerasOf(config.input_features, processing);
  const action = actionMap(config.output_features, processing);
  const action_dim = action.dim + (gripper ? 1 : 0);
  const inputs = {
    cameras,
    environment: features.dims['observation.environment_state'] ?? 0,
    state: features.dims['observation.state'] ?? 0,
    action: action.dim,
  };
  const graph = (): GraphBuilder => {
    const g = gaussianActorGraph(config, inputs, action_dim, tensors);
    tensors.finish();
    return g;
  };
  graph();
  const codec = actionCodec(action);

  return {
    spec: {
      family: 'gaussian_actor',
      n_obs_steps: 1,
      horizon: 1,
      n_action_steps: 1,
      action_dim,
      observation_dims: features.dims,
      image_shapes: imageShapes(cameras),
      goal_dims: {},
      rate_hz: config.fps,
    },
    rename: processing.rename,
    model_horizon: 1,
    first_row: 0,
    defaults: { sampler: 'direct', steps: 1, candidates: 1, precision: 'auto', guidance_scale: 1 },
    samplers: ['direct'],
    max_steps: 1,
    guidable: false,
    graph,
    table(sampler, steps) {
      if (sampler !== 'direct' || steps !== 1)
        throw new TendonError(
          'config_invalid',
          `sampler: gaussian_actor does not denoise, so it has only "direct" with 1 step, got "${sampler}" with ${steps}`,
        );
      return makeTable([row({ w_d: 1 })], [0], 1);
    },
    schedule: () => ({}),
    condition: (history) =>
      Object.fromEntries([
        ...features.keys.map((key) => [key, rowsOf(features, key, history)] as const),
        ...cameras.map((camera) => [camera.key, framesOf(camera, history)] as const),
      ]),
    // The gripper's choice is a number of its own, which no statistics scale.
    decode: (rows, newest) => codec.decode(rows.subarray(0, action.dim), newest),
  };
}
