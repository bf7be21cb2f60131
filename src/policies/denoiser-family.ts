// What a family that denoises is made of. Each part is always there, so that the code that all families share asks none of
// them what kind it is; `definePolicy` (define.ts) fills in what most families have in common.

import type { GraphBuilder, NativeModel, NativePool, NativeSession, NetworkInputs } from '../native/index.js';
import type { Follow, SamplerTable } from '../samplers/index.js';
import type { ChunkPrefix, Goal, Observation, PolicySpec } from '../types/index.js';
import type { SamplerSettings } from './load-options.js';

export interface DenoiserFamily {
  readonly spec: PolicySpec;
  readonly network: Network;
  readonly sampling: Sampling;
  readonly window: Window;
  readonly codec: Codec;
  readonly joining: Joining;
}

/** What a network opens a session with. */
export interface Opening {
  readonly candidates: number;
  /** Guidance groups: 2 where an unconditional half runs beside the conditional one. */
  readonly groups: number;
  /** Asked call by call, so that answers can be changed on their way. */
  readonly stepped?: boolean;
  /** Drawn towards a prefix through the derivative of the network. */
  readonly guided: boolean;
  readonly parallel_tolerance: number;
  readonly pool: NativePool;
  /** The compiled network, once for all sessions; with the derivative's outputs when `guided`. */
  model(): Promise<NativeModel>;
}

/** The denoiser: step input `x` (batch, rows, columns), first output F. */
export interface Network {
  readonly rows: number;
  /** The actions come first; what follows is denoised with them and means nothing to a robot. */
  readonly columns: number;
  /** Whether there is an unconditional half for guidance. */
  readonly guidable: boolean;
  /** Throws `unsupported` where the core cannot compile it. */
  graph(groups: number): GraphBuilder;
  /** Inputs of the schedule stage, for every call. */
  schedule(levels: readonly number[]): Record<string, Float32Array>;
  /** Inputs of the observation stage, normalised, and the cameras' frames, for `groups` groups (conditional first). */
  condition(history: readonly Observation[], goal: Goal | undefined, groups: number): NetworkInputs;
  /** A session that follows `plan`. */
  open(plan: SamplingPlan, opening: Opening): Promise<NativeSession>;
}

/** A sampler with its steps chosen. */
export interface SamplingPlan {
  /** Unit noise times this is x at the first call. */
  readonly start_scale: number;
  /** Draws of the size of x that are added on the way. */
  readonly noise_draws: number;
  /** Undefined where the steps are decided on the way. */
  readonly table: SamplerTable | undefined;
  /** The same, driven call by call. */
  readonly follow: Follow;
}

export interface Sampling {
  readonly samplers: readonly string[];
  /** Without a choice: those of the checkpoint. */
  readonly defaults: { readonly sampler: string; readonly steps: number; readonly guidance_scale: number };
  readonly max_steps: number;
  /** Throws `config_invalid` for a sampler, steps or settings that there are not, and says which there are. */
  plan(sampler: string, steps: number, settings?: SamplerSettings): SamplingPlan;
}

/** What an inference sees, and what goes from one answer to the next. */
export interface Window {
  /** The policy's observation key by another that is accepted for it (LeRobot's rename_map). */
  readonly rename: Readonly<Record<string, string>>;
  /** Until there are n_obs_steps observations the window is as long as there are, instead of repeating the first. */
  readonly grows: boolean;
  /** The row of x that is executed first, of a window of so many observations. */
  firstRow(observations: number): number;
  readonly carry: Carry;
}

/** What goes from one answer to the next: actions that were given, the state of a recurrent network. */
export interface Carry {
  /**
   * Inputs from what the last answer left (undefined at an episode's start). `start()`, (candidates, rows, columns), is
   * the start noise, into which known rows may be written; who does not ask leaves it to the core to draw. `first` is the
   * row that will be executed.
   */
  begin(left: unknown, start: () => Float32Array, first: number): NetworkInputs;
  /** What this answer leaves; undefined: nothing. `x` as `start`, denoised. */
  next(left: unknown, x: Float32Array, first: number): object | undefined;
}

/** From rows of x to actions. */
export interface Codec {
  /** Brings what was sampled beyond the data's bounds back to them, in place: (…, action_dim) normalised. */
  clip(x: Float32Array): void;
  /** Normalised rows (rows, action_dim) to physical units, in place. */
  decode(rows: Float32Array, newest: Observation): void;
}

/** What a prefix is to one inference. */
export interface Joined {
  /** To the network. */
  readonly inputs: NetworkInputs;
  /** To the sampler's loop: rows of x and what each weighs. */
  readonly towards: { readonly prefix?: Float32Array; readonly prefix_weights?: Float32Array };
  /** Rows of x that are given and not sampled are written back. */
  settle(x: Float32Array): void;
}

/** How a new chunk is joined to the one before it while it is drawn. */
export interface Joining {
  /** Throws `unsupported` where a chunk cannot be drawn towards another, or was not trained to have its beginning given. */
  check(trained?: boolean): void;
  /** Whether this prefix is followed through the derivative of the network. */
  guides(prefix: ChunkPrefix | undefined): boolean;
  /** `first`: the row of x that is executed first. */
  begin(prefix: ChunkPrefix | undefined, newest: Observation, first: number): Joined;
}
