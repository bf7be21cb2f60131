// Planners as numbers for one native search (native/plan/search.h). A family's own planner is `mppi`, with its peers'
// numbers; the others take its horizon, samples and bounds and change how the distribution is drawn and learnt.

import type { PlannerTable, TreeTable } from '../../native/index.js';
import { TendonError } from '../../types/index.js';

/** Sampled MuZero's: steps are simulations, candidates the actions drawn at every node. */
export const TREE_SEARCH = 'tree-search';

/** `policy` is the prior acting alone. */
export const PLANNERS = [
  'mppi',
  'cem',
  'icem',
  'information-theoretic-mppi',
  'random-shooting',
  TREE_SEARCH,
  'policy',
] as const;

export interface PlannerChoice {
  readonly sampler: string;
  /** Iterations. */
  readonly steps: number;
  /** Candidates drawn per iteration. */
  readonly candidates: number;
}

/** MuZero's constants (native/plan/tree.h) for a model whose own planner is `base`. */
export function treeTable(base: PlannerTable, discount: number, choice: PlannerChoice): TreeTable {
  return {
    horizon: base.horizon,
    action_dim: base.action_dim,
    simulations: choice.steps,
    actions: choice.candidates,
    discount,
    // With MuZero's zero, 50 simulations over 20 equally likely actions leave many of them untried.
    untried: 'mean',
  };
}

/** The planner of that name for a model whose own is `base`. */
export function plannerTable(base: PlannerTable, choice: PlannerChoice): PlannerTable {
  const { sampler, steps: iterations, candidates: samples } = choice;
  if (!Number.isInteger(samples) || samples < 1 || !Number.isInteger(iterations) || iterations < 1)
    throw new TendonError(
      'config_invalid',
      `planner: expected whole numbers of samples and iterations from 1, got ${samples} and ${iterations}`,
    );
  const rows = samples + (base.prior ?? 0);
  const elites = Math.min(base.elites ?? 1, rows);
  const table = { ...base, samples, iterations, elites };
  switch (sampler) {
    case 'mppi':
    case 'policy':
      return table;
    // De Boer et al. 2005: the elites' mean and spread, all alike; the mean is executed.
    case 'cem':
      return { ...table, temperature: 0, momentum: base.momentum ?? 0.1, pick: 'mean' };
    // Pinneri et al. 2020: coloured noise, elites kept and shifted, the best sequence seen is executed.
    case 'icem':
      return {
        ...table,
        temperature: 0,
        momentum: 0.1,
        keep: Math.min(Math.max(1, Math.floor(0.3 * elites)), samples - 1),
        mix: colouredNoise(base.horizon, 2),
        pick: 'best',
      };
    // Williams et al. 2017: every rollout weighs exp((S_min − S)/λ), the spread stays, the mean is executed.
    case 'information-theoretic-mppi':
      return { ...table, elites: rows, fixed_std: true, momentum: 0, pick: 'mean' };
    case 'random-shooting':
      return { ...table, iterations: 1, elites: 1, warm_start: false, pick: 'best' };
    default:
      throw new TendonError(
        'config_invalid',
        `planner: there is no "${sampler}"; there are: ${PLANNERS.join(', ')}`,
        { sampler },
      );
  }
}

/**
 * Mixes white draws into noise of power spectral density 1/f^beta and unit variance over `horizon` steps
 * (Timmer and König 1995): the Cholesky factor of its circulant covariance. (horizon, horizon), lower triangular.
 */
export function colouredNoise(horizon: number, beta: number): Float32Array {
  const n = horizon;
  const lines = Math.floor(n / 2);
  const power = (k: number): number => Math.max(k, 1) ** -beta;
  const covariance = (d: number): number => {
    let sum = power(0);
    for (let k = 1; k <= lines; k++)
      sum += (2 * k === n ? 1 : 2) * power(k) * Math.cos((2 * Math.PI * k * d) / n);
    return sum;
  };
  const scale = 1 / covariance(0);
  const l = new Float64Array(n * n);
  for (let i = 0; i < n; i++)
    for (let j = 0; j <= i; j++) {
      let sum = covariance(i - j) * scale;
      for (let k = 0; k < j; k++) sum -= l[i * n + k]! * l[j * n + k]!;
      // A spectrum with few lines has few independent draws; what is left of the diagonal may be nothing.
      l[i * n + j] = i === j ? Math.sqrt(Math.max(sum, 0)) : l[j * n + j]! > 1e-9 ? sum / l[j * n + j]! : 0;
    }
  return Float32Array.from(l);
}
