// What all policies that plan with a world model share: encode the observation, plan from the latent, keep the rows that
// will be executed. A family supplies the networks' graph, the planner's numbers and the way to physical units.

import {
  addon,
  compileGraph,
  type FoundPlan,
  type FoundTree,
  type GraphBuilder,
  type NativeModel,
  type NativePool,
  type NativeSession,
  type NetworkInputs,
  native,
  type PlannerTable,
  type PlanTape,
  poolFor,
} from '../../native/index.js';
import {
  type ActionChunk,
  type Goal,
  type InferOptions,
  type Observation,
  type PolicySpec,
  type PolicyState,
  type SamplerChoice,
  type SamplerMenu,
  TendonError,
  type TunablePolicy,
} from '../../types/index.js';
import type { ActionCodec } from '../features.js';
import { History } from '../history.js';
import type { LoadOptions } from '../load-options.js';
import type { Memory } from '../memory.js';
import { checkOffered } from '../menu.js';
import { Recent } from '../recent.js';
import { type Answer, checkStatus, runInference } from '../run.js';
import { type Acted, type Actor, priorActor, searchActor, treeActor } from './actors.js';
import { Agency, type AgencyActed, type Demonstration } from './agency.js';
import type { WorldNetworks } from './graph.js';
import { modemTable } from './modem.js';
import { askedBy, partsOf, type WorldDescription } from './parts.js';
import { type PlanPrecision, planPrecision } from './plan-precision.js';
import { PLANNERS, plannerTable, TREE_SEARCH, treeTable } from './planners.js';
import { refuseInferOptions, refuseLoadOptions } from './refusals.js';

export interface Remembered {
  readonly latent: Float32Array;
  readonly action: Float32Array;
}

/** What a plan leaves to the next. */
interface Carried {
  readonly remembered?: Remembered | undefined;
  /** Of the demonstration's policy. */
  readonly shown?: PolicyState | undefined;
  /** The planner's own mean is that of the plan with this mark; after another it begins anew. */
  readonly mark: object;
}

/** What a family brings to PlanningPolicy. */
export interface WorldModelFamily extends ActionCodec {
  readonly kind: 'world-model';
  readonly spec: PolicySpec;
  /** The peers' planner with their numbers. */
  readonly table: PlannerTable;
  /** γ, which a tree needs to know; the graph's rollouts have it in them. */
  readonly discount: number;
  /** Which of PLANNERS those numbers are of (mppi). */
  readonly planner?: string;
  /** Times the first planned action is repeated (LeRobot's n_action_repeats); 1 executes the plan's own rows. */
  readonly repeats: number;
  readonly rename?: Readonly<Record<string, string>>;
  /** False: the policy prior acts alone (LeRobot's use_mpc, TD-MPC2's mpc). */
  readonly plans: boolean;
  graph(): GraphBuilder;
  /** What `graph` is made of. */
  // biome-ignore lint/suspicious/noExplicitAny: what a rollout carries is the family's own affair
  readonly networks: WorldNetworks<any>;
  /** Inputs of the encoder; `uniform` draws from the episode's stream (TD-MPC2 shifts images at random). */
  observe(history: readonly Observation[], goal: Goal | undefined, uniform: () => number): NetworkInputs;
  /**
   * Of a latent that follows from the one before (absent: it does not): further inputs of the encoder from the last latent
   * and the normalised action taken then, undefined at an episode's start; `normal` draws from the episode's stream.
   */
  recall?(before: Remembered | undefined, normal: (count: number) => Float32Array): NetworkInputs;
}

/** Options of an inference that only planners take. */
export interface PlanOptions extends InferOptions {
  readonly tape?: PlanTape;
  /** Adds the planner's last spread to the first action. */
  readonly explore?: boolean;
  /** Mixed into the priors of a tree's root: (candidates), of sum 1. */
  readonly root_noise?: Float32Array;
  /** Which plan this is of those that agency is handed over by; counted from loading when absent. */
  readonly plan_number?: number;
}

/** Elites that a chunk brings along, for the page. */
const SHOWN = 15;

/** Choices whose programs are kept. */
const KEPT = 4;

interface Ready {
  readonly encoder: NativeSession;
  readonly actor: Actor;
}

/**
 * A policy that plans in a learned world model: a search over action sequences, a tree, or its policy prior alone. Made by
 * `loadPolicy`.
 */
