// LeRobot's `vqbet` family. Its one step draws codes instead of denoising: a sampler of one row whose noise decides.

import { makeTable, row } from '../../samplers/index.js';
import { TendonError } from '../../types/index.js';
import { readTensor } from '../../weights/index.js';
import type { Checkpoint } from '../checkpoint.js';
import type { DenoiserFamily } from '../denoiser-family.js';
import { actionCodec, actionMap, lowDimFeatures, rowsOf } from '../features.js';
import { anySize, camerasOf, framesOf, imageShapes } from '../vision/camera.js';
import { VqbetConfig } from './config.js';
import { sampleRows, vqbetGraph } from './graph.js';

const STATE = 'observation.state';

export function openVqbet(checkpoint: Checkpoint): DenoiserFamily {
  const { dir } = checkpoint;
  const config = checkpoint.parse(VqbetConfig, 'vqbet');
  const tensors = checkpoint.tensors('vqbet');
  tensors.ignore(/^(un)?normalize_(inputs|targets|outputs)\./);
  const processing = checkpoint.processing(config, tensors);
  const features = lowDimFeatures(config.input_features, processing, [STATE]);
  const cameras = camerasOf(config.input_features, processing, config);
  const action = actionMap(config.output_features, processing);
  const state_dim = features.dims[STATE];
  if (state_dim === undefined || cameras.length === 0)
    throw new TendonError(
      'config_invalid',
      `${dir}/config.json: vqbet reads ${STATE} and at least one camera; input_features has ${Object.keys(config.input_features).join(', ')}`,
    );
  const finished = 'vqbet.action_head.vqvae_model.discretized';
  if (tensors.has(finished) && readTensor(tensors.ref(finished, []))[0] === 0)
    process.emitWarning(
      `${dir}: its action quantiser was still being trained (${finished} is false), so its actions mean little`,
      'TendonWarning',
    );
  const graph = () => {
    const g = vqbetGraph(config, cameras, state_dim, action.dim, tensors);
    tensors.finish();
    return g;
  };
  graph();

  return {
    spec: {
      family: 'vqbet',
      n_obs_steps: config.n_obs_steps,
      horizon: config.action_chunk_size,
      n_action_steps: config.action_chunk_size,
      action_dim: action.dim,
      observation_dims: features.dims,
      image_shapes: imageShapes(cameras),
      ...anySize(cameras),
      goal_dims: {},
      rate_hz: config.fps,
    },
    rename: processing.rename,
    model_horizon: sampleRows(config, action.dim),
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
          `sampler: vqbet draws its codes at once, so it has only "direct" with 1 step, got "${sampler}" with ${steps}`,
        );
      return makeTable([row({ w_d: 1 })], [0], 1);
    },
    schedule: () => ({}),
    condition: (history) =>
      Object.fromEntries([
        [STATE, rowsOf(features, STATE, history)] as const,
        ...cameras.map((camera) => [camera.key, framesOf(camera, history)] as const),
      ]),
    decode: actionCodec(action).decode,
  };
}
