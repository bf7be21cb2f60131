// What the controller tells whoever records: everything that reached it from outside, in order, and what it made of it.
// With the same inputs in the same order it makes the same commands, which is what a replay checks.

import type { TeleopShare } from './teleop.js';
import type { ActionChunk, Goal, Nanoseconds, Observation } from './values.js';

/** A call of the controller, or word from the robot. */
export type ControlInput =
  | { readonly kind: 'started' | 'go' | 'resume' | 'beat' | 'suspend' }
  /** What is known of the topic that can stop the robot. */
  | { readonly kind: 'stop_state'; readonly stopped: boolean }
  /** The state of the sink, when it has changed. */
  | { readonly kind: 'sink'; readonly live: boolean; readonly moving: boolean; readonly fault: string }
  | { readonly kind: 'hold' | 'stop'; readonly cause: string }
  | { readonly kind: 'reset'; readonly seed: number }
  /** Targets in physical units, good for so long; null gives back. */
  | {
      readonly kind: 'take_over';
      readonly values: readonly number[] | null;
      readonly lifetime_ms?: number | undefined;
    }
  | { readonly kind: 'share'; readonly share: TeleopShare }
  | {
      readonly kind: 'status';
      readonly connected: boolean;
      readonly reachable?: boolean | undefined;
      readonly listening?: boolean | undefined;
      readonly cause: string;
    };

/**
 * What became of a command. `dry`: computed and not meant to leave. `executed`: the sink moves the robot by what it was
 * told before (a chunk, a trajectory), which this command is part of. Recordings hold the index.
 */
export const COMMAND_FATES = ['none', 'sent', 'refused', 'dry', 'executed'] as const;
export type CommandFate = (typeof COMMAND_FATES)[number];

/** `forgotten`: it answers a question from before a hold, stop or reset. `held`: a part beside the policy let nothing be played. */
export const ANSWERS = ['used', 'forgotten', 'failed', 'cancelled', 'held'] as const;
export type Answer = (typeof ANSWERS)[number];

/** Called as things happen, some of it within a tick: must return at once and keep no array that it does not copy. */
export interface ControlTap {
  /** `now_ns` is what the controller took for now. */
  input(input: ControlInput, now_ns: Nanoseconds): void;
  /** A control period begins; observations and what they hold never change and may be kept. */
  tick(now_ns: Nanoseconds, late_ns: Nanoseconds, observation: Observation | undefined): void;
  /** The command of this period, (action_dim) in physical units; the array is used again. */
  command(values: Float64Array, expires_ns: Nanoseconds, fate: CommandFate): void;
  /** An inference begins in this period. */
  asked(now_ns: Nanoseconds, window: readonly Observation[], goal: Goal | undefined): void;
  /** It ended; `chunk` is the policy's own, before it is joined to others. Chunks never change and may be kept. */
  answered(now_ns: Nanoseconds, answer: Answer, chunk: ActionChunk | undefined, cause: string): void;
}
