// What all policies that denoise a chunk share: the way from a window of observations and noise to a chunk in physical units.
// A family supplies its parts (denoiser-family.ts); this file asks each of them the same questions, whatever it is.

import {
  type Draws,
  type GraphBuilder,
  type NativeModel,
  type NativePool,
  type NativeSession,
  type Noise,
  native,
  numbersOf,
  poolFor,
} from '../native/index.js';
import {
  type ActionChunk,
  type DenoiseSteer,
  type InferOptions,
  type Observation,
  type PolicySpec,
  type PolicyState,
  type SamplerChoice,
  type SamplerMenu,
  TendonError,
  type TunablePolicy,
} from '../types/index.js';
import { TemporalEnsemble } from './act/ensemble.js';
import type { DenoiserFamily } from './denoiser-family.js';
import { DenoiserSessions, groupsOf, type Ready } from './denoiser-sessions.js';
import { checkGoal } from './features.js';
import { History } from './history.js';
import type { LoadOptions } from './load-options.js';
import { LoopSession, type Steer } from './loop-session.js';
import type { Memory } from './memory.js';
import { checkOffered } from './menu.js';
import { checkStatus, runInference } from './run.js';

/**
 * A policy whose network is called once or several times for a chunk: diffusion, flow, or an answer at once. Made by
 * `loadPolicy`.
 */
export class DenoisingPolicy implements TunablePolicy {
  readonly spec: PolicySpec;
  /** The threads that this policy computes on. */
  readonly pool: NativePool;
  private readonly sessions: DenoiserSessions;
  private memory: Memory<PolicyState>;
  private seed = 0;
  private draws = 0;
  private wanted: SamplerChoice;

  private constructor(
    private readonly family: DenoiserFamily,
    private readonly options: LoadOptions,
  ) {
    const { compute = {}, sampling = {} } = options;
    const { defaults } = family.sampling;
    this.spec = family.spec;
    this.memory = this.blank();
    this.pool = poolFor(compute);
    this.sessions = new DenoiserSessions(family, compute, sampling, this.pool);
    this.wanted = {
      sampler: sampling.sampler ?? defaults.sampler,
      steps: sampling.steps ?? defaults.steps,
      candidates: sampling.candidates ?? 1,
      precision: compute.precision ?? 'auto',
      guidance_scale: sampling.guidance_scale ?? defaults.guidance_scale,
    };
  }

  /** Packs the weights and warms the session up, so that the first inference is as fast as the next. */
  static async create(family: DenoiserFamily, options: LoadOptions): Promise<DenoisingPolicy> {
    const policy = new DenoisingPolicy(family, options);
    const { prefix, derivative, trained } = options.joins ?? {};
    if (prefix || derivative || trained) family.joining.check(trained);
    await policy.choose({});
    return policy;
  }

  /** The choice in force. */
  get choice(): SamplerChoice {
    return this.wanted;
  }

  menu(): SamplerMenu {
    const { samplers, max_steps } = this.family.sampling;
    return {
      samplers,
      precisions: ['auto', 'f32', 'bf16', 'int8'],
      max_steps,
      max_candidates: 1024,
      drivers: [this.spec.family],
    };
  }

  /** Changes sampler, steps, candidates, precision or guidance; in force for inferences begun after it resolves. */
  async choose(choice: Partial<SamplerChoice>): Promise<void> {
    const next = { ...this.wanted, ...choice };
    checkOffered(this.spec.family, this.menu(), next);
    if (next.guidance_scale !== 1 && !this.family.network.guidable)
      throw new TendonError(
        'config_invalid',
        `guidance_scale: this policy was not trained without its goal, so it has nothing to guide by; expected 1, got ${next.guidance_scale}`,
      );
    await this.sessions.for(next);
    if (this.options.joins?.derivative) await this.sessions.for(next, true);
    this.wanted = next;
  }

  reset(seed: number): void {
    this.memory = this.blank();
    this.seed = seed;
    this.draws = 0;
  }

  infer(observation: Observation | readonly Observation[], options: InferOptions = {}): Promise<ActionChunk> {
    const { network, window, codec, joining } = this.family;
    return runInference(this.spec, options.signal, async ({ cancel }) => {
      const { memory } = this;
      const remembers = !('state' in options);
      const left = remembers ? memory.state : options.state;
      const history = withTask(memory.history.take(observation), options.task);
      const newest = history.at(-1)!;
      checkGoal(options.goal, this.spec);
      const choice = { ...this.wanted, candidates: options.candidates ?? this.wanted.candidates };
      const { steer } = options;
      const ready = await this.sessions.for(choice, joining.guides(options.prefix), steer !== undefined);
      if (steer !== undefined && !(ready.session instanceof LoopSession))
        throw new TendonError(
          'unsupported',
          `${this.spec.family}: this network does not run call by call in the core, so particles and terms cannot act on it`,
        );
      const noise = this.noise(ready, choice.candidates, options);
      const first = window.firstRow(history.length);
      let { start } = noise;
      const carried = window.carry.begin(
        left,
        () => {
          const numbers = numbersOf(start);
          start = numbers;
          return numbers;
        },
        first,
      );
      const joined = joining.begin(options.prefix, newest, first);
      const inputs = network.condition(history, options.goal, groupsOf(choice));
      const chunksOf = (rows: ArrayLike<number>): Float32Array => {
        const normalised = Float32Array.from(rows);
        codec.clip(normalised);
        return this.decode(normalised, normalised.length / (network.rows * network.columns), first, newest);
      };
      const { status, calls, x, observe_ns, denoise_ns } = await native(() =>
        ready.session.denoise({
          inputs: { ...inputs, ...carried, ...joined.inputs },
          start,
          noise: noise.added,
          guidance: choice.guidance_scale,
          ...joined.towards,
          ...(steer === undefined ? {} : { steer: steeredBy(steer, choice.candidates, chunksOf) }),
          cancel,
        }),
      );
      checkStatus(status, 'the network', calls);
      joined.settle(x);
      codec.clip(x);
      const state = window.carry.next(left, x, first);
      if (remembers) memory.state = state;
      const candidates = this.decode(x, choice.candidates, first, newest);
      if (remembers && memory.ensemble !== undefined) {
        const answer = candidates.subarray(0, this.spec.horizon * this.spec.action_dim);
        answer.set(memory.ensemble.update(answer));
      }
      return {
        ...{ newest, candidates, n_candidates: choice.candidates },
        ...{ observe_ns, denoise_ns, calls, state },
      };
    });
  }

