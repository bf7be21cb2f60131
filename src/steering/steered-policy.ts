// A policy with the parts of its manifest around it. Whoever runs policies runs it as any other; with every part off it gives
// the plain policy's chunks, bit for bit.

import { addon, type NativePool, native } from '../native/index.js';
import {
  clamp,
  type Manifest,
  type Moment,
  type Part,
  type Question,
  ROW_SLACK,
  steering,
} from '../parts/index.js';
import { type LoadedPolicy, PlanningPolicy } from '../policies/index.js';
import {
  type ActionChunk,
  type InferOptions,
  NS_PER_S,
  type Observation,
  type PartStatus,
  type PolicySpec,
  type PolicyState,
  type SamplerChoice,
  type SamplerMenu,
  type Steered,
  type SteeringSetting,
  TendonError,
  type TunablePolicy,
} from '../types/index.js';
import { Budget } from './budget.js';
import { chunksOf, type Episode, FIRST, Round } from './round.js';

/** Streams of the seed's random numbers from here on are the parts'. */
const FIRST_STREAM = 64;
/** Numbers of one inference in a part's stream. */
const PER_INFERENCE = 4096;

interface SteeredState {
  readonly inner: PolicyState | undefined;
  readonly episode: Episode;
}

/**
 * A policy with parts beside it: candidates are scored and chosen, monitors watch, guardians have the last word
 * (docs/parts.md).
 */
export class SteeredPolicy implements TunablePolicy, Steered {
  readonly spec: PolicySpec;
  private readonly off = new Set<string>();
  private readonly values: Record<string, number> = {};
  private readonly skips = new Map<string, { times: number; why: string }>();
  private readonly watched = new Map<string, { readonly value: number; readonly bound: number }>();
  private readonly budget: Budget;
  /** A replay's: budgets count no more. */
  private restored: SteeringSetting | undefined;
  private remembered: SteeredState | undefined;
  private seed = 0;
  private asked = 0;

  private constructor(
    readonly inner: LoadedPolicy,
    readonly manifest: Manifest,
    private readonly open: ReadonlyMap<string, Part>,
    private readonly closes: () => void,
  ) {
    this.spec = inner.spec;
    for (const [name, entry] of Object.entries(manifest.parts))
      if (entry.kind === 'condition') this.values[name] = entry.default;
    const needed = [...open.values()].map(({ kind, part }) => (kind === 'scorer' ? (part.least ?? 1) : 1));
    this.budget = new Budget(this.most, Math.min(this.most, Math.max(1, ...needed)));
  }

  /** Makes the policy ready for every number of candidates that it may be asked for. */
  static async create(
    inner: LoadedPolicy,
    manifest: Manifest,
    open: ReadonlyMap<string, Part>,
    closes: () => void,
  ): Promise<SteeredPolicy> {
    const policy = new SteeredPolicy(inner, manifest, open, closes);
    const { candidates } = inner.choice;
    if (policy.draws) {
      for (let n = policy.most; n > 1; n = Math.floor(n / 2)) await inner.choose({ candidates: n });
      await inner.choose({ candidates });
    }
    return policy;
  }

  get choice(): SamplerChoice {
    return this.inner.choice;
  }

  get pool(): NativePool {
    return this.inner.pool;
  }

  menu(): SamplerMenu {
    return this.inner.menu();
  }

  choose(choice: Partial<SamplerChoice>): Promise<void> {
    return this.inner.choose(choice);
  }

  get setting(): SteeringSetting {
    return { off: [...this.off], values: { ...this.values }, candidates: this.restored?.candidates };
  }

  parts(): readonly PartStatus[] {
    return Object.entries(this.manifest.parts).map(([name, entry]) => {
      const { times = 0, why = '' } = this.skips.get(name) ?? {};
      const status = { name, kind: entry.kind, on: !this.off.has(name), skipped: times, why };
      if (entry.kind === 'condition')
        return { ...status, value: this.values[name]!, unit: entry.unit, range: entry.range };
      return { ...status, ...this.watched.get(name) };
    });
  }

  switchPart(name: string, on: boolean): void {
    this.entry(name);
    if (on) {
      const { score } = this.manifest.parts[name] as { readonly score?: string | readonly string[] };
      for (const needed of [score ?? []].flat()) this.off.delete(needed);
      this.off.delete(name);
      return;
    }
    const needing = Object.entries(this.manifest.parts).find(
      ([other, entry]) => !this.off.has(other) && 'score' in entry && [entry.score].flat().includes(name),
    );
    if (needing !== undefined)
      throw new TendonError(
        'config_invalid',
        `${name}: the ${needing[1].kind} ${needing[0]} asks it; switch that off first`,
        { name },
      );
    this.off.add(name);
  }

