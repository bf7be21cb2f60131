// The `edm` family: config → graph → sampler tables and processors.

import {
  adaptiveRange,
  DPM_ADAPTIVE,
  edmPreconditioner,
  refuseEta,
  SIGMA_SAMPLERS,
  sigmaSchedule,
  sigmaTable,
} from '../../samplers/index.js';
import { TendonError } from '../../types/index.js';
import type { Checkpoint } from '../checkpoint.js';
import type { DenoiserFamily } from '../denoiser-family.js';
import { actionCodec, actionMap, conditionVector, lowDimFeatures } from '../features.js';
import { EdmConfig } from './config.js';
import { edmGraph } from './graph.js';

export function openEdm(checkpoint: Checkpoint): DenoiserFamily {
  const config = checkpoint.parse(EdmConfig, 'edm');
  const tensors = checkpoint.tensors('edm');
  const processing = checkpoint.processing(config);
  const features = lowDimFeatures(config.input_features, processing);
  const action = actionMap(config.output_features, processing);
  const goal = config.goal_feature;
  if (goal !== null && !features.keys.includes(goal))
    throw new TendonError(
      'config_invalid',
      `goal_feature: "${goal}" is not among input_features (${features.keys.join(', ')})`,
      { goal },
    );
  const cond_dim = features.width * config.n_obs_steps;

  // Built once here so that a wrong tensor is found at load, and again for each number of guidance groups.
  const graph = (groups: number) => {
    const g = edmGraph(config, tensors, cond_dim, action.dim, groups);
    tensors.finish();
    return g;
  };
  graph(1);

  return {
    spec: {
      family: 'edm',
      n_obs_steps: config.n_obs_steps,
      horizon: config.horizon,
      n_action_steps: config.n_action_steps,
      action_dim: action.dim,
      observation_dims: features.dims,
      image_shapes: {},
      goal_dims: goal === null ? {} : { [goal]: features.dims[goal]! },
      rate_hz: config.fps,
    },
    rename: processing.rename,
    model_horizon: config.horizon,
    first_row: 0,
    defaults: {
      sampler: config.sampler,
      steps: config.num_inference_steps,
      candidates: 1,
      precision: 'auto',
      guidance_scale: config.guidance_scale,
    },
    samplers: [...SIGMA_SAMPLERS, DPM_ADAPTIVE],
    max_steps: 400,
    guidable: goal !== null,
    graph,
    table(sampler, steps, { eta, churn } = {}) {
      refuseEta(sampler, eta);
      const sigmas = sigmaSchedule(config.sigma_schedule, steps, config);
      return sigmaTable(sampler, sigmas, edmPreconditioner(config.sigma_data), churn);
    },
    adaptive(steps) {
      const range = adaptiveRange(config.sigma_schedule, steps, config);
      const precondition = edmPreconditioner(config.sigma_data);
      return { ...range, precondition, start_scale: range.sigma_max };
    },
    schedule: ({ levels }) => ({ c_noise: Float32Array.from(levels) }),
    condition(history, given, groups) {
      const conditional = conditionVector(features, history, given);
      if (groups === 1) return { cond: conditional };
      const both = new Float32Array(2 * cond_dim);
      both.set(conditional, 0);
      both.set(withoutGoal(conditional), cond_dim);
      return { cond: both };
    },
    ...actionCodec(action),
  };

  function withoutGoal(cond: Float32Array): Float32Array {
    const out = cond.slice();
    let at = 0;
    for (let step = 0; step < config.n_obs_steps; step++)
      for (const key of features.keys) {
        if (key === goal) out.fill(0, at, at + features.dims[key]!);
        at += features.dims[key]!;
      }
    return out;
  }
}
