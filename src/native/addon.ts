// The one file that types the native addon and loads it. Errors of the core arrive with a `code` of ours and become
// TendonErrors here, once.

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import {
  ERROR_CODES,
  type ErrorCode,
  type ExecutorOptions,
  type ExecutorPort,
  type Interpolation,
  type Nanoseconds,
  TendonError,
} from '../types/index.js';
import { packageFile } from '../types/package.js';
import type { Noise } from './noise.js';

export type Precision = 'f32' | 'bf16' | 'int8' | 'auto';
export type Stage = 'schedule' | 'observation' | 'step';

/** A value of a graph under construction. */
export interface NativeValue {
  readonly id: number;
  readonly shape: readonly number[];
}

export interface NativeGraph {
  input(name: string, shape: readonly number[], stage: Stage): NativeValue;
  weight(name: string, shape: readonly number[], dtype: string, path: string, offset: number): NativeValue;
  constant(values: Float32Array, shape: readonly number[]): NativeValue;
  add(op: string, inputs: readonly number[], attributes?: object): NativeValue;
  output(name: string, id: number): void;
  print(): string;
}

export interface NativePool {
  readonly size: number;
  /** Which each thread is bound to; none when nothing is. */
  readonly cores: readonly number[];
  /** What of the priority the system refused and why; empty when it was given or none was asked for. */
  readonly refused: string;
}

/** How strongly threads ask for a core: a nice level, or SCHED_RR at a priority. */
export type PoolPriority = { readonly nice: number } | { readonly round_robin: number };

export interface PoolOptions {
  /** 0 or absent: one per core, or per core that is named. */
  readonly threads?: number | undefined;
  /** Binds each thread to a core of its own: of these, or of the first that this process may use. */
  readonly pin?: boolean | readonly number[] | undefined;
  /**
   * How strongly the threads ask for a core beside what else runs on the machine, the caller's for as long as it
   * computes: nice −20 (before others) to 19 (behind them), or SCHED_RR at 1 to 99, before every ordinary thread.
   * What is refused is said in `refused`.
   */
  readonly priority?: PoolPriority | undefined;
}

export interface CancelToken {
  cancel(): void;
  readonly cancelled: boolean;
}

export interface ModelReport {
  readonly isa: string;
  readonly precision: Precision;
  /** Worst error against f32 on probe inputs, relative to the largest output; 0 unless `auto` chose. */
  readonly precision_error: number;
  readonly parameters: number;
  readonly packed_bytes: number;
}

export interface Port {
  readonly name: string;
  readonly shape: readonly number[];
  readonly stage: string;
}

export interface StageReport {
  readonly name: string;
  readonly instructions: number;
  readonly matrix_products: number;
  readonly flops: number;
  readonly weight_bytes: number;
}

export interface InstructionReport {
  readonly stage: string;
  readonly label: string;
  readonly flops: number;
  readonly weight_bytes: number;
  readonly ns: number;
}

export interface RunResult {
  readonly status: 'ok' | 'cancelled' | 'not_finite';
  readonly observe_ns: number;
  readonly denoise_ns: number;
  /** Denoiser calls made. */
  readonly calls: number;
}

/**
 * Frames for an image input (frames, rows, columns, channels): turned into numbers, resized and cut out in the core,
 * off the event loop, where the input lies.
 */
export interface FrameInput {
  /** Each (height, width, channels). */
  readonly data: readonly Uint8Array[];
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  /** (channels, 256): the number that each byte stands for. */
  readonly values: Float32Array;
  /** (height, width), bilinear with antialiasing; absent: as it is. */
  readonly resize?: readonly [number, number];
  /** top, left, rows, columns of what is kept, after resizing; absent: all. */
  readonly crop?: readonly [number, number, number, number];
}

export type NetworkInputs = Readonly<Record<string, Float32Array | FrameInput>>;

export interface DenoiseRequest {
  /** Observation inputs by name, whole. */
  readonly inputs: NetworkInputs;
  /** x at the first row of the table: unit noise times the first σ, (batch, horizon, action_dim). */
  readonly start: Noise;
  /** Further draws of that size that a stochastic table consumes, in order. */
  readonly noise?: Noise;
  readonly guidance?: number;
  /** (horizon, action_dim), normalised, with prefix_weights (horizon). */
  readonly prefix?: Float32Array;
  readonly prefix_weights?: Float32Array;
  readonly cancel?: CancelToken;
}

/** The limits of the executor (native/drive/limiter.h), for other loops. Arrays have one number for each joint. */
export interface NativeLimiter {
  /** Whether the last command was one of motion. */
  readonly moving: boolean;
  /** Begins anew at `measured`, at rest. Throws `input_invalid` for what is not finite. */
  restart(measured: Float64Array): void;
  rest(): void;
  copy(other: NativeLimiter): void;
  /** The next command, `dt` s after the last, into `out`; returns bits of control's LIMITED. */
  limit(desired: Float64Array, dt: number, out: Float64Array): number;
}

