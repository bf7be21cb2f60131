// Where commands leave: the one port between control and whatever carries them to the robot. Control limits and guards
// every command, and calls the sink in the period in which it is due; a sink never decides by itself to move.

import type { CommandFate } from './tap.js';
import type { ActionChunk, Command, Nanoseconds } from './values.js';

/**
 * `direct`: each command is sent. `executor`: a real-time thread follows the chunk. `goals`: trajectories, each in place
 * of the one before. `dry`: nothing leaves.
 */
export const SINK_KINDS = ['direct', 'executor', 'goals', 'dry'] as const;
export type SinkKind = (typeof SINK_KINDS)[number];

/**
 * Why a command is what it is. `policy`: the chunk in force. `person`: somebody drives, alone or together with the policy.
 * `hold`: it brakes or stays. `halt`: zero velocity after a stop or a suspension, the only command that may leave then.
 */
export type CommandCause = 'policy' | 'person' | 'hold' | 'halt';

/** What will be commanded at equal steps, the first one period after `made_ns`; the last is at rest. */
export interface PlanAhead {
  readonly made_ns: Nanoseconds;
  /** For so long it is what the robot does without it, so that nothing jumps if it arrives that late. */
  readonly lead_ns: Nanoseconds;
  readonly period_ns: Nanoseconds;
  /** (steps, action_dim), physical units and per s. */
  readonly positions: readonly Float64Array[];
  readonly velocities: readonly Float64Array[];
}

/** What will follow for `ahead_ns`, and then braking; the first `lead_ns` as the plan in force has it. */
export type AskAhead = (ahead_ns: Nanoseconds, lead_ns: Nanoseconds) => PlanAhead;

/** What a sink knows of its own commands. */
export interface SinkState {
  /** Commands go on from where they are. False: the next one must be preceded by `begin`. */
  readonly live: boolean;
  /** The robot may still be in motion because of what was sent. Always false where each command stands for itself. */
  readonly moving: boolean;
  /** What went wrong since the last `begin`, for people; empty when nothing did. */
  readonly fault: string;
}

/** The one way out for commands. Control calls it, and nothing else does; docs/safety.md says what each method promises. */
export interface CommandSink {
  readonly kind: SinkKind;
  /** Commands begin anew at `position` (action_dim), at rest. Ends what `stop` and `suspend` began. */
  begin(position: ArrayLike<number>): void;
  /** The chunk now in force, already joined to those before; `period_ns` where it does not say its own. */
  follow(chunk: ActionChunk, period_ns: Nanoseconds): void;
  /**
   * The command of this period: within every limit, and at most one period of motion from the one before. Leaves now or
   * not at all (`refused`). `ahead` says what will follow if nothing changes.
   */
  command(command: Command, cause: CommandCause, ahead: AskAhead): CommandFate;
  /** Nobody drives any more: what runs ahead of the commands (a chunk, a trajectory) is given up and braked. */
  hold(): void;
  /** In force at once: nothing but `halt` leaves until `begin`. */
  stop(): void;
  /** As `stop`, without an emergency: the robot is left alone. */
  suspend(): void;
  /**
   * The link to the robot is gone: what was sent last may not have arrived, so commands do not go on from there. A sink
   * whose commands take another way goes on.
   */
  linkLost(): void;
  state(): SinkState;
  close(): void;
}
