// LeRobot's `vqbet` family. Its one step draws codes instead of denoising: a sampler of one row whose noise decides.

import { TendonError } from '../../types/index.js';
import { readTensor } from '../../weights/index.js';
import type { Checkpoint } from '../checkpoint.js';
import { definePolicy } from '../define.js';
import type { DenoiserFamily } from '../denoiser-family.js';
import { actionCodec, actionMap, lowDimFeatures, statesOf } from '../features.js';
import { direct } from '../sampling.js';
import { cameraSpec, camerasOf, picturesOf } from '../vision/camera.js';
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

  return definePolicy({
    family: 'vqbet',
    rate_hz: config.fps,
    action_dim: action.dim,
    observes: { observation_dims: features.dims, ...cameraSpec(cameras) },
    network: {
      rows: sampleRows(config, action.dim),
      build: () => vqbetGraph(config, cameras, state_dim, action.dim, tensors),
      finish: () => tensors.finish(),
      condition: (history) => ({ ...statesOf(features, history), ...picturesOf(cameras, history) }),
    },
    sampling: direct('vqbet', 1, 'draws its codes at once'),
    codec: { decode: actionCodec(action).decode },
    window: { n_obs_steps: config.n_obs_steps, rename: processing.rename, horizon: config.action_chunk_size },
  });
}
