// What all policies that denoise a chunk share: history, noise, a prefix, and the way from a chunk of the network to actions
// in physical units. A family supplies the network (denoiser-family.ts).

import {
  addon,
  type GraphBuilder,
  type NativeModel,
  type NativePool,
  type NativeSession,
  native,
  poolFor,
} from '../native/index.js';
import {
  type ActionChunk,
  type ChunkPrefix,
  type InferOptions,
  NS_PER_S,
  type Observation,
  type PolicySpec,
  type SamplerChoice,
  type SamplerMenu,
  TendonError,
  type TunablePolicy,
} from '../types/index.js';
import { TemporalEnsemble } from './act/ensemble.js';
import type { DenoiserFamily, LoadOptions } from './denoiser-family.js';
import { DenoiserSessions, groupsOf } from './denoiser-sessions.js';
import { checkGoal } from './features.js';
import { History } from './history.js';
import type { Memory } from './memory.js';
import { checkOffered } from './menu.js';

/** What a family is told of the answers before. */
interface Given {
  /** Normalised actions given so far, newest last, for families that feed them back. */
  readonly given: readonly Float32Array[];
  /** What a recurrent network made of the last observation. */
  readonly carried?: unknown;
}

export class DenoisingPolicy implements TunablePolicy {
  readonly spec: PolicySpec;
  /** The threads that this policy computes on. */
  readonly pool: NativePool;
  private readonly sessions: DenoiserSessions;
  private memory: Memory<Given>;
  private seed = 0;
  private draws = 0;
  private wanted: SamplerChoice;

  private constructor(
    private readonly family: DenoiserFamily,
    private readonly options: LoadOptions,
  ) {
    this.spec = family.spec;
    this.memory = this.blank();
    this.pool = poolFor(options);
    this.sessions = new DenoiserSessions(family, options, this.pool);
    this.wanted = {
      sampler: options.sampler ?? family.defaults.sampler,
      steps: options.steps ?? family.defaults.steps,
      candidates: options.candidates ?? family.defaults.candidates,
      precision: options.precision ?? 'auto',
      guidance_scale: options.guidance_scale ?? family.defaults.guidance_scale,
    };
  }

  /** Packs the weights and warms the session up, so that the first inference is as fast as the next. */
  static async create(family: DenoiserFamily, options: LoadOptions): Promise<DenoisingPolicy> {
    const policy = new DenoisingPolicy(family, options);
    if (options.joins?.prefix) policy.encoder();
    await policy.choose({});
    return policy;
  }

  /** The choice in force. */
  get choice(): SamplerChoice {
    return this.wanted;
  }

  menu(): SamplerMenu {
    return {
      samplers: this.family.samplers,
      precisions: ['auto', 'f32', 'bf16', 'int8'],
      max_steps: Math.max(this.family.max_steps, this.family.defaults.steps),
      max_candidates: 1024,
      drivers: [this.spec.family],
    };
  }

  /** Changes sampler, steps, candidates, precision or guidance; in force for inferences begun after it resolves. */
  async choose(choice: Partial<SamplerChoice>): Promise<void> {
    const next = { ...this.wanted, ...choice };
    checkOffered(this.spec.family, this.menu(), next);
    if (next.guidance_scale !== 1 && !this.family.guidable)
      throw new TendonError(
        'config_invalid',
        `guidance_scale: this policy was not trained without its goal, so it has nothing to guide by; expected 1, got ${next.guidance_scale}`,
      );
    await this.sessions.for(next);
    if (this.options.prefix_derivative) await this.sessions.for(next, true);
    this.wanted = next;
  }

  reset(seed: number): void {
    this.memory = this.blank();
    this.seed = seed;
    this.draws = 0;
  }