  setCondition(name: string, value: number): void {
    const entry = this.entry(name);
    if (entry.kind !== 'condition')
      throw new TendonError(
        'config_invalid',
        `${name} is a ${entry.kind}, and only a condition has a value`,
        { name },
      );
    if (!Number.isFinite(value))
      throw new TendonError('input_invalid', `${name}: expected a finite number, got ${value}`, { name });
    this.values[name] = clamp(value, entry.range);
  }

  restore(setting: SteeringSetting): void {
    this.off.clear();
    for (const name of setting.off) this.off.add(name);
    Object.assign(this.values, setting.values);
    this.restored = setting;
  }

  reset(seed: number): void {
    this.inner.reset(seed);
    this.seed = seed;
    this.asked = 0;
    this.remembered = undefined;
  }

  async infer(
    observation: Observation | readonly Observation[],
    options: InferOptions = {},
  ): Promise<ActionChunk> {
    const began_ms = performance.now();
    const number = this.asked++;
    const isRemembered = !('state' in options);
    const before = isRemembered ? this.remembered : (options.state as SteeredState | undefined);
    const episode = before?.episode ?? FIRST;
    const parts = this.partsOn(episode);
    const inner = isRemembered ? {} : { state: before?.inner };
    if (parts.length === 0) {
      const chunk = await this.inner.infer(observation, { ...options, ...inner });
      return isRemembered
        ? chunk
        : { ...chunk, state: { inner: chunk.state, episode } satisfies SteeredState };
    }
    const { budget_ms } = this.restored === undefined ? options : {};
    const round = new Round(parts, episode, began_ms + (budget_ms ?? Number.POSITIVE_INFINITY));
    const moments = this.momentsOf(observation, options, episode, number);
    const history = Array.isArray(observation) ? (observation as readonly Observation[]) : undefined;
    const question = await round.shape(
      { goal: options.goal, task: options.task, values: {}, images: {} },
      moments,
    );
    const candidates = this.candidatesFor(options, budget_ms);
    const steer = this.steerBy(round, candidates.candidates ?? options.candidates ?? 1, moments, options);
    const chunk = await this.ask(history ?? (observation as Observation), question, {
      ...options,
      ...inner,
      ...candidates,
      ...steer,
    });
    const chunks = chunksOf(chunk, question.proposals ?? [], this.rows(options, chunk.stamp_ns));
    await round.judge(chunks, moments);
    round.choose(this.manifest.select, chunks.n, moments('select').uniforms(1)[0]!);
    const played = await round.guard(chunks, moments);
    round.watch(played.chosen, moments);
    const steering = round.report();
    this.note(steering);
    const state: SteeredState = { inner: chunk.state, episode: round.next(chunks) };
    if (isRemembered) this.remembered = state;
    const total_ns = (performance.now() - began_ms) * 1e6;
    this.budget.took(chunk.n_candidates, total_ns / 1e6, budget_ms);
    const scores = round.ranking(chunks.n) ?? chunk.scores;
    return {
      ...chunk,
      ...(question.tempo === undefined ? {} : { period_ns: Math.round(chunk.period_ns / question.tempo) }),
      actions: played.actions,
      ...(chunks.n > 1 ? { candidates: chunks.values } : {}),
      n_candidates: chunks.n,
      chosen: played.chosen,
      ...(scores === undefined ? {} : { scores }),
      timing: { ...chunk.timing, total_ns },
      steering,
      ...(isRemembered ? {} : { state }),
    };
  }

  close(): void {
    this.closes();
    this.inner.close();
  }

  /** Candidates that the manifest asks for. */
  private get most(): number {
    return this.manifest.candidates ?? 1;
  }

  /** A planner draws as many as it was loaded with. */
  private get draws(): boolean {
    return this.most > 1 && !(this.inner instanceof PlanningPolicy);
  }

  private candidatesFor(
    options: InferOptions,
    budget_ms: number | undefined,
  ): { readonly candidates?: number } {
    if (options.candidates !== undefined || !this.draws) return {};
    return { candidates: this.restored?.candidates ?? this.budget.candidates(budget_ms) };
  }

  /** Parts that are on, in the manifest's order; one that a monitor arms is off until then. */
  private partsOn({ armed }: Episode): (readonly [string, Part])[] {
    const arming = Object.values(this.manifest.parts).flatMap((entry) =>
      entry.kind === 'monitor' ? entry.arms : [],
    );
    return [...this.open].filter(
      ([name]) => !this.off.has(name) && (!arming.includes(name) || armed.includes(name)),
    );
  }