export interface NativeSession {
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  readonly arena_bytes: number;
  stages(): StageReport[];
  print(): string;
  /** Every instruction timed, the median of `rounds` runs. */
  profile(rounds: number): Promise<InstructionReport[]>;
  /**
   * `rows`: rows of `samplerFields()` numbers; `schedule`: each schedule input for every call. When it is refused the
   * session is as it was before.
   *
   * With a tolerance all calls are solved together by fixed-point iteration (Shih et al. 2023) until no sample moves
   * by more; `calls` of the results then counts iterations.
   */
  setTable(
    rows: Float32Array,
    schedule: Readonly<Record<string, Float32Array>>,
    parallel_tolerance?: number,
  ): Promise<void>;
  denoise(request: DenoiseRequest): Promise<RunResult & { readonly x: Float32Array }>;
  run(
    inputs: NetworkInputs,
  ): Promise<RunResult & { readonly outputs: Readonly<Record<string, Float32Array>> }>;
}

/** A planner by its numbers (native/plan/table.h); what is absent keeps the value in brackets. */
export interface PlannerTable {
  readonly horizon: number;
  readonly action_dim: number;
  /** Candidates drawn per iteration. */
  readonly samples: number;
  /** Candidates of the policy prior, before the drawn ones (0). */
  readonly prior?: number;
  /** Best candidates of the iteration before that stand again (0). */
  readonly keep?: number;
  /** (1) */
  readonly iterations?: number;
  /** Best candidates that the distribution is made of (1). */
  readonly elites?: number;
  /** Spread of the first iteration, of actions in [−1, 1] (1). */
  readonly initial_std?: number;
  readonly min_std?: number;
  readonly max_std?: number;
  /** The spread stays as it began (false). */
  readonly fixed_std?: boolean;
  /** Elites weigh exp(temperature·(score − best)); 0: alike (0). */
  readonly temperature?: number;
  /** Of the mean between iterations (0). */
  readonly momentum?: number;
  /** score −= control_cost · Σ mean·(action − mean)/std² (0). */
  readonly control_cost?: number;
  readonly critics?: number;
  /** Critics drawn per iteration. */
  readonly drawn?: number;
  readonly with_replacement?: boolean;
  /** Of the drawn critics (mean); `weighted`: ask_min·min + ask_mean·mean + ask_std·std, of n − 1. */
  readonly ask?: 'mean' | 'minimum' | 'weighted';
  /** (0, 1, 0) */
  readonly ask_min?: number;
  readonly ask_mean?: number;
  readonly ask_std?: number;
  /** What a plan answers with (mean). */
  readonly pick?: 'mean' | 'sampled' | 'best';
  /** The mean begins as the one before, a step on (true). */
  readonly warm_start?: boolean;
  /** Spread of the first iteration around a centre, where a plan is given one (0.1). */
  readonly centre_std?: number;
  /** (horizon, horizon): the noise of step t is Σ mix[t, u]·draw[u]; white when absent. */
  readonly mix?: Float32Array;
}

/** Draws in place of the seed's. rows = prior + samples. */
export interface PlanTape {
  /** Normal (iterations, horizon, samples, action_dim). */
  readonly samples?: Float32Array;
  /** Normal (iterations, rows, action_dim): the prior's, at the end of the horizon. */
  readonly tail?: Float32Array;
  /** Normal (prior, horizon, action_dim). */
  readonly prior?: Float32Array;
  /** Normal (iterations, rows, draws): a stochastic model's, for the whole rollout. */
  readonly model?: Float32Array;
  /** Normal (prior, draws): the same while the prior acts. */
  readonly prior_model?: Float32Array;
  /** Indices (iterations, drawn). */
  readonly critics?: Float32Array;
  /** Exponential (elites). */
  readonly pick?: Float32Array;
  /** Normal (action_dim). */
  readonly explore?: Float32Array;
}

export interface FoundPlan {
  /** (horizon, action_dim) in [−1, 1] */
  readonly actions: Float32Array;
  readonly mean: Float32Array;
  readonly std: Float32Array;
  /** Elites of the last iteration, best first, (elites, horizon, action_dim), and their scores. */
  readonly elites: Float32Array;
  readonly elite_scores: Float32Array;
  /** `not_finite`: every candidate of every iteration failed. */
  readonly status: 'ok' | 'cancelled' | 'not_finite';
  /** Rollouts that were not finite or exploded; they count as worst. */
  readonly worst_count: number;
  readonly best_score: number;
}