export class PlanningPolicy implements TunablePolicy {
  readonly spec: PolicySpec;
  /** The threads that this policy computes on. */
  readonly pool: NativePool;
  private readonly models = new Recent<NativeModel>();
  private readonly ready = new Recent<Ready>(KEPT);
  private memory: Memory<Carried>;
  /** Of the last plan, whose mean the planner starts from. */
  private mark: object | undefined;
  private seed = 0;
  private draws = 0;
  private readonly table: PlannerTable;
  private readonly agency: Agency | undefined;
  /** Outputs of the family's graph. */
  private entries: readonly string[] = [];
  private wanted: SamplerChoice;
  private readonly measured = new Recent<PlanPrecision>(KEPT);
  /** How `auto` chose the precision, where it was asked. */
  precision_said: string | undefined;
  /** The last plan: mean, spread, elites and their scores, in [−1, 1]. */
  lastPlan: FoundPlan | undefined;
  /** The last tree, when that is the planner. */
  lastTree: FoundTree | undefined;

  private constructor(
    private readonly family: WorldModelFamily,
    private readonly options: LoadOptions,
    demonstration: Demonstration | undefined,
  ) {
    this.spec = family.spec;
    this.table = demonstration === undefined ? family.table : modemTable(family.table, demonstration.modem);
    if (demonstration?.policy !== undefined)
      this.agency = new Agency(demonstration.modem, demonstration.policy, family, () => this.uniform());
    this.memory = { history: new History(family.spec, family.rename) };
    const { compute = {}, sampling = {} } = options;
    this.pool = poolFor(compute);
    const sampler = sampling.sampler ?? (family.plans ? (family.planner ?? 'mppi') : 'policy');
    refuseLoadOptions(family.spec.family, sampler, options);
    const effort = this.effort(sampler);
    this.wanted = {
      sampler,
      steps: sampling.steps ?? effort.steps,
      candidates: sampling.candidates ?? effort.candidates,
      precision: compute.precision ?? 'f32',
      guidance_scale: 1,
    };
  }

  static async create(
    family: WorldModelFamily,
    options: LoadOptions,
    demonstration?: Demonstration,
  ): Promise<PlanningPolicy> {
    const policy = new PlanningPolicy(family, options, demonstration);
    await policy.choose({});
    return policy;
  }

  get choice(): SamplerChoice {
    return this.wanted;
  }

  /** Planners stand where a denoiser's samplers stand: steps are iterations, candidates are samples. */
  menu(): SamplerMenu {
    return {
      samplers: PLANNERS,
      precisions: ['f32', 'bf16', 'int8', 'auto'],
      max_steps: Math.max(400, this.table.iterations ?? 1),
      max_candidates: Math.max(4096, this.table.samples),
      drivers: [this.spec.family],
    };
  }

  async choose(choice: Partial<SamplerChoice>): Promise<void> {
    // A tree's simulations and actions are other numbers than a search's iterations and samples.
    const sampler = choice.sampler ?? this.wanted.sampler;
    const changes = (sampler === TREE_SEARCH) !== (this.wanted.sampler === TREE_SEARCH);
    const asked = { ...this.wanted, ...(changes ? this.effort(sampler) : {}), ...choice };
    checkOffered(this.spec.family, this.menu(), asked);
    const next = { ...asked, precision: await this.precisionOf(asked) };
    refuseLoadOptions(this.spec.family, sampler, { sampling: { guidance_scale: next.guidance_scale } });
    await this.readyFor(next);
    this.wanted = next;
  }

  reset(seed: number): void {
    this.memory = { history: new History(this.family.spec, this.family.rename) };
    this.mark = undefined;
    this.seed = seed;
    this.draws = 0;
    this.agency?.reset(seed);
    for (const ready of this.ready.values())
      void ready.then(({ actor }) => actor.reset(seed)).catch(() => undefined);
  }