  private steerBy(
    round: Round,
    n: number,
    moment: (name: string) => Moment,
    options: InferOptions,
  ): Pick<InferOptions, 'steer'> {
    const { horizon, action_dim, rate_hz } = this.spec;
    const { stamp_ns } = moment('select').newest;
    const period_ns = rate_hz === undefined ? 0 : Math.round(NS_PER_S / rate_hz);
    const steer = steering(round.denoisers(), n, {
      moment,
      shape: { horizon, action_dim, stamp_ns, period_ns, ...this.rows(options, stamp_ns) },
      failed: (name, caught) => round.failed(name, caught),
    });
    return steer === undefined ? {} : { steer };
  }

  private async ask(
    observation: Observation | readonly Observation[],
    question: Question,
    options: InferOptions,
  ): Promise<ActionChunk> {
    const { goal, task, values, images, guidance_scale, noise } = question;
    if (guidance_scale !== undefined && guidance_scale !== this.inner.choice.guidance_scale)
      await this.inner.choose({ guidance_scale });
    const changed = (given: Observation): Observation => ({
      ...given,
      values: { ...given.values, ...values },
      ...(given.images === undefined ? {} : { images: { ...given.images, ...images } }),
    });
    const isSame = Object.keys(values).length === 0 && Object.keys(images).length === 0;
    const shown = isSame
      ? observation
      : Array.isArray(observation)
        ? (observation as readonly Observation[]).map(changed)
        : changed(observation as Observation);
    const { playing: _, budget_ms: __, arrives_ns: ___, ...asked } = options;
    return this.inner.infer(shown, {
      ...asked,
      ...(goal === undefined ? {} : { goal }),
      ...(task === undefined ? {} : { task }),
      ...(noise === undefined ? {} : { first_noise: joined(noise) }),
    });
  }

  /** Rows that count: those after what is committed already, as many as are executed. */
  private rows(
    { prefix, playing, arrives_ns }: InferOptions,
    stamp_ns: number,
  ): { readonly first: number; readonly last: number } {
    const { n_action_steps, horizon, rate_hz } = this.spec;
    const ahead = playing === undefined || arrives_ns === undefined ? 0 : arrives_ns - stamp_ns;
    let first = rate_hz === undefined ? 0 : Math.max(0, Math.ceil((ahead * rate_hz) / NS_PER_S - ROW_SLACK));
    while (prefix !== undefined && prefix.weights[first] === 1) first++;
    first = Math.min(first, horizon - n_action_steps);
    return { first, last: first + n_action_steps };
  }

  private momentsOf(
    observation: Observation | readonly Observation[],
    { goal, task, playing }: InferOptions,
    { before, step }: Episode,
    number: number,
  ): (name: string) => Moment {
    const history = Array.isArray(observation)
      ? (observation as readonly Observation[])
      : [observation as Observation];
    const { seed } = this;
    const names = [...Object.keys(this.manifest.parts), 'select'];
    const moment = { history, newest: history.at(-1)!, goal, task, playing, before, step };
    const conditions = { ...this.values };
    return (name) => ({
      ...moment,
      conditions,
      features: {},
      uniforms: (count) =>
        Float64Array.from(
          native(() =>
            addon().philoxUniform(seed, FIRST_STREAM + names.indexOf(name), number * PER_INFERENCE, count),
          ),
        ),
    });
  }

  /** Counters and the last readings, for people. */
  private note({ skipped, monitors }: NonNullable<ActionChunk['steering']>): void {
    for (const [name, why] of Object.entries(skipped))
      this.skips.set(name, { times: (this.skips.get(name)?.times ?? 0) + 1, why });
    for (const { name, value, bound } of monitors) this.watched.set(name, { value, bound });
  }

  private entry(name: string): Manifest['parts'][string] {
    const entry = Object.hasOwn(this.manifest.parts, name) ? this.manifest.parts[name] : undefined;
    if (entry !== undefined) return entry;
    throw new TendonError(
      'config_invalid',
      `there is no part ${name}; the manifest lists ${Object.keys(this.manifest.parts).join(', ') || 'none'}`,
      { name },
    );
  }
}

function joined(rows: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(rows.reduce((sum, row) => sum + row.length, 0));
  let at = 0;
  for (const row of rows) {
    out.set(row, at);
    at += row.length;
  }
  return out;
}