export interface NativePlanner {
  readonly inputs: readonly Port[];
  print(): string;
  profile(rounds: number): Promise<InstructionReport[]>;
  /** Forgets the plan before; draws are those of `seed` from its start. */
  reset(seed: number): Promise<void>;
  plan(request: {
    readonly inputs: NetworkInputs;
    readonly tape?: PlanTape;
    /** (horizon, action_dim) in [−1, 1] that the search starts around. */
    readonly centre?: Float32Array;
    /** Adds the last spread to the first action. */
    readonly explore?: boolean;
    readonly cancel?: CancelToken;
  }): Promise<FoundPlan & { readonly total_ns: number }>;
}

/** The search alone, for candidates that something else scores. */
export interface NativeSearch {
  reset(seed: number): void;
  begin(centre?: Float32Array): void;
  /** This iteration's candidates (samples, horizon, action_dim); undefined after the last. */
  propose(): Float32Array | undefined;
  update(scores: Float32Array): void;
  finish(explore?: boolean): FoundPlan;
}

/** A tree search by its numbers (native/plan/tree.h); what is absent keeps the value in brackets. */
export interface TreeTable {
  /** Actions of the answer (1). */
  readonly horizon?: number;
  readonly action_dim: number;
  /** K: drawn from the policy prior at every node (20). */
  readonly actions?: number;
  /** (50) */
  readonly simulations?: number;
  /** Leaves that the model is asked about together; 1 is MuZero's own order (1). */
  readonly batch?: number;
  /** (0.997) */
  readonly discount?: number;
  /** Of pUCT (1.25, 19652). */
  readonly c1?: number;
  readonly c2?: number;
  /** τ: how many times as wide as the prior the actions are drawn (1). */
  readonly spread?: number;
  /** Of the root's noise, where it is given (0.25). */
  readonly noise_weight?: number;
  /** What an action not tried yet counts: 0 (MuZero) or the mean of those tried (EfficientZero) (zero). */
  readonly untried?: 'zero' | 'mean';
  /** 0: the most visited action; else drawn by visits^(1/temperature) (0). */
  readonly temperature?: number;
}

export interface FoundTree {
  /** (horizon, action_dim) in [−1, 1]: the most visited from the root on, the last one held where the tree ends. */
  readonly actions: Float32Array;
  /** (K, action_dim), with how often each was followed and what came back. */
  readonly root_actions: Float32Array;
  readonly visits: Float32Array;
  readonly values: Float32Array;
  readonly chosen: number;
  readonly nodes: number;
  readonly depth: number;
  /** `not_finite`: every action of the root failed. */
  readonly status: 'ok' | 'cancelled' | 'not_finite';
  /** Leaves that were not finite or exploded; they are never followed again. */
  readonly worst_count: number;
}

export interface NativeTreePlanner {
  readonly inputs: readonly Port[];
  print(): string;
  reset(seed: number): Promise<void>;
  plan(request: {
    readonly inputs: NetworkInputs;
    /** (K), of sum 1, mixed into the root's priors (MuZero: Dirichlet of 0.3). */
    readonly noise?: Float32Array;
    readonly tape?: {
      /** Normal (simulations + 1, K, action_dim): the root's, then by simulation. */
      readonly actions?: Float32Array;
      /** Normal (simulations, draws) of a stochastic model. */
      readonly model?: Float32Array;
      /** Exponential (K). */
      readonly pick?: Float32Array;
    };
    readonly cancel?: CancelToken;
  }): Promise<FoundTree & { readonly total_ns: number; readonly best_score: number }>;
}

/** The tree alone, for leaves that something else values. */
export interface NativeTree {
  /** `draws` are the normal draws behind the actions, (K, action_dim) both. */
  begin(root: {
    readonly actions: Float32Array;
    readonly draws: Float32Array;
    readonly noise?: Float32Array;
  }): void;
  /** The leaves to be followed next, at most `batch`; none when the search is over. */
  select(): { readonly node: number; readonly action: Float32Array }[];
  /** What was found at each; gives the node that each has made, −1 for none. */
  expand(
    leaves: readonly {
      readonly reward: number;
      /** The probability that the episode goes on there. */
      readonly alive: number;
      readonly value: number;
      readonly actions: Float32Array;
      readonly draws: Float32Array;
    }[],
  ): number[];
  finish(request?: { readonly pick?: Float32Array }): FoundTree;
}

export interface NativeModel {
  report(): ModelReport;
  /** `outputs`: only these and what they need. */
  openSession(options?: {
    readonly batch: number;
    readonly outputs?: readonly string[];
  }): Promise<NativeSession>;
  /** The model's graph must have a planner's entries (src/policies/world-model/graph.ts). */
  openPlanner(table: PlannerTable): Promise<NativePlanner>;
  /** The same, with the entries of a tree. */
  openTree(table: TreeTable): Promise<NativeTreePlanner>;
}

