// The `robomimic` family: behaviour cloning by an MLP, an RNN or a transformer, with or without a Gaussian or a mixture
// (BC, BC-Gaussian, BC-GMM, BC-RNN, BC-RNN-GMM, BC-Transformer, BC-Transformer-GMM). One action at a time; its diffusion
// policy is imported as diffusion_policy. `tendon import` makes the folder of a .pth.

import type { GraphBuilder } from '../../native/index.js';
import { makeTable, row } from '../../samplers/index.js';
import { TendonError } from '../../types/index.js';
import type { Checkpoint } from '../checkpoint.js';
import type { DenoiserFamily } from '../denoiser-family.js';
import { actionCodec } from '../features.js';
import { keyedObservation } from '../keyed-observation.js';
import { linearNormalizer } from '../processors/linear.js';
import { imageShapes } from '../vision/camera.js';
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
  const graph = (): GraphBuilder => {
    const g = robomimicGraph(config, action_dim, tensors, (g) => observation.graph(g, tensors));
    tensors.finish();
    return g;
  };
  graph();
  const size = stateSize(config);
  const horizon = network.kind === 'rnn' ? network.horizon : 0;

  return {
    spec: {
      family: 'robomimic',
      n_obs_steps: rows,
      horizon: 1,
      n_action_steps: 1,
      action_dim,
      observation_dims: observation.dims,
      image_shapes: imageShapes(observation.cameras),
      goal_dims: {},
      rate_hz: config.fps,
    },
    model_horizon: rowsOfX(config, action_dim),
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
          `sampler: robomimic's behaviour cloning does not denoise, so it has only "direct" with 1 step, got "${sampler}" with ${steps}`,
        );
      return makeTable([row({ w_d: 1 })], [0], 1);
    },
    schedule: () => ({}),
    condition: (history) => observation.inputs(history),
    ...(size === 0
      ? {}
      : {
          recurrent: {
            inputs: (state) => ({ rnn_state: before(state as Carried | undefined, size, horizon) }),
            next: (x, state): Carried => ({
              values: x.slice(action_dim, action_dim + size),
              steps: ((state as Carried | undefined)?.steps ?? 0) + 1,
            }),
          },
        }),
    decode: actionCodec({ affine }).decode,
  };
}

/** Zeros at the beginning, and again every `horizon` steps, as the peer trained it (BC_RNN.get_action). */
function before(state: Carried | undefined, size: number, horizon: number): Float32Array {
  return state === undefined || state.steps % horizon === 0 ? new Float32Array(size) : state.values;
}