  async infer(
    observation: Observation | readonly Observation[],
    options: InferOptions = {},
  ): Promise<ActionChunk> {
    const began = process.hrtime.bigint();
    const { memory } = this;
    const isRemembered = !('state' in options);
    const carried = isRemembered ? memory.state : (options.state as Given | undefined);
    const before = carried?.given ?? [];
    const history = withTask(memory.history.take(observation), options.task);
    const newest = history.at(-1)!;
    const choice = { ...this.wanted, candidates: options.candidates ?? this.wanted.candidates };
    const { conditioned } = this.family;
    const through = options.prefix?.derivative === true && !conditioned;
    const { session, start_scale, noise_draws } = await this.sessions.for(choice, through);
    const groups = groupsOf(choice);
    const count = choice.candidates * this.family.model_horizon * this.width;
    const start = options.noise?.slice() ?? this.draw(count);
    if (options.first_noise !== undefined) this.writeFirst(options.first_noise, start);
    if (start.length !== count)
      throw new TendonError(
        'input_invalid',
        `noise: expected ${choice.candidates} × ${this.family.model_horizon} × ${this.width} values, got ${start.length}`,
      );
    const added = options.step_noise ?? this.draw(count * noise_draws);
    if (added.length !== count * noise_draws)
      throw new TendonError(
        'input_invalid',
        `step_noise: expected ${noise_draws} draws (of this sampler at these steps) × ${count} values, got ${added.length}`,
      );
    for (let i = 0; i < count; i++) start[i] = start[i]! * start_scale;
    const acts = this.family.keeps_actions ? history.length - 1 : this.family.first_row;
    if (this.family.keeps_actions) this.writeGiven(before, start, choice.candidates, acts);
    checkGoal(options.goal, this.spec);
    const { recurrent } = this.family;
    const inputs = {
      ...this.family.condition(history, options.goal, groups),
      ...recurrent?.inputs(carried?.carried),
    };
    const towards = this.prefix(options.prefix, newest, acts);
    const begins = conditioned ? this.beginning(towards) : undefined;
    const cancel = new (addon().CancelToken)();
    const abort = (): void => cancel.cancel();
    options.signal?.addEventListener('abort', abort, { once: true });
    try {
      if (options.signal?.aborted) cancel.cancel();
      const result = await native(() =>
        session.denoise({
          inputs: through ? { ...inputs, ...towards } : { ...inputs, ...begins },
          start,
          noise: added,
          guidance: choice.guidance_scale,
          ...(through || conditioned ? {} : towards),
          cancel,
        }),
      );
      if (result.status === 'cancelled')
        throw new TendonError(
          'cancelled',
          `the inference was cancelled by its caller after ${result.calls} calls of the network`,
          { calls: result.calls },
        );
      if (result.status !== 'ok')
        throw new TendonError(
          'policy_failed',
          'the network produced NaN or infinity; check the observation and its statistics',
        );
      if (begins !== undefined) this.writeBeginning(result.x, begins);
      this.bound(result.x);
      const state = this.after(carried, result.x, acts);
      if (isRemembered) memory.state = state;
      const total_ns = Number(process.hrtime.bigint() - began);
      const ensemble = isRemembered ? memory.ensemble : undefined;
      const chunk = this.chunk(result.x, choice.candidates, acts, newest, ensemble, {
        queue_ns: Math.max(0, total_ns - result.observe_ns - result.denoise_ns),
        observe_ns: result.observe_ns,
        denoise_ns: result.denoise_ns,
        total_ns,
        calls: result.calls,
      });
      return state === undefined ? chunk : { ...chunk, state };
    } finally {
      options.signal?.removeEventListener('abort', abort);
    }
  }

  /** What the compiler made of the network, for `tendon inspect`. */
  async describe(): Promise<{
    report: ReturnType<NativeModel['report']>;
    session: NativeSession;
    graph: GraphBuilder;
  }> {
    if (this.family.foreign !== undefined)
      throw new TendonError(
        'unsupported',
        'this network runs whole on onnxruntime-node, which has no stages to show; `tendon inspect` needs one that the core can compile',
      );
    const { session } = await this.sessions.for(this.wanted);
    const model = await this.sessions.modelFor(this.wanted.precision, groupsOf(this.wanted));
    return { report: model.report(), session, graph: this.family.graph(groupsOf(this.wanted)) };
  }

