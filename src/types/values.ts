// The nouns of the flow: Observation → ActionChunk → Command. Every value carries the time at which it is valid.

import type { SteeringReport } from './steering.js';

/**
 * Monotonic time in nanoseconds, integer valued. A double holds it exactly for 104 days of uptime and to 2 ns
 * after that, and unlike a bigint it allocates nothing in a tick.
 */
export type Nanoseconds = number;

/** Nanoseconds in a second. */
export const NS_PER_S = 1e9;
/** Nanoseconds in a millisecond. */
export const NS_PER_MS = 1e6;

/** One camera frame, rows from the top, channels interleaved (HWC), 8 bits each. */
export interface Image {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  /** (height, width, channels) */
  readonly data: Uint8Array;
}

/** What the robot was like at one moment, under the feature keys of the policy, in physical units. */
export interface Observation {
  readonly stamp_ns: Nanoseconds;
  /** e.g. `observation.state` → (state_dim) */
  readonly values: Readonly<Record<string, Float32Array>>;
  readonly images?: Readonly<Record<string, Image>>;
  /** In words, e.g. `task`: what to do. */
  readonly texts?: Readonly<Record<string, string>>;
}

/** What to achieve, under the goal keys of the policy, in physical units. */
export type Goal = Readonly<Record<string, Float32Array>>;

/** Where the time of one inference went. */
export interface InferTiming {
  readonly queue_ns: Nanoseconds;
  readonly observe_ns: Nanoseconds;
  readonly denoise_ns: Nanoseconds;
  readonly total_ns: Nanoseconds;
  /** Of a policy that denoises: how often its network was asked; with all steps solved together, once for all of them. */
  readonly calls?: number | undefined;
}

/**
 * What a policy carries from one inference to the next (actions given before, a recurrent state). Only the policy looks
 * into it and nobody changes it. It belongs to one episode: after a hold, a stop, a reset or an outage there is none.
 */
export type PolicyState = object;

/** A policy's answer: action `i` is to be in force at `stamp_ns + i · period_ns`. */
export interface ActionChunk {
  /** The stamp of the newest observation the chunk answers. */
  readonly stamp_ns: Nanoseconds;
  readonly period_ns: Nanoseconds;
  readonly horizon: number;
  readonly action_dim: number;
  /** (horizon, action_dim), physical units */
  readonly actions: Float32Array;
  /** All candidates the sampler drew, (n_candidates, horizon, action_dim), when more than one. */
  readonly candidates?: Float32Array;
  readonly n_candidates: number;
  /** Predicted return of each candidate, (n_candidates), where a planner scored them. */
  readonly scores?: Float32Array;
  /** Index of `actions` among the candidates. */
  readonly chosen: number;
  readonly timing: InferTiming;
  /** What the parts beside the policy said of it; absent where it has none. */
  readonly steering?: SteeringReport | undefined;
  /** What the next inference should be given; absent where the policy carries nothing. */
  readonly state?: PolicyState | undefined;
}

/** What goes to the robot in one control period. */
export interface Command {
  readonly stamp_ns: Nanoseconds;
  /** After this moment the command must not be acted on. */
  readonly expires_ns: Nanoseconds;
  /** (action_dim), physical units */
  readonly values: Float64Array;
}
