// Compiled models and warm sessions of one network, by what was chosen: precision, sampler, steps, candidates, guidance.
// A choice that comes back is ready at once.

import {
  addon,
  type GraphBuilder,
  type NativeModel,
  type NativePool,
  type NativeSession,
  native,
  type Precision,
} from '../native/index.js';
import { encodeRows, type SamplerTable } from '../samplers/index.js';
import { type SamplerChoice, TendonError } from '../types/index.js';
import type { DenoiserFamily, LoadOptions } from './denoiser-family.js';
import { GUIDED, guidedGraph, guideSchedule } from './guided.js';

export interface Ready {
  readonly session: NativeSession;
  readonly table: SamplerTable;
}

export class DenoiserSessions {
  private readonly models = new Map<string, Promise<NativeModel>>();
  private readonly ready = new Map<string, Promise<Ready>>();

  constructor(
    private readonly family: DenoiserFamily,
    private readonly options: LoadOptions,
    private readonly pool: NativePool,
  ) {}

  clear(): void {
    this.ready.clear();
    this.models.clear();
  }

  modelFor(precision: string, groups: number, guided = false): Promise<NativeModel> {
    const key = `${precision}/${groups}/${guided}`;
    let model = this.models.get(key);
    if (model === undefined) {
      model = native(() =>
        addon().compileModel(this.graph(groups, guided).native, {
          precision: precision as Precision,
          pool: this.pool,
          ...(this.options.isa === undefined ? {} : { isa: this.options.isa }),
          ...(this.options.device === undefined ? {} : { device: this.options.device }),
        }),
      );
      this.models.set(key, model);
    }
    return model;
  }

  private graph(groups: number, guided: boolean): GraphBuilder {
    const graph = this.family.graph(groups);
    return guided ? guidedGraph(graph) : graph;
  }

  /** The session and table of a choice; `guided`: drawn towards a prefix through the derivative. */
  for(choice: SamplerChoice, guided = false): Promise<Ready> {
    const groups = groupsOf(choice);
    const key = [choice.precision, groups, choice.candidates, choice.sampler, choice.steps, guided].join('/');
    let ready = this.ready.get(key);
    if (ready === undefined) {
      ready = this.prepare(choice, groups, guided);
      this.ready.set(key, ready);
      ready.catch(() => this.ready.delete(key));
      // Old choices go first; each holds an arena.
      if (this.ready.size > 8) this.ready.delete(this.ready.keys().next().value!);
    }
    return ready;
  }

  private async prepare(choice: SamplerChoice, groups: number, guided: boolean): Promise<Ready> {
    const { eta, churn } = this.options;
    const table = this.family.table(choice.sampler, choice.steps, { eta, churn });
    if (guided && (groups > 1 || this.family.foreign !== undefined || this.family.encode === undefined))
      throw new TendonError(
        'unsupported',
        `${this.family.spec.family}: a prefix through the derivative needs a denoiser that the core compiles, without classifier-free guidance; set derivative: false`,
      );
    if (this.family.foreign !== undefined)
      return { session: await this.family.foreign(table, choice.candidates), table };
    const model = await this.modelFor(choice.precision, groups, guided);
    const outputs = guided ? { outputs: [GUIDED] } : {};
    const session = await native(() => model.openSession({ batch: choice.candidates, ...outputs }));
    const tolerance = this.options.parallel_tolerance ?? 0;
    const schedule = { ...this.family.schedule(table), ...(guided ? guideSchedule(table) : {}) };
    await native(() => session.setTable(encodeRows(table), schedule, tolerance));
    return { session, table };
  }
}

/** Two groups, conditional and unconditional, when guided. */
export function groupsOf(choice: SamplerChoice): number {
  return choice.guidance_scale === 1 ? 1 : 2;
}
