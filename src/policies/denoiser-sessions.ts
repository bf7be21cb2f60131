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
import { DPM_ADAPTIVE, encodeRows, type Follow, followAdaptive, followTable } from '../samplers/index.js';
import { type SamplerChoice, TendonError } from '../types/index.js';
import type { DenoiserFamily, LoadOptions } from './denoiser-family.js';
import { GUIDED, guidedGraph, guideSchedule } from './guided.js';
import { LoopSession } from './loop-session.js';

export interface Ready {
  readonly session: NativeSession;
  /** Unit noise times this is x at the first call. */
  readonly start_scale: number;
  /** Draws of the size of x that are added on the way. */
  readonly noise_draws: number;
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
      // A device that had no memory may have some later.
      model.catch(() => this.models.delete(key));
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
    if (choice.sampler === DPM_ADAPTIVE) return this.prepareAdaptive(choice, groups, guided);
    const { samplers, adaptive } = this.family;
    // Other families say by themselves what they have; a table knows nothing of the sampler that follows none.
    if (adaptive !== undefined && !samplers.includes(choice.sampler))
      throw new TendonError(
        'config_invalid',
        `sampler: expected one of ${samplers.join(', ')}, got "${choice.sampler}"`,
      );
    const { eta, churn, rtol, atol } = this.options;
    if (rtol !== undefined || atol !== undefined)
      throw new TendonError(
        'config_invalid',
        `${rtol === undefined ? 'atol' : 'rtol'}: ${choice.sampler} takes the steps it is told, whatever their error; expected sampler ${DPM_ADAPTIVE}, or no tolerance`,
      );
    const table = this.family.table(choice.sampler, choice.steps, { eta, churn });
    if (guided && (groups > 1 || this.family.foreign !== undefined || this.family.encode === undefined))
      throw new TendonError(
        'unsupported',
        `${this.family.spec.family}: a prefix through the derivative needs a denoiser that the core compiles, without classifier-free guidance; set derivative: false`,
      );
    const { start_scale, noise_draws } = table;
    const ready = { start_scale, noise_draws };
    if (this.family.foreign !== undefined) {
      const follow: Follow = (start, noise, prefix) => followTable(table, start, noise, prefix);
      return { session: await this.family.foreign(follow, choice.candidates, this.pool.size), ...ready };
    }
    const model = await this.modelFor(choice.precision, groups, guided);
    const outputs = guided ? { outputs: [GUIDED] } : {};
    const session = await native(() => model.openSession({ batch: choice.candidates, ...outputs }));
    const tolerance = this.options.parallel_tolerance ?? 0;
    const schedule = { ...this.family.schedule(table), ...(guided ? guideSchedule(table) : {}) };
    await native(() => session.setTable(encodeRows(table), schedule, tolerance));
    return { session, ...ready };
  }

  /** A sampler that decides its steps on the way asks the network itself, call by call. */
  private async prepareAdaptive(choice: SamplerChoice, groups: number, guided: boolean): Promise<Ready> {
    const { family } = this;
    const range = family.adaptive?.(choice.steps);
    if (range === undefined)
      throw new TendonError(
        'config_invalid',
        `sampler: ${DPM_ADAPTIVE} chooses its own noise levels, and ${family.spec.family} here was not trained on all σ between two (edm, beso, onnx with training.kind edm are); expected one of ${family.samplers.join(', ')}`,
      );
    const { eta, churn, parallel_tolerance, rtol, atol } = this.options;
    const refuse = (what: string, why: string): void => {
      throw new TendonError(
        'config_invalid',
        `${what}: ${DPM_ADAPTIVE} ${why}; expected 0, or another sampler`,
      );
    };
    if (eta) refuse('eta', 'takes as many draws as it takes steps, which nobody knows before');
    if (churn !== undefined && churn.s_churn > 0) refuse('s_churn', 'takes no churn');
    if (parallel_tolerance) refuse('parallel_tolerance', 'decides each step from the one before');
    if (guided)
      throw new TendonError(
        'unsupported',
        `${DPM_ADAPTIVE} is not drawn towards a prefix through the derivative; set derivative: false, or choose another sampler`,
      );
    const follow: Follow = (start, _, prefix) => followAdaptive(range, { rtol, atol }, start, prefix);
    // What does not fit is found now, not at the first observation.
    follow([0], []).next();
    const ready = { start_scale: range.start_scale, noise_draws: 0 };
    if (family.foreign !== undefined)
      return { session: await family.foreign(follow, choice.candidates, this.pool.size), ...ready };
    const model = await this.modelFor(choice.precision, groups);
    const session = await native(() => model.openSession({ batch: choice.candidates }));
    const schedule = (level: number): Record<string, Float32Array> => family.schedule({ levels: [level] });
    return { session: new LoopSession(session, follow, schedule), ...ready };
  }
}

/** Two groups, conditional and unconditional, when guided. */
export function groupsOf(choice: SamplerChoice): number {
  return choice.guidance_scale === 1 ? 1 : 2;
}