  close(): void {
    this.sessions.clear();
  }

  private blank(): Memory<Given> {
    const { spec, rename, keeps_actions, ensemble } = this.family;
    return {
      history: new History(spec, rename, keeps_actions === true),
      ...(ensemble === undefined ? {} : { ensemble: new TemporalEnsemble(ensemble, spec.action_dim) }),
    };
  }

  /** What the next answer is to be told; undefined for families that need nothing. */
  private after(before: Given | undefined, x: Float32Array, acts: number): Given | undefined {
    const { keeps_actions, recurrent } = this.family;
    if (recurrent !== undefined) return { given: [], carried: recurrent.next(x, before?.carried) };
    if (!keeps_actions) return undefined;
    const { action_dim, n_obs_steps } = this.spec;
    // As far back as a window reaches.
    const kept = [...(before?.given ?? []), x.slice(acts * action_dim, (acts + 1) * action_dim)];
    return { given: kept.slice(Math.max(0, kept.length - n_obs_steps + 1)) };
  }

  /** The newest given actions end just before row `acts`; what lies before them stays noise. */
  private writeGiven(before: Given['given'], start: Float32Array, candidates: number, acts: number): void {
    const { action_dim } = this.spec;
    const given = before.slice(Math.max(0, before.length - acts));
    for (let c = 0; c < candidates; c++)
      given.forEach((row, i) => {
        start.set(row, (c * this.family.model_horizon + acts - given.length + i) * action_dim);
      });
  }

  /** What a network that was trained for it is given: rows that are decided (weight 1), and nothing of the others. */
  private beginning({ prefix, prefix_weights }: { prefix?: Float32Array; prefix_weights?: Float32Array }) {
    const { model_horizon, spec } = this.family;
    return {
      prefix: prefix ?? new Float32Array(model_horizon * spec.action_dim),
      prefix_weights: (prefix_weights ?? new Float32Array(model_horizon)).map((w) => (w >= 1 ? 1 : 0)),
    };
  }

  /** The rows that were given, in every candidate: the sampler's own are of no meaning. */
  private writeBeginning(
    x: Float32Array,
    { prefix, prefix_weights }: ReturnType<typeof this.beginning>,
  ): void {
    const { action_dim } = this.spec;
    prefix_weights.forEach((weight, row) => {
      if (weight === 0) return;
      const given = prefix.subarray(row * action_dim, (row + 1) * action_dim);
      for (let at = row * action_dim; at < x.length; at += prefix.length) x.set(given, at);
    });
  }

  /** The prefix in the network's rows, of which the first `acts` lie before the newest observation and stay free. */
  private prefix(
    given: ChunkPrefix | undefined,
    newest: Observation,
    acts: number,
  ): { prefix?: Float32Array; prefix_weights?: Float32Array } {
    if (given === undefined) return {};
    const n = this.spec.action_dim;
    const { model_horizon } = this.family;
    const encode = this.encoder();
    const rows = Math.min(given.weights.length, model_horizon - acts);
    if (given.actions.length !== given.weights.length * n || !given.actions.every(Number.isFinite))
      throw new TendonError(
        'input_invalid',
        `prefix: expected ${given.weights.length} × ${n} finite actions, got ${given.actions.length} numbers`,
      );
    const actions = given.actions.slice(0, rows * n);
    encode(actions, newest);
    const { width } = this;
    // Columns that mean nothing are drawn to zero with the rest, as LeRobot does.
    const prefix = new Float32Array(model_horizon * width);
    for (let row = 0; row < rows; row++)
      prefix.set(actions.subarray(row * n, (row + 1) * n), (acts + row) * width);
    const prefix_weights = new Float32Array(model_horizon);
    prefix_weights.set(given.weights.subarray(0, rows), acts);
    return { prefix, prefix_weights };
  }

