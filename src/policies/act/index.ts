// LeRobot's `act` family on state, environment state and cameras. A network that needs no noise is a sampler of one row: the
// chunk is its output.

import { TendonError } from '../../types/index.js';
import type { Checkpoint } from '../checkpoint.js';
import { definePolicy } from '../define.js';
import type { DenoiserFamily } from '../denoiser-family.js';
import { actionCodec, actionMap, LEROBOT_STATES, lowDimFeatures, rowsOf } from '../features.js';
import { direct } from '../sampling.js';
import { cameraSpec, camerasOf, picturesOf } from '../vision/camera.js';
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

  return definePolicy({
    family: 'act',
    rate_hz: config.fps,
    action_dim: action.dim,
    observes: { observation_dims: features.dims, ...cameraSpec(cameras) },
    network: {
      rows: config.chunk_size,
      build(groups) {
        const g = actGraph(config, dims, cameras, tensors, groups);
        // The loop's sample, which nothing reads.
        g.input('x', [groups, config.chunk_size, action.dim], 'step');
        return g;
      },
      finish: () => tensors.finish(),
      condition: (history) => ({
        ...Object.fromEntries(inputs.map(({ key, name }) => [name, rowsOf(features, key, history)])),
        ...picturesOf(cameras, history),
      }),
    },
    sampling: direct('act', 0),
    codec: { decode: actionCodec(action).decode },
    window: {
      n_action_steps: config.n_action_steps,
      rename: processing.rename,
      ensemble: config.temporal_ensemble_coeff ?? undefined,
    },
  });
}