  infer(observation: Observation | readonly Observation[], options: PlanOptions = {}): Promise<ActionChunk> {
    return runInference(this.spec, options.signal, async ({ cancel, elapsed_ns }) => {
      refuseInferOptions(this.spec, this.wanted.sampler, options);
      const { memory } = this;
      const remembers = !('state' in options);
      const before = remembers ? memory.state : (options.state as Carried | undefined);
      const history = memory.history.take(observation);
      const newest = history.at(-1)!;
      const { encoder, actor } = await this.readyFor(this.wanted);
      const inputs = {
        ...this.family.observe(history, options.goal, () => this.uniform()),
        ...this.family.recall?.(before?.remembered, (count) => this.normal(count)),
      };
      const encoded = await native(() => encoder.run(inputs));
      checkStatus(encoded.status, 'the encoder');
      const latent = encoded.outputs.latent!;
      const observe_ns = elapsed_ns();
      if (before?.mark !== this.mark) await actor.reset(this.seed);
      const request = { ...options, latent, cancel, shown_state: before?.shown };
      const acted: Acted & Partial<AgencyActed> =
        this.agency === undefined
          ? await actor.act(request)
          : await this.agency.act(actor, request, observation, newest);
      checkStatus(acted.status, actor.what);
      const state: Carried = {
        mark: {},
        ...this.rememberedOf(latent, acted.actions),
        shown: acted.shown_state,
      };
      this.mark = state.mark;
      if (remembers) memory.state = state;
      this.lastPlan = acted.plan;
      this.lastTree = acted.tree;
      const denoise_ns = elapsed_ns() - observe_ns;
      return { newest, ...this.candidates(acted.actions, newest), observe_ns, denoise_ns, state };
    });
  }

  /** What an encoder that goes on from the last latent is given next time. */
  private rememberedOf(latent: Float32Array, actions: Float32Array): Pick<Carried, 'remembered'> {
    if (this.family.recall === undefined) return {};
    const action = actions.slice(0, this.spec.action_dim).map((a) => Math.min(1, Math.max(-1, a)));
    return { remembered: { latent, action } };
  }

  async describe(): Promise<{
    report: ReturnType<NativeModel['report']>;
    session: NativeSession;
    graph: GraphBuilder;
  }> {
    const { encoder } = await this.readyFor(this.wanted);
    const model = await this.modelFor(this.wanted.precision);
    return { report: model.report(), session: encoder, graph: this.family.graph() };
  }

  /** The networks one by one and the planner's programs, for `tendon inspect`. */
  async describeWorld(): Promise<WorldDescription> {
    const { actor } = await this.readyFor(this.wanted);
    const { networks, discount } = this.family;
    const asked = askedBy(this.table, discount, this.wanted, networks.critics, this.entries);
    const searches = this.wanted.sampler !== 'policy' && this.wanted.sampler !== TREE_SEARCH;
    return {
      parts: partsOf(networks, asked),
      iterations: searches ? (plannerTable(this.table, this.wanted).iterations ?? 1) : 1,
      profile: actor.profile?.bind(actor),
    };
  }

  close(): void {
    this.ready.clear();
    this.models.clear();
    this.agency?.close();
  }

  /** `auto` measured, once for each search; other choices as they are. */
  private async precisionOf(choice: SamplerChoice): Promise<SamplerChoice['precision']> {
    if (choice.precision !== 'auto') return choice.precision;
    if (choice.sampler === 'policy' || choice.sampler === TREE_SEARCH) {
      this.precision_said = `auto is f32 for ${choice.sampler}: only the plans of a search are measured`;
      return 'f32';
    }
    const { sampler, steps, candidates } = choice;
    const { precision, said } = await this.measured.get([sampler, steps, candidates].join('/'), () =>
      planPrecision({
        table: plannerTable(this.table, choice),
        model: (precision) => this.modelFor(precision),
        situation: (i) => this.situation(i),
      }),
    );
    this.precision_said = said;
    process.emitWarning(`${this.spec.family}: ${said}`, 'TendonWarning');
    return precision;
  }

  /** The encoder's inputs of a situation that nobody saw: normal numbers, pictures of noise. */
  private situation(i: number): NetworkInputs {
    const { observation_dims, image_shapes } = this.spec;
    const values = Object.entries(observation_dims).map(
      ([key, dim], k) => [key, addon().philoxNormal(i, 9, 4096 * k, dim)] as const,
    );
    const frames = Object.entries(image_shapes).map(([key, [channels, height, width]], k) => {
      const noise = addon().philoxUniform(i, 10 + k, 0, height * width * channels);
      const data = Uint8Array.from(noise, (v) => 255 * v);
      return [key, { height, width, channels: channels as 1 | 3, data }] as const;
    });
    const observation = {
      stamp_ns: 0,
      values: Object.fromEntries(values),
      images: Object.fromEntries(frames),
    };
    const history = new History(this.spec, this.family.rename).take(observation);
    return {
      ...this.family.observe(history, undefined, () => 0.5),
      ...this.family.recall?.(undefined, (count) => new Float32Array(count)),
    };
  }

