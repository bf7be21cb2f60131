// The `edm` family: config → graph → sampler tables and processors.

import { TendonError } from '../../types/index.js';
import type { Checkpoint } from '../checkpoint.js';
import { definePolicy } from '../define.js';
import type { DenoiserFamily } from '../denoiser-family.js';
import { actionCodec, actionMap, conditionVector, lowDimFeatures } from '../features.js';
import { sigmas } from '../sampling.js';
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

  return definePolicy({
    family: 'edm',
    rate_hz: config.fps,
    action_dim: action.dim,
    observes: {
      observation_dims: features.dims,
      goal_dims: goal === null ? {} : { [goal]: features.dims[goal]! },
    },
    network: {
      rows: config.horizon,
      guidable: goal !== null,
      build: (groups) => edmGraph(config, tensors, cond_dim, action.dim, groups),
      finish: () => tensors.finish(),
      schedule: (levels) => ({ c_noise: Float32Array.from(levels) }),
      condition(history, given, groups) {
        const conditional = conditionVector(features, history, given);
        if (groups === 1) return { cond: conditional };
        const both = new Float32Array(2 * cond_dim);
        both.set(conditional, 0);
        both.set(withoutGoal(conditional), cond_dim);
        return { cond: both };
      },
    },
    sampling: sigmas(config, {
      sampler: config.sampler,
      steps: config.num_inference_steps,
      guidance_scale: config.guidance_scale,
    }),
    codec: actionCodec(action),
    window: {
      n_obs_steps: config.n_obs_steps,
      n_action_steps: config.n_action_steps,
      rename: processing.rename,
    },
  });

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