  /** From actions to rows of x, for a prefix; throws where none can be. */
  private encoder(): NonNullable<DenoiserFamily['encode']> {
    const { encode, columns_beside } = this.family;
    const { family } = this.spec;
    if (columns_beside !== undefined)
      throw new TendonError(
        'unsupported',
        `${family}: observations are painted into this chunk, which cannot be drawn towards a prefix as well; choose chunks mode receding, async or ensemble`,
      );
    if (encode === undefined)
      throw new TendonError(
        'unsupported',
        `${family} does not denoise, so its chunks cannot be drawn towards a prefix; choose chunks mode receding, async or ensemble`,
      );
    return (rows, newest) => encode.call(this.family, rows, newest);
  }

  /** Noise that was decided for the first candidates stands before what was drawn. */
  private writeFirst(first: Float32Array, start: Float32Array): void {
    const [rows, columns] = this.noise_shape;
    if (first.length % (rows * columns) !== 0)
      throw new TendonError(
        'input_invalid',
        `first_noise: expected whole candidates of ${rows} × ${columns} values, got ${first.length} values`,
      );
    start.set(first.subarray(0, start.length));
  }

  /** Rows and columns of the noise that a chunk begins as. */
  get noise_shape(): readonly [number, number] {
    return [this.family.model_horizon, this.width];
  }

  /** Columns of x. */
  private get width(): number {
    const { columns_beside = 0, padding_columns = 0 } = this.family;
    return this.spec.action_dim + columns_beside + padding_columns;
  }

  private bound(x: Float32Array): void {
    const { bounds } = this.family;
    if (bounds === undefined) return;
    const n = this.spec.action_dim;
    for (let i = 0; i < x.length; i++)
      x[i] = Math.min(Math.max(x[i]!, bounds.low[i % n]!), bounds.high[i % n]!);
  }

  /** The next `count` numbers of this episode's noise stream. */
  private draw(count: number): Float32Array {
    const first = this.draws;
    this.draws += count;
    return native(() => addon().philoxNormal(this.seed, 0, first, count));
  }

  private chunk(
    x: Float32Array,
    n: number,
    first_row: number,
    newest: Observation,
    ensemble: TemporalEnsemble | undefined,
    timing: ActionChunk['timing'],
  ): ActionChunk {
    const { action_dim, horizon } = this.spec;
    const { width } = this;
    const rows = this.family.model_horizon;
    const candidates = new Float32Array(n * horizon * action_dim);
    for (let c = 0; c < n; c++) {
      const part = new Float32Array(horizon * action_dim);
      for (let t = 0; t < horizon; t++) {
        const from = (c * rows + first_row + t) * width;
        part.set(x.subarray(from, from + action_dim), t * action_dim);
      }
      this.family.decode(part, newest);
      if (c === 0 && ensemble !== undefined) part.set(ensemble.update(part));
      candidates.set(part, c * horizon * action_dim);
    }
    return {
      stamp_ns: newest.stamp_ns,
      period_ns: this.spec.rate_hz === undefined ? 0 : Math.round(NS_PER_S / this.spec.rate_hz),
      horizon,
      action_dim,
      actions: candidates.slice(0, horizon * action_dim),
      ...(n > 1 ? { candidates } : {}),
      n_candidates: n,
      chosen: 0,
      timing,
    };
  }
}

/** The window with the task of a call, which stands before the observation's own. */
function withTask(history: readonly Observation[], task: string | undefined): readonly Observation[] {
  if (task === undefined) return history;
  const newest = history.at(-1)!;
  return [...history.slice(0, -1), { ...newest, texts: { ...newest.texts, task } }];
}