  /** What the compiler made of the network, for `tendon inspect`. */
  async describe(): Promise<{
    report: ReturnType<NativeModel['report']>;
    session: NativeSession;
    graph: GraphBuilder;
  }> {
    const graph = this.family.network.graph(groupsOf(this.wanted));
    const { session } = await this.sessions.for(this.wanted);
    const model = await this.sessions.modelFor(this.wanted.precision, groupsOf(this.wanted));
    return { report: model.report(), session, graph };
  }

  close(): void {
    this.sessions.clear();
  }

  private blank(): Memory<PolicyState> {
    const { spec, window } = this.family;
    return {
      history: new History(spec, window.rename, window.grows),
      ...(spec.ensemble === undefined
        ? {}
        : { ensemble: new TemporalEnsemble(spec.ensemble, spec.action_dim) }),
    };
  }

  /** x at the first call, and what the sampler adds on the way: as given, or the next of this episode's noise stream. */
  private noise(
    { start_scale, noise_draws }: Ready,
    candidates: number,
    { noise, first_noise, step_noise }: InferOptions,
  ): { start: Noise; added: Noise } {
    const { rows, columns } = this.family.network;
    const count = candidates * rows * columns;
    if (noise !== undefined && noise.length !== count)
      throw new TendonError(
        'input_invalid',
        `noise: expected ${candidates} × ${rows} × ${columns} values, got ${noise.length}`,
      );
    if (step_noise !== undefined && step_noise.length !== count * noise_draws)
      throw new TendonError(
        'input_invalid',
        `step_noise: expected ${noise_draws} draws (of this sampler at these steps) × ${count} values, got ${step_noise.length}`,
      );
    if (noise === undefined && first_noise === undefined)
      return { start: this.draw(count, start_scale), added: step_noise ?? this.draw(count * noise_draws) };
    const start = noise?.slice() ?? numbersOf(this.draw(count));
    if (first_noise !== undefined) this.writeFirst(first_noise, start);
    return {
      start: start.map((v) => v * start_scale),
      added: step_noise ?? this.draw(count * noise_draws),
    };
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
    return [this.family.network.rows, this.family.network.columns];
  }

  /** The next `count` numbers of this episode's noise stream, which the core draws. */
  private draw(count: number, scale = 1): Draws {
    const first = this.draws;
    this.draws += count;
    return { seed: this.seed, stream: 0, first, count, scale };
  }

  /** x (candidates, rows, columns) as actions (candidates, horizon, action_dim) in physical units, from row `first` on. */
  private decode(x: Float32Array, n: number, first: number, newest: Observation): Float32Array {
    const { action_dim, horizon } = this.spec;
    const { rows, columns } = this.family.network;
    const candidates = new Float32Array(n * horizon * action_dim);
    for (let c = 0; c < n; c++) {
      const part = candidates.subarray(c * horizon * action_dim, (c + 1) * horizon * action_dim);
      for (let t = 0; t < horizon; t++) {
        const from = (c * rows + first + t) * columns;
        part.set(x.subarray(from, from + action_dim), t * action_dim);
      }
      this.family.codec.decode(part, newest);
    }
    return candidates;
  }
}

/** Between two calls: what is shown is the estimate, what is given back changes the answer. */
function steeredBy(steer: DenoiseSteer, n: number, chunks: (rows: ArrayLike<number>) => Float32Array): Steer {
  return async ({ call, calls, estimate, a_f }, f) => {
    if (estimate === undefined || a_f === undefined || a_f === 0 || calls === undefined)
      throw new TendonError(
        'unsupported',
        'particles and terms need a sampler that follows a table; choose another than dpm_adaptive',
      );
    const { shift, ancestors } = await steer({ call, calls, n, denoised: estimate(f), chunks });
    const changed = shift === undefined ? f : Float64Array.from(f, (v, i) => v + shift[i]! / a_f);
    return ancestors === undefined ? changed : { f: changed, ancestors };
  };
}

/** The window with the task of a call, which stands before the observation's own. */
function withTask(history: readonly Observation[], task: string | undefined): readonly Observation[] {
  if (task === undefined) return history;
  const newest = history.at(-1)!;
  return [...history.slice(0, -1), { ...newest, texts: { ...newest.texts, task } }];
}
