// The `rssm` family: Dreamer's world model and actor-critic (Hafner et al. 2023). Its latent follows from the one before and
// the action taken since, so an episode is one call of the policy per step.

import type { FrameInput, PlannerTable } from '../../native/index.js';
import type { Checkpoint } from '../checkpoint.js';
import { actionCodec, actionMap, conditionVector, lowDimFeatures } from '../features.js';
import { cameraSpec, camerasOf, framesOf } from '../vision/camera.js';
import { worldGraph } from '../world-model/graph.js';
import type { WorldModelFamily } from '../world-model/planning-policy.js';
import { RssmConfig } from './config.js';
import { drawsOf, latentDim, rssmNetworks } from './networks.js';

export function rssmTable(config: RssmConfig, action_dim: number): PlannerTable {
  return {
    horizon: config.horizon,
    action_dim,
    samples: config.num_samples,
    prior: config.num_pi_trajs,
    iterations: config.iterations,
    elites: config.num_elites,
    initial_std: config.initial_std,
    min_std: config.min_std,
    temperature: config.temperature,
    // PlaNet's search keeps nothing of the mean before.
    momentum: 0,
    critics: 1,
    drawn: 1,
    pick: 'mean',
  };
}

export function openRssm(checkpoint: Checkpoint): WorldModelFamily {
  const config = checkpoint.parse(RssmConfig, 'rssm');
  const tensors = checkpoint.tensors('rssm', 'agent_state_dict');
  // What only training needs: the decoder, the slow critic, running returns, and the exploring policy's copy.
  tensors.ignore(
    /^_wm\.(_orig_mod\.)?heads\.decoder\.|^_task_behavior\.(_orig_mod\.)?(_slow_value\.|ema_vals|_world_model\.)|^_expl_behavior\.|^(un)?normalize_(inputs|targets|outputs)\./,
  );
  const processing = checkpoint.processing(config, tensors);
  const features = lowDimFeatures(config.input_features, processing);
  const action = actionMap(config.output_features, processing);
  const cameras = camerasOf(config.input_features, processing);
  const networks = rssmNetworks(config, tensors, {
    state_dim: features.width,
    cameras,
    action_dim: action.dim,
  });
  const graph = () => {
    const g = worldGraph(networks, { horizon: config.horizon, discount: config.discount });
    tensors.finish();
    return g;
  };
  graph();
  return {
    kind: 'world-model',
    spec: {
      family: 'rssm',
      n_obs_steps: 1,
      horizon: 1,
      n_action_steps: 1,
      action_dim: action.dim,
      observation_dims: features.dims,
      ...cameraSpec(cameras),
      goal_dims: {},
      rate_hz: config.fps,
    },
    rename: processing.rename,
    table: rssmTable(config, action.dim),
    discount: config.discount,
    planner: config.planner,
    repeats: 1,
    plans: true,
    graph,
    networks,
    observe(history) {
      const newest = history.at(-1)!;
      const given: Record<string, Float32Array | FrameInput> = {};
      if (features.width > 0) given.observation = conditionVector(features, [newest], undefined);
      for (const camera of cameras) given[camera.key] = framesOf(camera, [newest]);
      return given;
    },
    recall: (before, normal) => ({
      first: Float32Array.of(before === undefined ? 1 : 0),
      previous: before?.latent ?? new Float32Array(latentDim(config)),
      previous_action: before?.action ?? new Float32Array(action.dim),
      posterior_noise: normal(drawsOf(config)),
    }),
    ...actionCodec(action),
  };
}