  private uniform(): number {
    return native(() => addon().philoxUniform(this.seed, 7, this.draws++, 1))[0]!;
  }

  private normal(count: number): Float32Array {
    this.draws += count;
    return native(() => addon().philoxNormal(this.seed, 8, this.draws - count, count));
  }

  private modelFor(precision: string): Promise<NativeModel> {
    return this.models.get(precision, async () => {
      const graph = this.family.graph();
      this.entries = graph.outputs.map(({ name }) => name);
      return compileGraph(graph, precision, this.pool, this.options.compute ?? {});
    });
  }

  private readyFor(choice: SamplerChoice): Promise<Ready> {
    const { precision, sampler, steps, candidates } = choice;
    return this.ready.get([precision, sampler, steps, candidates].join('/'), () => this.prepare(choice));
  }

  private async prepare(choice: SamplerChoice): Promise<Ready> {
    const model = await this.modelFor(choice.precision);
    const encoder = await native(() => model.openSession({ batch: 1, outputs: ['latent'] }));
    const actor = await this.actorFor(model, choice);
    await actor.reset(this.seed);
    return { encoder, actor };
  }

  private actorFor(model: NativeModel, choice: SamplerChoice): Promise<Actor> {
    const { discount, spec } = this.family;
    const { table } = this;
    const entry = choice.sampler === 'policy' ? 'greedy_action' : 'root_state';
    if ((choice.sampler === 'policy' || choice.sampler === TREE_SEARCH) && !this.entries.includes(entry))
      throw new TendonError(
        'unsupported',
        `${spec.family}: "${choice.sampler}" needs a policy prior${entry === 'root_state' ? ' and a value' : ''}, which this model has not; it can be planned with ${PLANNERS.filter((p) => p !== 'policy' && p !== TREE_SEARCH).join(', ')}`,
        { sampler: choice.sampler },
      );
    if (choice.sampler === 'policy') return priorActor(model);
    return choice.sampler === TREE_SEARCH
      ? treeActor(model, treeTable(table, discount, choice))
      : searchActor(model, plannerTable(table, choice));
  }

  /** Steps and candidates of a planner when nobody says. */
  private effort(sampler: string): { steps: number; candidates: number } {
    const { iterations = 1, samples } = this.table;
    return sampler === TREE_SEARCH
      ? { steps: 50, candidates: 20 }
      : { steps: iterations, candidates: samples };
  }

  /** What was planned and the best elites beside it, as rows that are executed. */
  private candidates(
    planned: Float32Array,
    newest: Observation,
  ): Pick<Answer, 'candidates' | 'n_candidates' | 'scores'> {
    const { action_dim, horizon } = this.spec;
    const { repeats } = this.family;
    const rowsOf = (sequence: Float32Array): Float32Array => {
      const rows = new Float32Array(horizon * action_dim);
      for (let i = 0; i < horizon; i++) {
        const from = (repeats > 1 ? 0 : Math.min(i, sequence.length / action_dim - 1)) * action_dim;
        rows.set(sequence.subarray(from, from + action_dim), i * action_dim);
      }
      for (let i = 0; i < rows.length; i++) rows[i] = Math.min(1, Math.max(-1, rows[i]!));
      this.family.decode(rows, newest);
      return rows;
    };
    const first = rowsOf(planned);
    const plan = this.lastPlan;
    const width = this.table.horizon * action_dim;
    const shown = plan === undefined ? 0 : Math.min(SHOWN, plan.elites.length / width);
    if (plan === undefined || shown === 0) return { candidates: first, n_candidates: 1 };
    const candidates = new Float32Array((1 + shown) * first.length);
    candidates.set(first);
    for (let k = 0; k < shown; k++)
      candidates.set(rowsOf(plan.elites.subarray(k * width, (k + 1) * width)), (k + 1) * first.length);
    // The answer is one of the elites or made of them; the best is the nearest there is to a return of its own.
    const scores = Float32Array.of(plan.best_score, ...plan.elite_scores.subarray(0, shown));
    return { candidates, n_candidates: 1 + shown, scores };
  }
}
