// The `beso` family: goal-conditioned score transformer with EDM preconditioning (Reuss et al. 2023). A window of
// states goes in, the action of the newest comes out; earlier slots of x hold the actions given before. The window grows
// over the first steps: attention is causal, so slots that are not filled yet change nothing.

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
import { actionCodec, actionMap, lowDimFeatures } from '../features.js';
import { type Affine, applyForward } from '../processors/affine.js';
import type { Stats } from '../processors/normalize.js';
import { BesoConfig } from './config.js';
import { besoGraph } from './graph.js';

const STATE = 'observation.state';
const ADVICE =
  'BESO makes its scaler from the data set and saves it nowhere: write the numbers into stats.json beside model_state_dict.pth, {"observation.state": {"mean": […], "std": […]}, "action": {"mean": […], "std": […], "min": […], "max": […]}}, which are x_mean, x_std, y_mean, y_std, y_min and y_max of its Scaler (MinMaxScaler has no y_mean and y_std, and needs none)';

export function openBeso(checkpoint: Checkpoint): DenoiserFamily {
  const { dir } = checkpoint;
  const config = checkpoint.parse(BesoConfig, 'beso');
  const tensors = checkpoint.tensors('beso');
  const processing = checkpoint.processing(config, tensors, {
    scaler: { stats: config.stats && statsOf(config.stats), eps: 1e-12, advice: ADVICE },
  });
  const features = lowDimFeatures(config.input_features, processing);
  const action = actionMap(config.output_features, processing);
  // Bounds hold for actions that are not normalised as well.
  const bounds = boundsOf(processing.stats('action'), action.affine);
  const goalKey = config.goal_conditioned ? config.goal_feature : null;
  const goals = config.goal_conditioned ? config.goal_seq_len : 0;
  const goalDim = goalKey === null ? 0 : features.dims[goalKey];
  if (features.dims[STATE] !== config.state_dim || action.dim !== config.action_dim)
    throw new TendonError(
      'config_invalid',
      `${dir}/config.json: expected ${STATE} of state_dim ${config.state_dim} and action of action_dim ${config.action_dim}, got ${features.dims[STATE]} and ${action.dim}`,
    );
  const each = goalDim === goals * config.state_dim;
  if (
    config.goal_conditioned &&
    (goalKey === null || goalDim === undefined || (goalDim > config.state_dim && !each))
  )
    throw new TendonError(
      'config_invalid',
      `${dir}/config.json: goal_conditioned needs goal_feature "${goalKey}" among input_features with at most state_dim ${config.state_dim} values, or goal_seq_len ${goals} times as many, got ${goalDim ?? 'none'}`,
    );

  const beyond = config.goal_masked.find((masked) => masked >= config.state_dim);
  if (beyond !== undefined)
    throw new TendonError(
      'config_invalid',
      `${dir}/config.json: goal_masked: expected places below state_dim ${config.state_dim}, got ${beyond}`,
    );

  // The causal mask is a buffer in the file; the graph makes its own.
  tensors.ignore(/^inner_model\.blocks\.\d+\.attn\.mask$/);
  const steps = config.obs_seq_len;
  const graph = (groups: number) => {
    const g = besoGraph(config, tensors, steps, groups);
    tensors.finish();
    return g;
  };
  graph(1);

  return {
    spec: {
      family: 'beso',
      n_obs_steps: steps,
      horizon: 1,
      n_action_steps: 1,
      action_dim: action.dim,
      observation_dims: features.dims,
      image_shapes: {},
      goal_dims: goalKey === null ? {} : { [goalKey]: goalDim! },
      rate_hz: config.fps,
    },
    rename: processing.rename,
    model_horizon: steps,
    first_row: steps - 1,
    defaults: {
      sampler: config.sampler,
      steps: config.num_inference_steps,
      candidates: 1,
      precision: 'auto',
      guidance_scale: config.guidance_scale,
    },
    samplers: [...SIGMA_SAMPLERS, DPM_ADAPTIVE],
    max_steps: 400,
    guidable: config.goal_conditioned,
    keeps_actions: true,
    ...(bounds === undefined ? {} : { bounds }),
    graph,
    table(sampler, n, { eta, churn } = {}) {
      refuseEta(sampler, eta);
      const sigmas = sigmaSchedule(config.sigma_schedule, n, config);
      const table = sigmaTable(sampler, sigmas, edmPreconditioner(config.sigma_data), churn);
      // Where it begins does not depend on the schedule, though vp and iddpm begin at other levels.
      return { ...table, start_scale: config.sigma_max };
    },
    adaptive(steps) {
      const range = adaptiveRange(config.sigma_schedule, steps, config);
      const precondition = edmPreconditioner(config.sigma_data);
      return { ...range, precondition, start_scale: config.sigma_max };
    },
    schedule: ({ levels }) => ({ c_noise: Float32Array.from(levels) }),
    condition(history, given, groups) {
      const state = new Float32Array(groups * steps * config.state_dim);
      history.forEach((observation, i) => {
        for (let group = 0; group < groups; group++)
          applyForward(
            features.affine[STATE]!,
            observation.values[STATE]!,
            state,
            (group * steps + i) * config.state_dim,
          );
      });
      if (goalKey === null) return { state };
      // A goal for each slot, or the same in all with zeros behind it; nothing at all in the unconditional half.
      const goal = new Float32Array(groups * goals * config.state_dim);
      const values = given?.[goalKey] ?? history.at(-1)!.values[goalKey]!;
      for (let i = 0; i < (each ? 1 : goals); i++)
        applyForward(features.affine[goalKey]!, values, goal, i * config.state_dim);
      for (const masked of config.goal_masked)
        for (let i = 0; i < goals; i++) goal[i * config.state_dim + masked] = 0;
      return { state, goal };
    },
    ...actionCodec(action),
  };
}

const statsOf = (stats: NonNullable<BesoConfig['stats']>): Record<string, Stats> =>
  Object.fromEntries(
    Object.entries(stats).map(([key, of]) => [
      key,
      Object.fromEntries(Object.entries(of).map(([name, values]) => [name, Float32Array.from(values ?? [])])),
    ]),
  );

/** How far beyond the data an action may go (Scaler.clip_action). */
const CLIP = 1.1;

/** 1.1 times the data's normalised bounds, when the statistics have them. */
function boundsOf(stats: Stats | undefined, { mul, add }: Affine): DenoiserFamily['bounds'] {
  const { min, max } = stats ?? {};
  if (min?.length !== mul.length || max?.length !== mul.length) return undefined;
  const bound = (of: Float32Array): Float32Array => of.map((v, i) => CLIP * (v * mul[i]! + add[i]!));
  return { low: bound(min), high: bound(max) };
}
