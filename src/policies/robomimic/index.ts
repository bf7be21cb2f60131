// The `robomimic` family: behaviour cloning by an MLP, an RNN or a transformer, with or without a Gaussian or a mixture
// (BC, BC-Gaussian, BC-GMM, BC-RNN, BC-RNN-GMM, BC-Transformer, BC-Transformer-GMM). One action at a time; its diffusion
// policy is imported as diffusion_policy. `tendon import` makes the folder of a .pth.

import { TendonError } from '../../types/index.js';
import type { Checkpoint } from '../checkpoint.js';
import { definePolicy } from '../define.js';
import type { Carry, DenoiserFamily } from '../denoiser-family.js';
import { actionCodec } from '../features.js';
import { keyedObservation } from '../keyed-observation.js';
import { linearNormalizer } from '../processors/linear.js';
import { direct } from '../sampling.js';
import { cameraSpec } from '../vision/camera.js';
import { RobomimicConfig } from './config.js';
import { robomimicVision } from './encoder.js';
import { robomimicGraph, rowsOfX, stateSize } from './graph.js';

/** What an RNN carries from step to step. */
interface Carried {
  readonly values: Float32Array;
  /** Steps since it began. */
  readonly steps: number;
}

export function openRobomimic(checkpoint: Checkpoint): DenoiserFamily {
  const config = checkpoint.parse(RobomimicConfig, 'robomimic');
  const tensors = checkpoint.tensors('robomimic');
  const action = config.output_features.action;
  if (action?.shape.length !== 1)
    throw new TendonError(
      'config_invalid',
      `${checkpoint.dir}/config.json: expected output feature "action" of one dim`,
    );
  const action_dim = action.shape[0]!;
  const affine = linearNormalizer(tensors, 'normalizer.', 'action', action_dim);
  const { n_obs_steps: rows, names, visual, network } = config;
  const vision =
    visual === null ? undefined : robomimicVision(visual, 'policy.nets.encoder.nets.obs.obs_nets.');
  const entries = Object.entries(config.input_features);
  const observation = keyedObservation({ entries, names, rows, vision }, tensors);
  if (network.kind !== 'transformer' && rows !== 1)
    throw new TendonError(
      'config_invalid',
      `${checkpoint.dir}/config.json: expected n_obs_steps 1 for network.kind "${network.kind}", got ${rows}`,
    );
  const size = stateSize(config);
  const horizon = network.kind === 'rnn' ? network.horizon : 0;

  return definePolicy({
    family: 'robomimic',
    rate_hz: config.fps,
    action_dim,
    observes: { observation_dims: observation.dims, ...cameraSpec(observation.cameras) },
    network: {
      rows: rowsOfX(config, action_dim),
      build: () => robomimicGraph(config, action_dim, tensors, (g) => observation.graph(g, tensors)),
      finish: () => tensors.finish(),
      condition: (history) => observation.inputs(history),
    },
    sampling: direct('robomimic', 1, 'does not denoise when it clones behaviour'),
    codec: { decode: actionCodec({ affine }).decode },
    window: {
      n_obs_steps: rows,
      horizon: 1,
      ...(size === 0 ? {} : { carry: recurrent(action_dim, size, horizon) }),
    },
  });
}

/** What an RNN made of an observation, (size) after the action in x, goes to its next step. */
function recurrent(action_dim: number, size: number, horizon: number): Carry {
  return {
    begin: (left) => ({ rnn_state: before(left as Carried | undefined, size, horizon) }),
    next: (left, x): Carried => ({
      values: x.slice(action_dim, action_dim + size),
      steps: ((left as Carried | undefined)?.steps ?? 0) + 1,
    }),
  };
}

/** Zeros at the beginning, and again every `horizon` steps, as the peer trained it (BC_RNN.get_action). */
function before(state: Carried | undefined, size: number, horizon: number): Float32Array {
  return state === undefined || state.steps % horizon === 0 ? new Float32Array(size) : state.values;
}
