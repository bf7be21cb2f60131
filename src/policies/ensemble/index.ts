// The `ensemble` family: dynamics learnt by an ensemble of probabilistic networks, planned through by the cross-entropy
// method (PETS, Chua et al. 2018); optionally the reward pays for the members' uncertainty (MOPO, Yu et al. 2020).

import { join } from 'node:path';
import type { PlannerTable } from '../../native/index.js';
import { TendonError } from '../../types/index.js';
import type { Checkpoint } from '../checkpoint.js';
import { actionCodec, actionMap, conditionVector, type FeatureMap, lowDimFeatures } from '../features.js';
import type { Affine } from '../processors/affine.js';
import { worldGraph } from '../world-model/graph.js';
import type { WorldModelFamily } from '../world-model/planning-policy.js';
import { EnsembleConfig } from './config.js';
import { misplaced, type Units } from './motion.js';
import { ensembleNetworks } from './networks.js';

export function ensembleTable(config: EnsembleConfig, action_dim: number): PlannerTable {
  return {
    horizon: config.horizon,
    action_dim,
    samples: config.population_size,
    iterations: config.num_iterations,
    elites: Math.max(1, Math.ceil(config.elite_ratio * config.population_size)),
    initial_std: config.initial_std,
    min_std: config.min_std,
    temperature: config.temperature,
    momentum: config.alpha,
    pick: 'mean',
  };
}

export function openEnsemble(checkpoint: Checkpoint): WorldModelFamily {
  const { dir } = checkpoint;
  const config = checkpoint.parse(EnsembleConfig, 'ensemble');
  const cameras = Object.keys(config.input_features).filter(
    (k) => config.input_features[k]!.type === 'VISUAL',
  );
  if (cameras.length > 0)
    throw new TendonError(
      'config_invalid',
      `${join(dir, 'config.json')}: an ensemble predicts states, and its input_features have cameras: ${cameras.join(', ')}; a latent model (tdmpc, tdmpc2, rssm) takes images`,
      { cameras },
    );
  const tensors = checkpoint.tensors('ensemble');
  tensors.ignore(/^(un)?normalize_(inputs|targets|outputs)\./);
  const processing = checkpoint.processing(config, tensors);
  const features = lowDimFeatures(config.input_features, processing);
  const action = actionMap(config.output_features, processing);
  const wrong = misplaced(config, features.width);
  if (wrong !== undefined)
    throw new TendonError('config_invalid', `${join(dir, 'config.json')}: ensemble: ${wrong}`);
  const networks = ensembleNetworks(
    config,
    tensors,
    features.width,
    action.dim,
    unitsOf(config, features, action.affine),
  );
  const graph = () => {
    const g = worldGraph(networks, { horizon: config.horizon, discount: config.discount });
    tensors.finish();
    return g;
  };
  graph();
  const rows = Math.min(config.n_action_steps, config.horizon);
  return {
    kind: 'world-model',
    spec: {
      family: 'ensemble',
      n_obs_steps: 1,
      horizon: config.horizon,
      n_action_steps: rows,
      action_dim: action.dim,
      observation_dims: features.dims,
      image_shapes: {},
      goal_dims: {},
      rate_hz: config.fps,
    },
    rename: processing.rename,
    table: ensembleTable(config, action.dim),
    discount: config.discount,
    planner: config.planner,
    repeats: 1,
    plans: true,
    graph,
    networks,
    observe: (history) => ({ observation: conditionVector(features, [history.at(-1)!], undefined) }),
    ...actionCodec(
      config.action_relative_to === undefined
        ? action
        : { ...action, relative: { key: config.action_relative_to } },
      config.action_travel,
    ),
  };
}

/** The whole state's normalisation, feature by feature, and where in it relative actions find the position. */
function unitsOf(
  { action_relative_to: key }: EnsembleConfig,
  { keys, dims, affine }: FeatureMap,
  action: Affine,
): Units {
  const joined = (of: keyof Affine): Float64Array =>
    Float64Array.from(keys.flatMap((k) => [...affine[k]![of]]));
  const state = {
    mul: joined('mul'),
    add: joined('add'),
    back_mul: joined('back_mul'),
    back_add: joined('back_add'),
  };
  if (key === undefined) return { state, action };
  const before = keys.slice(0, keys.indexOf(key));
  return { state, action, positions: before.reduce((n, k) => n + dims[k]!, 0) };
}
