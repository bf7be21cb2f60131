// The ports that control knows: a clock, a robot, a policy. Adapters for rosbridge, simulation and replay
// implement Robot; families under src/policies implement Policy.

import type { SamplerChoice, SamplerMenu } from './live.js';
import type { ActionChunk, Command, Goal, Nanoseconds, Observation, PolicyState } from './values.js';

/** Monotonic time; in a replay that of the recording. */
export interface Clock {
  now_ns(): Nanoseconds;
  /** Resolves at the absolute time `at_ns` or as soon after as the machine allows; at once when it is past. */
  sleepUntil(at_ns: Nanoseconds): Promise<void>;
}

/** Whether the robot is seen and can be commanded. `cause` is for people. */
export interface RobotStatus {
  /** Observations come, and commands can be sent. */
  readonly connected: boolean;
  /**
   * Commands can be sent, whatever is wrong with the observations: a robot in motion can still be braked. As `connected`
   * when absent.
   */
  readonly reachable?: boolean | undefined;
  /** What people say by way of the robot (stops, heartbeats) is heard. As `reachable` when absent. */
  readonly listening?: boolean | undefined;
  readonly cause: string;
}

/** A robot as control sees it: the newest observation, a way to send, and whether both work. */
export interface Robot {
  /** Lengths by feature key that observations have, and the length of a command. */
  readonly observation_dims: Readonly<Record<string, number>>;
  readonly action_dim: number;
  /** Rejects with the reason of `signal` when that is aborted. */
  connect(signal?: AbortSignal): Promise<void>;
  /** The newest observation, or undefined before the first. Never blocks; the same object until a newer one. */
  latest(): Observation | undefined;
  /** Sends now or not at all: false when the command was dropped (and counted). Never queues. */
  send(command: Command): boolean;
  /** Calls `listener` on each change of connection; returns the way to stop. */
  onStatus(listener: (status: RobotStatus) => void): () => void;
  /** A service of the robot: start, stop, reset, set_goal. Rejects with `bridge_timeout` when unanswered. */
  call(service: string, args: Readonly<Record<string, unknown>>): Promise<Readonly<Record<string, unknown>>>;
  close(): Promise<void>;
}

/** What a policy needs and gives; everything here comes from its checkpoint. */
export interface PolicySpec {
  readonly family: string;
  readonly n_obs_steps: number;
  /** Rows of a chunk counted from the newest observation on. */
  readonly horizon: number;
  readonly n_action_steps: number;
  readonly action_dim: number;
  /** What is given are scores of what is seen, under these names, and no actions: action_dim numbers from 0 to 1. */
  readonly scores?: readonly string[];
  /** Lengths by feature key. */
  readonly observation_dims: Readonly<Record<string, number>>;
  /** Camera features by key, as the checkpoint declares them (channels, height, width). */
  readonly image_shapes: Readonly<Record<string, readonly [number, number, number]>>;
  /** Cameras whose frames may be larger than that, as they are cut or scaled first. */
  readonly any_size?: readonly string[] | undefined;
  readonly goal_dims: Readonly<Record<string, number>>;
  /** Cameras that may be missing; the policy was trained to do without. */
  readonly optional_images?: readonly string[];
  /** Pictures of any size are taken: the policy sizes them itself. */
  readonly any_image_size?: boolean;
  /** Texts that an observation or `infer` must give, such as `task`. */
  readonly texts?: readonly string[];
  /** Rate of the data the policy was trained on; undefined when the checkpoint does not say. */
  readonly rate_hz: number | undefined;
  /** The checkpoint asks for ACT's temporal ensemble with this coefficient: asked at every row, averaged by time. */
  readonly ensemble?: number | undefined;
}

