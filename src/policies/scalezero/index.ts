// The `scalezero` family: a transformer with a mixture of experts as the world model (Pu et al. 2025, ScaleZero; UniZero,
// 2024), searched by a tree over sampled actions. It predicts from a window of past observations and actions.

import { join } from 'node:path';
import type { PlannerTable } from '../../native/index.js';
import { TendonError } from '../../types/index.js';
import type { Checkpoint } from '../checkpoint.js';
import { actionCodec, actionMap, conditionVector, lowDimFeatures } from '../features.js';
import { worldGraph } from '../world-model/graph.js';
import type { WorldModelFamily } from '../world-model/planning-policy.js';
import { horizonOf, ScalezeroConfig } from './config.js';
import { latentDim, scalezeroNetworks } from './networks.js';

/** The peers search by a tree; a search over sequences takes TD-MPC2's numbers. */
export function scalezeroTable(config: ScalezeroConfig, action_dim: number): PlannerTable {
  return {
    horizon: horizonOf(config),
    action_dim,
    samples: 488,
    prior: 24,
    iterations: 6,
    elites: 64,
    initial_std: 2,
    min_std: 0.05,
    max_std: 2,
    temperature: 0.5,
    critics: 1,
    drawn: 1,
    pick: 'sampled',
  };
}

export function openScalezero(checkpoint: Checkpoint): WorldModelFamily {
  const { dir } = checkpoint;
  const config = checkpoint.parse(ScalezeroConfig, 'scalezero');
  const cameras = Object.keys(config.input_features).filter(
    (k) => config.input_features[k]!.type === 'VISUAL',
  );
  if (cameras.length > 0)
    throw new TendonError(
      'config_invalid',
      `${join(dir, 'config.json')}: scalezero reads states; its encoder of pictures is not written, and input_features have ${cameras.join(', ')}`,
      { cameras },
    );
  const tensors = checkpoint.tensors('scalezero', 'model');
  const { task_id } = config;
  const head = config.share_head ? 0 : task_id;
  // The encoder's and the experts' second names, masks, other tasks' parts, and what only training needs.
  tensors.ignore(
    new RegExp(
      [
        '^(world_model\\.)?tokenizer\\.',
        '^world_model\\.transformer\\.blocks\\.\\d+\\.(experts\\.|attn\\.mask$)',
        `^representation_network\\.fc_representation\\.(?!${task_id}\\.)`,
        `^world_model\\.act_embedding_table\\.(?!${task_id}\\.)`,
        `^world_model\\.head_\\w+_multi_task\\.(?!${head}\\.)`,
        `^world_model\\.head_dict\\.`,
        '^world_model\\.(head_(policy|value|rewards|observations)|fc_policy_head)\\.',
        '^world_model\\.(positional_embedding|task_emb|target_)',
        '(base_weight_scale|adapter_scales\\.\\d+)\\.logit$|\\.adapters\\.\\d+\\.',
        '^(un)?normalize_(inputs|targets|outputs)\\.',
      ].join('|'),
    ),
  );
  const processing = checkpoint.processing(config, tensors);
  const features = lowDimFeatures(config.input_features, processing);
  const action = actionMap(config.output_features, processing);
  const networks = scalezeroNetworks(config, tensors, features.width, action.dim);
  const table = scalezeroTable(config, action.dim);
  const graph = () => {
    const g = worldGraph(networks, { horizon: table.horizon, discount: config.discount_factor });
    tensors.finish();
    return g;
  };
  graph();
  return {
    kind: 'world-model',
    spec: {
      family: 'scalezero',
      n_obs_steps: 1,
      horizon: 1,
      n_action_steps: 1,
      action_dim: action.dim,
      observation_dims: features.dims,
      image_shapes: {},
      goal_dims: {},
      rate_hz: config.fps,
    },
    rename: processing.rename,
    table,
    discount: config.discount_factor,
    planner: config.planner,
    repeats: 1,
    plans: true,
    graph,
    networks,
    observe: (history) => ({ observation: conditionVector(features, [history.at(-1)!], undefined) }),
    recall: (before) => ({
      first: Float32Array.of(before === undefined ? 1 : 0),
      previous: before?.latent ?? new Float32Array(latentDim(config, action.dim)),
      // A window of one observation has no action in it.
      ...(config.infer_context_length > 1
        ? { previous_action: before?.action ?? new Float32Array(action.dim) }
        : {}),
    }),
    ...actionCodec(action),
  };
}
