// LeRobot's `gaussian_actor` family: the actor that HIL-SERL trains by soft actor-critic. One action at a time, drawn from its
// Gaussian as the peer draws it; with num_discrete_actions the gripper's choice is the last number of the action.

import { TendonError } from '../../types/index.js';
import type { Checkpoint } from '../checkpoint.js';
import { definePolicy } from '../define.js';
import type { DenoiserFamily } from '../denoiser-family.js';
import { actionCodec, actionMap, LEROBOT_STATES, lowDimFeatures, statesOf } from '../features.js';
import { direct } from '../sampling.js';
import { cameraSpec, camerasOf, picturesOf } from '../vision/camera.js';
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
  const codec = actionCodec(action);

  return definePolicy({
    family: 'gaussian_actor',
    rate_hz: config.fps,
    action_dim,
    observes: { observation_dims: features.dims, ...cameraSpec(cameras) },
    network: {
      rows: 1,
      build: () => gaussianActorGraph(config, inputs, action_dim, tensors),
      finish: () => tensors.finish(),
      condition: (history) => ({ ...statesOf(features, history), ...picturesOf(cameras, history) }),
    },
    sampling: direct('gaussian_actor', 1),
    // The gripper's choice is a number of its own, which no statistics scale.
    codec: { decode: (rows, newest) => codec.decode(rows.subarray(0, action.dim), newest) },
    window: { rename: processing.rename },
  });
}
