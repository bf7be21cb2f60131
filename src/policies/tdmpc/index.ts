// LeRobot's `tdmpc` family: a latent world model planned through by MPPI whose mean has momentum, whose returns pay for
// the critics' disagreement, and whose answer is one elite, drawn.

import { join } from 'node:path';
import type { FrameInput, PlannerTable } from '../../native/index.js';
import { TendonError } from '../../types/index.js';
import type { Checkpoint } from '../checkpoint.js';
import { actionCodec, actionMap, LEROBOT_STATES, lowDimFeatures, rowsOf } from '../features.js';
import { cameraSpec, camerasOf, framesOf } from '../vision/camera.js';
import { worldGraph } from '../world-model/graph.js';
import type { WorldModelFamily } from '../world-model/planning-policy.js';
import { TdmpcConfig } from './config.js';
import { type EncoderInput, tdmpcNetworks } from './networks.js';

/** The planner of TDMPCPolicy.plan. */
export function tdmpcTable(config: TdmpcConfig, action_dim: number): PlannerTable {
  return {
    horizon: config.horizon,
    action_dim,
    samples: config.n_gaussian_samples,
    prior: config.n_pi_samples,
    iterations: config.cem_iterations,
    elites: config.n_elites,
    initial_std: config.max_std,
    min_std: config.min_std,
    max_std: config.max_std,
    temperature: config.elite_weighting_temperature,
    momentum: config.gaussian_mean_momentum,
    critics: config.q_ensemble_size,
    drawn: 2,
    // Of two, LeRobot asks both.
    with_replacement: config.q_ensemble_size > 2,
    ask: 'minimum',
    pick: 'sampled',
  };
}

export function openTdmpc(checkpoint: Checkpoint): WorldModelFamily {
  const { dir } = checkpoint;
  const config = checkpoint.parse(TdmpcConfig, 'tdmpc');
  const tensors = checkpoint.tensors('tdmpc');
  // The copies that learning needs: slow targets, and V, which only teaches the policy.
  tensors.ignore(/^model_target\.|^model\._V\.|^(un)?normalize_(inputs|targets|outputs)\./);
  const processing = checkpoint.processing(config, tensors);
  const features = lowDimFeatures(config.input_features, processing, LEROBOT_STATES);
  const action = actionMap(config.output_features, processing);

  const keys: Partial<Record<EncoderInput['name'], string>> = {};
  const inputs: EncoderInput[] = [];
  for (const [type, name] of [
    ['VISUAL', 'image'],
    ['ENV', 'environment'],
    ['STATE', 'state'],
  ] as const) {
    // Of states the peer reads these two; another is in the dataset and not in the network.
    const found = Object.keys(config.input_features).filter(
      (k) =>
        config.input_features[k]!.type === type && (type === 'VISUAL' || LEROBOT_STATES.some((s) => s === k)),
    );
    if (found.length > 1)
      throw new TendonError(
        'config_invalid',
        `${join(dir, 'config.json')}: expected at most one input feature of type ${type}, got ${found.join(', ')}`,
      );
    if (found.length === 0) continue;
    keys[name] = found[0]!;
    inputs.push({ name, shape: config.input_features[found[0]!]!.shape });
  }
  const [camera] = camerasOf(config.input_features, processing);
  const networks = tdmpcNetworks(config, tensors, inputs, action.dim);
  const graph = () => {
    const g = worldGraph(networks, {
      horizon: config.horizon,
      discount: config.discount,
      uncertainty: config.uncertainty_regularizer_coeff,
      ask: 'minimum',
    });
    tensors.finish();
    return g;
  };
  graph();
  const rows = config.n_action_repeats > 1 ? config.n_action_repeats : config.n_action_steps;
  return {
    kind: 'world-model',
    spec: {
      family: 'tdmpc',
      n_obs_steps: 1,
      horizon: rows,
      n_action_steps: rows,
      action_dim: action.dim,
      observation_dims: features.dims,
      ...cameraSpec(camera === undefined ? [] : [camera]),
      goal_dims: {},
      rate_hz: config.fps,
    },
    rename: processing.rename,
    table: tdmpcTable(config, action.dim),
    discount: config.discount,
    repeats: config.n_action_repeats,
    plans: config.use_mpc,
    graph,
    networks,
    observe(history) {
      const newest = history.at(-1)!;
      const given: Record<string, Float32Array | FrameInput> = {};
      for (const name of ['environment', 'state'] as const) {
        const key = keys[name];
        if (key === undefined) continue;
        given[name] = rowsOf(features, key, [newest]);
      }
      if (camera !== undefined) given.image = framesOf(camera, [newest]);
      return given;
    },
    ...actionCodec(action),
  };
}
