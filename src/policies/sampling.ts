// The samplers that families have: none (a network that answers at once), diffusers' schedule, levels of σ, a flow. Each
// checks what it is told, and gives the plan of one choice.

import {
  adaptiveRange,
  DIFFUSION_SAMPLERS,
  type DiffusersConfig,
  DPM_ADAPTIVE,
  diffusionTable,
  edmPreconditioner,
  type FlowTime,
  type Follow,
  flowSdeTable,
  flowTable,
  followAdaptive,
  followTable,
  makeTable,
  refuseChurn,
  refuseEta,
  row,
  type SamplerTable,
  SIGMA_SAMPLERS,
  type SigmaRange,
  sigmaSchedule,
  sigmaTable,
} from '../samplers/index.js';
import { TendonError } from '../types/index.js';
import type { Sampling, SamplingPlan } from './denoiser-family.js';
import type { SamplerSettings } from './load-options.js';

/** A flow's stochastic sampler; η is its spread a, which particles need and actions may want less of than pictures. */
const FLOW_SDE = 'flow_sde';
const FLOW_SDE_SPREAD = 0.7;

type Defaults = { readonly sampler: string; readonly steps: number; readonly guidance_scale?: number };

/** A network that answers at once: one row whose result is the output. `start`: 1 where it reads x as draws, 0 where it does not. */
export function direct(family: string, start: 0 | 1, why = 'does not denoise'): Sampling {
  return tabled(family, ['direct'], { sampler: 'direct', steps: 1 }, 1, (sampler, steps, settings) => {
    if (sampler !== 'direct' || steps !== 1)
      throw new TendonError(
        'config_invalid',
        `sampler: ${family} ${why}, so it has only "direct" with 1 step, got "${sampler}" with ${steps}`,
      );
    refuseNoise(sampler, settings);
    return makeTable([row({ w_d: 1 })], [0], start);
  });
}

/** A network trained on diffusers' schedule. */
export function diffusion(family: string, config: DiffusersConfig, defaults: Defaults): Sampling {
  return tabled(family, DIFFUSION_SAMPLERS, defaults, config.num_train_timesteps, (sampler, steps, noise) =>
    diffusionTable(config, sampler, steps, noise),
  );
}

/** A flow, by Euler. */
export function flow(
  family: string,
  time: FlowTime,
  steps: number,
  max_steps: number,
  sampler = 'euler',
): Sampling {
  return tabled(family, ['euler', FLOW_SDE], { sampler, steps }, max_steps, (sampler, n, settings) => {
    if (sampler === FLOW_SDE) {
      refuseChurn(sampler, settings.churn);
      return flowSdeTable(time, n, settings.eta ?? FLOW_SDE_SPREAD);
    }
    if (sampler !== 'euler')
      throw new TendonError(
        'config_invalid',
        `sampler: ${family} is a flow and has "euler" and "${FLOW_SDE}", got "${sampler}"`,
      );
    refuseNoise(sampler, settings);
    return flowTable(time, n);
  });
}

/** A network trained on all σ between two (EDM). `starts_at`: σ of the first call, where the schedule does not say it. */
export function sigmas(
  config: SigmaRange & { readonly sigma_schedule: string; readonly sigma_data: number },
  defaults: Defaults,
  starts_at?: number,
): Sampling {
  const samplers = [...SIGMA_SAMPLERS, DPM_ADAPTIVE];
  return {
    samplers,
    defaults: { guidance_scale: 1, ...defaults },
    max_steps: 400,
    plan(sampler, steps, settings = {}) {
      const precondition = edmPreconditioner(config.sigma_data);
      if (sampler === DPM_ADAPTIVE) {
        refuseForAdaptive(settings);
        const range = { ...adaptiveRange(config.sigma_schedule, steps, config), precondition };
        const follow: Follow = (start, _, prefix) => followAdaptive(range, settings, start, prefix);
        // What does not fit is found now, not at the first observation.
        follow([0], []).next();
        return { start_scale: starts_at ?? range.sigma_max, noise_draws: 0, table: undefined, follow };
      }
      if (!samplers.includes(sampler))
        throw new TendonError(
          'config_invalid',
          `sampler: expected one of ${samplers.join(', ')}, got "${sampler}"`,
        );
      refuseTolerances(sampler, settings);
      refuseEta(sampler, settings.eta);
      const levels = sigmaSchedule(config.sigma_schedule, steps, config);
      const table = sigmaTable(sampler, levels, precondition, settings.churn);
      return planOf(starts_at === undefined ? table : { ...table, start_scale: starts_at });
    },
  };
}

/** A sampler that is a table. */
function tabled(
  family: string,
  samplers: readonly string[],
  defaults: Defaults,
  max_steps: number,
  table: (sampler: string, steps: number, settings: SamplerSettings) => SamplerTable,
): Sampling {
  return {
    samplers,
    defaults: { guidance_scale: 1, ...defaults },
    max_steps: Math.max(max_steps, defaults.steps),
    plan(sampler, steps, settings = {}) {
      if (sampler === DPM_ADAPTIVE)
        throw new TendonError(
          'config_invalid',
          `sampler: ${DPM_ADAPTIVE} chooses its own noise levels, and ${family} here was not trained on all σ between two (edm, beso, onnx with training.kind edm are); expected one of ${samplers.join(', ')}`,
        );
      refuseTolerances(sampler, settings);
      return planOf(table(sampler, steps, settings));
    },
  };
}

function planOf(table: SamplerTable): SamplingPlan {
  const { start_scale, noise_draws } = table;
  const follow: Follow = (start, noise, prefix) => followTable(table, start, noise, prefix);
  return { start_scale, noise_draws, table, follow };
}

function refuseNoise(sampler: string, { eta, churn }: SamplerSettings): void {
  refuseEta(sampler, eta);
  refuseChurn(sampler, churn);
}

function refuseTolerances(sampler: string, { rtol, atol }: SamplerSettings): void {
  if (rtol !== undefined || atol !== undefined)
    throw new TendonError(
      'config_invalid',
      `${rtol === undefined ? 'atol' : 'rtol'}: ${sampler} takes the steps it is told, whatever their error; expected sampler ${DPM_ADAPTIVE}, or no tolerance`,
    );
}

function refuseForAdaptive({ eta, churn, parallel_tolerance }: SamplerSettings): void {
  const refuse = (what: string, why: string): never => {
    throw new TendonError(
      'config_invalid',
      `${what}: ${DPM_ADAPTIVE} ${why}; expected 0, or another sampler`,
    );
  };
  if (eta) refuse('eta', 'takes as many draws as it takes steps, which nobody knows before');
  if (churn !== undefined && churn.s_churn > 0) refuse('s_churn', 'takes no churn');
  if (parallel_tolerance) refuse('parallel_tolerance', 'decides each step from the one before');
}