/** The beginning of a chunk that is already decided, or nearly: what the new one is drawn towards. */
export interface ChunkPrefix {
  /** (rows, action_dim), physical units; row i is in force at the newest observation's stamp + i · period. */
  readonly actions: Float32Array;
  /** (rows): 1 keeps a row as it is, 0 leaves it free. */
  readonly weights: Float32Array;
  /** Draws through the derivative of the denoiser (the paper's guidance) instead of directly (LeRobot's). */
  readonly derivative?: boolean;
  /** Rows of weight 1 are given to a network that was trained with its beginning given; the others are of no account. */
  readonly trained?: boolean | undefined;
}

/** One call of a denoiser on its way, as what steers it sees it. */
export interface DenoiseCall {
  /** From 0, of so many. */
  readonly call: number;
  readonly calls: number;
  readonly n: number;
  /** The denoised estimate D of every candidate, normalised: (n, rows, columns). */
  readonly denoised: Float64Array;
  /** Such numbers as chunks in physical units, (any number, horizon, action_dim). */
  chunks(denoised: ArrayLike<number>): Float32Array;
}

/** What becomes of it: D moves by `shift`, as large as D; candidate i goes on from `ancestors[i]`. */
export interface DenoiseSteered {
  readonly shift?: ArrayLike<number> | undefined;
  readonly ancestors?: readonly number[] | undefined;
}

/** Asked between two calls of the network; see InferOptions.steer. */
export type DenoiseSteer = (call: DenoiseCall) => Promise<DenoiseSteered>;

/** What an inference may be told beside the observation. */
export interface InferOptions {
  readonly goal?: Goal;
  /** What to do, in words; stands before the observation’s text of that name. */
  readonly task?: string;
  /** Start noise, unit variance, (candidates, model_horizon, action_dim); drawn from the seed when absent. */
  readonly noise?: Float32Array;
  /** Start noise of the first candidates, (k, model_horizon, columns); the others are drawn. Policies that denoise only. */
  readonly first_noise?: Float32Array;
  /**
   * What a stochastic sampler (DDPM, ancestral, SDE, churn) adds on the way, unit variance, in the order in which it is
   * added: (draws of the sampler's table, candidates, model_horizon, action_dim); drawn from the seed when absent.
   */
  readonly step_noise?: Float32Array;
  readonly candidates?: number;
  /** Asked between two calls of the network: particles and terms. Policies that denoise only. */
  readonly steer?: DenoiseSteer | undefined;
  /** Policies that denoise only (`unsupported` from others). */
  readonly prefix?: ChunkPrefix;
  /**
   * What the last answer of the same episode carried on (`ActionChunk.state`); `undefined`: nothing came before. Where the key
   * itself is absent, the policy remembers from call to call until `reset`.
   */
  readonly state?: PolicyState | undefined;
  /** The chunk in force, for scorers that ask how well a candidate goes on from it. */
  readonly playing?: ActionChunk | undefined;
  /** When the answer is expected to be in force: what lies before it is decided already. At once when absent. */
  readonly arrives_ns?: Nanoseconds | undefined;
  /** Time that the answer should take at most, ms; candidates are fewer where it would take longer. None when absent. */
  readonly budget_ms?: number | undefined;
  readonly signal?: AbortSignal;
}

/** A trained policy: observations in, chunks of actions out. */
export interface Policy {
  readonly spec: PolicySpec;
  /** Forgets the history and restarts the noise stream at `seed`. */
  reset(seed: number): void;
  /**
   * One chunk for the newest observation. An array is the whole window (oldest first, n_obs_steps long). A single
   * observation is pushed onto the policy's own history, the first being repeated to fill it.
   */
  infer(observation: Observation | readonly Observation[], options?: InferOptions): Promise<ActionChunk>;
  close(): void;
}

/** A policy whose sampler can be chosen while it runs. */
export interface TunablePolicy extends Policy {
  /** The choice in force. */
  readonly choice: SamplerChoice;
  /** What may be chosen. */
  menu(): SamplerMenu;
  /** In force for inferences that begin after it resolves. Rejects with `config_invalid` what the menu does not offer. */
  choose(choice: Partial<SamplerChoice>): Promise<void>;
}
