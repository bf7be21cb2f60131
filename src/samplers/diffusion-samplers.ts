// Every sampler of a network that was trained on diffusers' schedule: DDPM and DDIM as diffusers runs them, and the
// σ-samplers through the variance-preserving bridge.

import { TendonError } from '../types/index.js';
import { type DiffusersConfig, ddimTable, ddpmTable, vpPreconditioner } from './diffusers.js';
import { type Churn, SIGMA_SAMPLERS, sigmaTable } from './sigma-samplers.js';
import { sigmaSchedule } from './sigmas.js';
import type { SamplerTable } from './table.js';

export const DIFFUSION_SAMPLERS = ['ddpm', 'ddim', ...SIGMA_SAMPLERS.filter((s) => s !== 'ddim')];

/** Noise that a sampler may be asked to add beyond its own. */
export interface Stochastic {
  /** DDIM's η in [0, 1]: 0 is deterministic, 1 as noisy as DDPM (Song et al. 2021, eq. 16). */
  readonly eta?: number | undefined;
  /** Extra noise before steps of euler and heun (Karras et al. 2022, algorithm 2). */
  readonly churn?: Churn | undefined;
}

/** Throws `config_invalid` for noise that the sampler does not take. */
export function diffusionTable(
  config: DiffusersConfig,
  sampler: string,
  steps: number,
  { eta = 0, churn }: Stochastic = {},
): SamplerTable {
  if (sampler === 'ddim') {
    refuseChurn(sampler, churn);
    if (!(eta >= 0 && eta <= 1))
      throw new TendonError('config_invalid', `eta: expected a number from 0 to 1, got ${eta}`);
    return ddimTable(config, steps, eta);
  }
  refuseEta(sampler, eta);
  if (sampler === 'ddpm') {
    refuseChurn(sampler, churn);
    return ddpmTable(config, steps);
  }
  const { precondition, sigmas } = vpPreconditioner(config);
  const range = { sigma_min: sigmas[0]!, sigma_max: sigmas.at(-1)! };
  return sigmaTable(sampler, sigmaSchedule('karras', steps, range), precondition, churn);
}

/** η belongs to DDIM on diffusers' schedule alone. */
export function refuseEta(sampler: string, eta: number | undefined): void {
  if (eta !== undefined && eta !== 0)
    throw new TendonError(
      'config_invalid',
      `eta: ${sampler} takes none here; expected 0, or DDIM of a policy trained on diffusers' schedule`,
      { sampler },
    );
}

export function refuseChurn(sampler: string, churn: Churn | undefined): void {
  if (churn !== undefined && churn.s_churn > 0)
    throw new TendonError('config_invalid', `s_churn: ${sampler} takes no churn; expected 0`, { sampler });
}
