// The `beso` family: goal-conditioned score transformer with EDM preconditioning (Reuss et al. 2023). A window of
// states goes in, the action of the newest comes out; earlier slots of x hold the actions given before. The window grows
// over the first steps: attention is causal, so slots that are not filled yet change nothing.

import { type Goal, type Observation, TendonError } from '../../types/index.js';
import type { Checkpoint } from '../checkpoint.js';
import { definePolicy } from '../define.js';
import type { Carry, DenoiserFamily } from '../denoiser-family.js';
import { actionCodec, actionMap, lowDimFeatures } from '../features.js';
import { type Affine, applyForward } from '../processors/affine.js';
import type { Stats } from '../processors/normalize.js';
import { sigmas } from '../sampling.js';
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

  return definePolicy({
    family: 'beso',
    rate_hz: config.fps,
    action_dim: action.dim,
    observes: {
      observation_dims: features.dims,
      goal_dims: goalKey === null ? {} : { [goalKey]: goalDim! },
    },
    network: {
      rows: steps,
      guidable: config.goal_conditioned,
      build: (groups) => besoGraph(config, tensors, steps, groups),
      finish: () => tensors.finish(),
      schedule: (levels) => ({ c_noise: Float32Array.from(levels) }),
      condition,
    },
    sampling: sigmas(
      config,
      {
        sampler: config.sampler,
        steps: config.num_inference_steps,
        guidance_scale: config.guidance_scale,
      },
      // Where it begins does not depend on the schedule, though vp and iddpm begin at other levels.
      config.sigma_max,
    ),
    codec: { ...actionCodec(action), bounds },
    window: {
      n_obs_steps: steps,
      first_row: steps - 1,
      n_action_steps: 1,
      rename: processing.rename,
      grows: true,
      carry: givenActions(action.dim, steps),
    },
  });

  function condition(
    history: readonly Observation[],
    given: Goal | undefined,
    groups: number,
  ): Record<string, Float32Array> {
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
  }
}

/** Rows of x before the one that is executed hold the actions that were given last, newest last, instead of noise. */
function givenActions(action_dim: number, steps: number): Carry {
  type Given = readonly Float32Array[];
  return {
    begin(left, numbers, first) {
      const start = numbers();
      // What lies before them stays noise.
      const all = (left as Given | undefined) ?? [];
      const given = all.slice(Math.max(0, all.length - first));
      for (let at = 0; at < start.length; at += steps * action_dim)
        given.forEach((row, i) => {
          start.set(row, at + (first - given.length + i) * action_dim);
        });
      return {};
    },
    next(left, x, first): Given {
      const before = (left as Given | undefined) ?? [];
      const given = [...before, x.slice(first * action_dim, (first + 1) * action_dim)];
      // As far back as a window reaches.
      return given.slice(Math.max(0, given.length - steps + 1));
    },
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
function boundsOf(
  stats: Stats | undefined,
  { mul, add }: Affine,
): { readonly low: Float32Array; readonly high: Float32Array } | undefined {
  const { min, max } = stats ?? {};
  if (min?.length !== mul.length || max?.length !== mul.length) return undefined;
  const bound = (of: Float32Array): Float32Array => of.map((v, i) => CLIP * (v * mul[i]! + add[i]!));
  return { low: bound(min), high: bound(max) };
}