/** While it is open: when a real-time thread on one of this process's processors was not run in time. */
export interface NativeStalls {
  /** What the system refused of real-time threads, so that nothing follows for the machine; else empty. */
  readonly refused: string;
  /** CLOCK_MONOTONIC. */
  nowNs(): Nanoseconds;
  /** Those since the last call; more than a thousand on one processor are not kept. */
  drain(): Stall[];
  close(): void;
}

export interface Stall {
  readonly from_ns: Nanoseconds;
  readonly to_ns: Nanoseconds;
  readonly processor: number;
}

export interface Addon {
  readonly Graph: new () => NativeGraph;
  readonly Pool: new (options?: PoolOptions) => NativePool;
  readonly CancelToken: new () => CancelToken;
  readonly Search: new (table: PlannerTable) => NativeSearch;
  readonly Tree: new (table: TreeTable) => NativeTree;
  readonly Executor: new (options: ExecutorOptions) => ExecutorPort;
  readonly Limiter: new (limits: ExecutorOptions['limits'], joints: number) => NativeLimiter;
  /**
   * Writes what is in force at `position` (in rows) of `actions` (rows, joints) between its rows, joints being as many
   * as `out` is long.
   */
  interpolate(
    actions: Float32Array,
    rows: number,
    position: number,
    how: Interpolation,
    out: Float64Array,
  ): void;
  /** Notes from here on what takes at least `least_ms`. */
  readonly Stalls: new (
    least_ms: number,
  ) => NativeStalls;
  compileModel(
    graph: NativeGraph,
    options: {
      readonly precision?: Precision;
      readonly isa?: string;
      /** `cpu`, `cuda:0`, …, or `cuda:emulated`; without: TENDON_DEVICE, else the CPU. */
      readonly device?: string;
      readonly pool?: NativePool;
    },
  ): Promise<NativeModel>;
  /** Draws first … first + count − 1 of (seed, stream), standard normal, the same on every machine. */
  philoxNormal(
    seed: number | bigint,
    stream: number | bigint,
    first: number | bigint,
    count: number,
  ): Float32Array;
  /** The same indexing for uniforms in (0, 1). */
  philoxUniform(
    seed: number | bigint,
    stream: number | bigint,
    first: number | bigint,
    count: number,
  ): Float32Array;
  /** Operations per second (a multiply-add is two) of the whole pool with weights of that format, at best. */
  measureArithmetic(pool: NativePool, format: 'f32' | 'bf16' | 'int8'): Promise<number>;
  /** Bytes per second at which the whole pool reads the same `bytes` again and again. */
  measureReading(pool: NativePool, bytes: number): Promise<number>;
  /** One datagram to the service manager's unix socket; why it was not sent, or '' when it was. Never waits. */
  notifyManager(address: string, text: string): string;
  opNames(): string[];
  samplerFields(): string[];
  /** Names of what a PlannerTable and a TreeTable hold. */
  plannerFields(): string[];
  treeFields(): string[];
  /** The instruction set that would be used, not above `limit`. */
  isa(limit?: string): string;
  /** Threads that a pool has by default: cores that this process may run on, no more than its cgroup's quota. */
  threadCount(): number;
}

const ADDON_PATH = packageFile('build/Release/tendon.node');
let loaded: Addon | undefined;

/** The addon, loaded on first use. Throws `native_unavailable` with what to do. */
export function addon(): Addon {
  if (loaded !== undefined) return loaded;
  if (!existsSync(ADDON_PATH))
    throw new TendonError(
      'native_unavailable',
      `the native addon is not built: ${ADDON_PATH} does not exist. Run \`npm run build:native\` (needs g++ and cmake).`,
      { path: ADDON_PATH },
    );
  try {
    loaded = createRequire(import.meta.url)(ADDON_PATH) as Addon;
  } catch (cause) {
    throw new TendonError(
      'native_unavailable',
      `the native addon at ${ADDON_PATH} cannot be loaded: ${String(cause)}. Rebuild it with \`npm run build:native\`.`,
      { path: ADDON_PATH },
      { cause },
    );
  }
  return loaded;
}

/** Runs a call of the addon, turning its errors into TendonErrors. */
export function native<T>(call: () => T): T {
  try {
    const result = call();
    return result instanceof Promise ? (result.catch(rethrow) as T) : result;
  } catch (caught) {
    rethrow(caught);
  }
}

function rethrow(caught: unknown): never {
  if (caught instanceof TendonError || !(caught instanceof Error)) throw caught;
  const code = (caught as { code?: unknown }).code;
  const known = typeof code === 'string' && code in ERROR_CODES ? (code as ErrorCode) : 'internal';
  throw new TendonError(known, caught.message, {}, { cause: caught });
}
