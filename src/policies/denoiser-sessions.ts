// Compiled models and warm sessions of one network, by what was chosen: precision, sampler, steps, candidates, guidance.
// A choice that comes back is ready at once.

import {
  type ComputeOptions,
  compileGraph,
  type NativeModel,
  type NativePool,
  type NativeSession,
  native,
} from '../native/index.js';
import type { SamplerChoice } from '../types/index.js';
import type { DenoiserFamily } from './denoiser-family.js';
import { guidedGraph } from './guided.js';
import type { SamplerSettings } from './load-options.js';
import { Recent } from './recent.js';

export interface Ready {
  readonly session: NativeSession;
  /** Unit noise times this is x at the first call. */
  readonly start_scale: number;
  /** Draws of the size of x that are added on the way. */
  readonly noise_draws: number;
}

/** Sessions that are kept; each holds an arena. */
const KEPT = 8;

export class DenoiserSessions {
  private readonly models = new Recent<NativeModel>();
  private readonly ready = new Recent<Ready>(KEPT);

  constructor(
    private readonly family: DenoiserFamily,
    private readonly compute: ComputeOptions,
    private readonly settings: SamplerSettings,
    private readonly pool: NativePool,
  ) {}

  clear(): void {
    this.ready.clear();
    this.models.clear();
  }

  modelFor(precision: string, groups: number, guided = false): Promise<NativeModel> {
    return this.models.get(`${precision}/${groups}/${guided}`, async () => {
      const graph = this.family.network.graph(groups);
      return compileGraph(guided ? guidedGraph(graph) : graph, precision, this.pool, this.compute);
    });
  }

  /** The session and plan of a choice; `guided`: drawn towards a prefix through the derivative; `stepped`: call by call. */
  for(choice: SamplerChoice, guided = false, stepped = false): Promise<Ready> {
    const { precision, candidates, sampler, steps } = choice;
    const groups = groupsOf(choice);
    const key = [precision, groups, candidates, sampler, steps, guided, stepped].join('/');
    return this.ready.get(key, async () => {
      const plan = this.family.sampling.plan(sampler, steps, this.settings);
      const opening = {
        ...{ candidates, groups, guided, stepped, pool: this.pool },
        parallel_tolerance: this.settings.parallel_tolerance ?? 0,
        model: () => this.modelFor(precision, groups, guided),
      };
      const session = await native(() => this.family.network.open(plan, opening));
      return { session, start_scale: plan.start_scale, noise_draws: plan.noise_draws };
    });
  }
}

/** Two groups, conditional and unconditional, when guided. */
export function groupsOf(choice: SamplerChoice): number {
  return choice.guidance_scale === 1 ? 1 : 2;
}
