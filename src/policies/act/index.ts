// LeRobot's `act` family on state, environment state and cameras. A network that needs no noise is a sampler of one row: the
// chunk is its output.

import { makeTable, row } from '../../samplers/index.js';
import { TendonError } from '../../types/index.js';
import type { Checkpoint } from '../checkpoint.js';
import type { DenoiserFamily } from '../denoiser-family.js';
import { actionCodec, actionMap, LEROBOT_STATES, lowDimFeatures, rowsOf } from '../features.js';
import { anySize, camerasOf, framesOf, imageShapes } from '../vision/camera.js';
import { ActConfig } from './config.js';
import { actGraph } from './graph.js';

export function openAct(checkpoint: Checkpoint): DenoiserFamily {
  const { dir } = checkpoint;
  const config = checkpoint.parse(ActConfig, 'act');
  if (config.temporal_ensemble_coeff !== null && config.n_action_steps !== 1)
    throw new TendonError(
      'config_invalid',
      `${dir}/config.json: temporal_ensemble_coeff needs n_action_steps 1, got ${config.n_action_steps}; the policy must speak at every step`,
    );
  const tensors = checkpoint.tensors('act');
  tensors.ignore(/^(un)?normalize_(inputs|targets|outputs)\./);
  const processing = checkpoint.processing(config, tensors);
  const features = lowDimFeatures(config.input_features, processing, LEROBOT_STATES);
  const cameras = camerasOf(config.input_features, processing);
  const action = actionMap(config.output_features, processing);
  const inputs = features.keys.map((key) => ({
    key,
    name: key === 'observation.state' ? 'state' : 'environment',
  }));
  const dim = (name: string): number => {
    const input = inputs.find((i) => i.name === name);
    return input === undefined ? 0 : features.dims[input.key]!;
  };
  const dims = { state: dim('state'), environment: dim('environment'), action: action.dim };
  const graph = (groups: number) => {
    const g = actGraph(config, dims, cameras, tensors, groups);
    // The loop's sample, which nothing reads.
    g.input('x', [groups, config.chunk_size, action.dim], 'step');
    tensors.finish();
    return g;
  };
  graph(1);

  return {
    spec: {
      family: 'act',
      n_obs_steps: 1,
      horizon: config.chunk_size,
      n_action_steps: config.n_action_steps,
      action_dim: action.dim,
      observation_dims: features.dims,
      image_shapes: imageShapes(cameras),
      ...anySize(cameras),
      goal_dims: {},
      rate_hz: config.fps,
      ...(config.temporal_ensemble_coeff === null ? {} : { ensemble: config.temporal_ensemble_coeff }),
    },
    rename: processing.rename,
    model_horizon: config.chunk_size,
    first_row: 0,
    defaults: { sampler: 'direct', steps: 1, candidates: 1, precision: 'auto', guidance_scale: 1 },
    samplers: ['direct'],
    max_steps: 1,
    guidable: false,
    ...(config.temporal_ensemble_coeff === null ? {} : { ensemble: config.temporal_ensemble_coeff }),
    graph,
    table(sampler, steps) {
      if (sampler !== 'direct' || steps !== 1)
        throw new TendonError(
          'config_invalid',
          `sampler: act does not denoise, so it has only "direct" with 1 step, got "${sampler}" with ${steps}`,
        );
      return makeTable([row({ w_d: 1 })], [0], 0);
    },
    schedule: () => ({}),
    condition: (history) =>
      Object.fromEntries([
        ...inputs.map(({ key, name }) => [name, rowsOf(features, key, history)] as const),
        ...cameras.map((camera) => [camera.key, framesOf(camera, history)] as const),
      ]),
    decode: actionCodec(action).decode,
  };
}
