// A policy that plans with something outside of the networks as its model, such as the simulation itself: the same search
// and the same numbers as for learned models, candidates scored by whoever is asked.

import type { PlannerTable } from '../../native/index.js';
import {
  type ActionChunk,
  type InferOptions,
  type Observation,
  type Policy,
  type PolicySpec,
  type SamplerChoice,
  type SamplerMenu,
  TendonError,
} from '../../types/index.js';
import type { ActionCodec } from '../features.js';
import { History } from '../history.js';
import type { LoadOptions } from '../load-options.js';
import { checkStatus, runInference } from '../run.js';
import { PLANNERS, plannerTable, TREE_SEARCH } from './planners.js';
import { refuseInferOptions, refuseLoadOptions } from './refusals.js';
import { SequenceSearch } from './sequence-search.js';

/** Candidates that a chunk brings along, for the page. */
const SHOWN = 15;

/** Something that says what sequences of actions are worth, such as a simulation: the model of a ModelPredictivePolicy. */
export interface PredictiveModel extends ActionCodec {
  readonly spec: PolicySpec;
  /** Of `mppi`, the planner when nobody says; the horizon is that of the spec. */
  readonly table: PlannerTable;
  /** What `count` sequences of physical actions (count, horizon, action_dim) are worth from an observation. */
  returns(
    values: Readonly<Record<string, Float32Array>>,
    actions: Float32Array,
    count: number,
  ): Promise<Float32Array>;
  close(): void;
}

/** Plans with a model that is no network: the same search as for world models, candidates scored by `model.returns`. */
export class ModelPredictivePolicy implements Policy {
  readonly spec: PolicySpec;
  private readonly history: History;
  private wanted: SamplerChoice;
  private search: SequenceSearch;
  /** Carried on by the last plan. */
  private mark: object | undefined;
  private seed = 0;
  /** Rollouts of the last plan that failed; they counted as worst. */
  worst_count = 0;

  constructor(
    private readonly model: PredictiveModel,
    options: LoadOptions = {},
  ) {
    const { sampler = 'mppi', steps, candidates } = options.sampling ?? {};
    refuseLoadOptions(model.spec.family, sampler, options);
    this.spec = model.spec;
    this.history = new History(model.spec);
    this.wanted = {
      sampler,
      steps: steps ?? model.table.iterations ?? 1,
      candidates: candidates ?? model.table.samples,
      precision: 'f64',
      guidance_scale: 1,
    };
    this.search = this.searchFor(this.wanted);
  }

  get choice(): SamplerChoice {
    return this.wanted;
  }

  menu(): SamplerMenu {
    return {
      samplers: PLANNERS.filter((name) => name !== 'policy' && name !== TREE_SEARCH),
      precisions: ['f64'],
      max_steps: 400,
      max_candidates: 4096,
      drivers: ['physics'],
    };
  }

  async choose(choice: Partial<SamplerChoice>): Promise<void> {
    const next = { ...this.wanted, ...choice };
    refuseLoadOptions(this.spec.family, next.sampler, { sampling: { guidance_scale: next.guidance_scale } });
    this.search = this.searchFor(next);
    this.search.reset(this.seed);
    this.wanted = next;
  }

  reset(seed: number): void {
    this.seed = seed;
    this.history.clear();
    this.mark = undefined;
    this.search.reset(seed);
  }

  infer(observation: Observation | readonly Observation[], options: InferOptions = {}): Promise<ActionChunk> {
    return runInference(this.spec, options.signal, async ({ elapsed_ns }) => {
      refuseInferOptions(this.spec, this.wanted.sampler, options);
      const newest = this.history.take(observation).at(-1)!;
      // The search starts from the mean of the plan before, where the caller goes on from that one.
      if ('state' in options && options.state !== this.mark) this.search.reset(this.seed);
      const state = {};
      this.mark = state;
      const { model } = this;
      const { horizon, action_dim } = model.spec;
      const length = horizon * action_dim;
      const physical = (sequences: Float32Array): Float32Array => {
        const rows = sequences.slice();
        for (let from = 0; from < rows.length; from += length)
          model.decode(rows.subarray(from, from + length), newest);
        return rows;
      };
      const plan = await this.search.plan(
        (sequences, count) => model.returns(newest.values, physical(sequences), count),
        options.signal,
      );
      this.worst_count = plan.worst_count;
      checkStatus(plan.status, 'every rollout of the plan');
      const shown = Math.min(SHOWN, plan.elite_scores.length);
      const candidates = physical(
        Float32Array.of(...plan.actions, ...plan.elites.subarray(0, shown * length)),
      );
      return {
        ...{ newest, candidates, n_candidates: 1 + shown, state },
        // The answer is made of the elites; the best of them is the nearest there is to a return of its own.
        scores: Float32Array.of(plan.best_score, ...plan.elite_scores.subarray(0, shown)),
        ...{ observe_ns: 0, denoise_ns: elapsed_ns() },
      };
    });
  }

  close(): void {
    this.model.close();
  }

  private searchFor(choice: SamplerChoice): SequenceSearch {
    if (!this.menu().samplers.includes(choice.sampler))
      throw new TendonError(
        'config_invalid',
        `a simulation is planned with ${this.menu().samplers.join(', ')}; got "${choice.sampler}"`,
        { sampler: choice.sampler },
      );
    return new SequenceSearch(plannerTable(this.model.table, choice));
  }
}
