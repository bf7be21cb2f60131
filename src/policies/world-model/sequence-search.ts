// The native search for candidates that something else scores: a simulation, a cost function of one's own. The update is
// the one that learned models are planned with (native/plan/search.cpp).

import { addon, type FoundPlan, type NativeSearch, native, type PlannerTable } from '../../native/index.js';
import { TendonError } from '../../types/index.js';
import { plannerTable } from './planners.js';

/** What (count, horizon, action_dim) in [−1, 1] are worth, (count); higher is better, NaN counts as worst. */
export type Score = (sequences: Float32Array, count: number) => Float32Array | Promise<Float32Array>;

/** The core's search over action sequences (MPPI, CEM, iCEM, random shooting) with scores from outside. */
export class SequenceSearch {
  private readonly search: NativeSearch;

  constructor(private readonly table: PlannerTable) {
    this.search = native(() => new (addon().Search)(table));
  }

  /** Forgets the plan before; draws are those of `seed` from its start. */
  reset(seed: number): void {
    this.search.reset(seed);
  }

  /** One plan. Throws `cancelled` between iterations when `signal` says so. */
  async plan(score: Score, signal?: AbortSignal): Promise<FoundPlan> {
    const { search, table } = this;
    const count = table.samples + (table.prior ?? 0);
    native(() => search.begin());
    for (;;) {
      const sequences = native(() => search.propose());
      if (sequences === undefined) return native(() => search.finish());
      const scores = await score(sequences, count);
      if (signal?.aborted) throw new TendonError('cancelled', 'the plan was cancelled by its caller');
      native(() => search.update(scores));
    }
  }
}

/** MPPI with the symbols of Williams et al. 2017. */
export interface MppiOptions {
  readonly horizon: number;
  readonly action_dim: number;
  readonly samples: number;
  /** λ: rollouts weigh exp(−(S − S_min)/λ), in units of the cost. */
  readonly lambda: number;
  /** Spread of the draws, of a range of [−1, 1]. */
  readonly std: number;
  readonly iterations?: number;
  /** γ of the cost γ·Σ mean·(action − mean)/std² that leaving the mean has (Williams et al. 2017: λ(1 − α)); 0. */
  readonly control_cost?: number;
}

/** Information-theoretic MPPI for a cost of one's own: a search whose scores are −cost. */
export function mppi(options: MppiOptions): SequenceSearch {
  const { horizon, action_dim, samples, lambda, std, iterations = 1, control_cost = 0 } = options;
  if (!(lambda > 0))
    throw new TendonError('config_invalid', `mppi: expected a λ above 0, got ${lambda}`, { lambda });
  const base: PlannerTable = { horizon, action_dim, samples, initial_std: std, temperature: 1 / lambda };
  const choice = { sampler: 'information-theoretic-mppi', steps: iterations, candidates: samples };
  return new SequenceSearch({ ...plannerTable(base, choice), control_cost });
}
