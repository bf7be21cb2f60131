// The real-time executor as control knows it: the native thread behind a port. Times are monotonic nanoseconds of the
// executor's own clock (`nowNs`); src/control/executor.ts converts.

import type { Interpolation } from './robot-file.js';
import type { Nanoseconds } from './values.js';

/** `interrupted`: it stood still for longer than `gap_ms` and sends nothing until `begin`. */
export const EXECUTOR_PHASES = ['idle', 'following', 'holding', 'stopped', 'interrupted'] as const;
export type ExecutorPhase = (typeof EXECUTOR_PHASES)[number];

/** What the executor's thread is started with. */
export interface ExecutorOptions {
  readonly joints: number;
  /** Commands per second, 1 to 1000. */
  readonly rate_hz: number;
  /** Per joint, in its unit, per s and per s². */
  readonly limits: {
    readonly lower: readonly number[];
    readonly upper: readonly number[];
    readonly velocity: readonly number[];
    readonly acceleration?: readonly number[] | undefined;
    readonly jerk?: readonly number[] | undefined;
  };
  readonly interpolation?: Exclude<Interpolation, 'hold'>;
  /** Longest chunk that will be fed, rows (256). */
  readonly most_rows?: number;
  /** Without a sign of life for this long it brakes and holds (100). */
  readonly heartbeat_ms?: number;
  /**
   * Longest time between two commands, ms: by default five periods, at least 50 ms, and no more than the lifetime of
   * a command where that is two periods or more. After a longer one (the process was stopped, the machine slept) the robot is not where the last command was, and
   * the executor is `interrupted`.
   */
  readonly gap_ms?: number;
  /** A command expires this long after its stamp (100). */
  readonly lifetime_ms?: number;
  /** Commands kept for `drain` (1024). */
  readonly ring_rows?: number;
  /** Datagrams as native/drive/udp.h lays them out; an address in numbers. */
  readonly udp?: { readonly host: string; readonly port: number } | undefined;
  /** 1 to 99 for SCHED_FIFO; absent or 0: as any other thread. */
  readonly fifo_priority?: number;
  /** Keeps in memory what the thread touches: its program, stack and data. */
  readonly lock_memory?: boolean;
}

/** Counters of the executor's thread. */
export interface ExecutorStats {
  readonly phase: ExecutorPhase;
  readonly ticks: number;
  /** Periods that passed while the thread could not run. */
  readonly missed_ticks: number;
  /** How long after its time a tick ran, ns; quantiles up to 3 % too high. */
  readonly late_p50_ns: number;
  readonly late_p99_ns: number;
  readonly late_p999_ns: number;
  readonly late_max_ns: number;
  readonly commands: number;
  /** Commands that the limits cut while a chunk was followed. */
  readonly limited: number;
  /** Times it held by itself: the chunk was over; nobody fed or beat. */
  readonly used_up: number;
  readonly heartbeats_lost: number;
  /** Holds that began later than in the first period in which they were due. */
  readonly missed_holds: number;
  /** Times that a gap of more than `gap_ms` ended the motion. */
  readonly interruptions: number;
  /** Commands that found the ring full; those that were too late to be sent or that the system did not take. */
  readonly ring_full: number;
  readonly unsent: number;
  /** What the system refused of a real-time thread, for people; empty when nothing. */
  readonly refused: string;
}

/** The executor's thread as the addon gives it. */
export interface ExecutorPort {
  readonly joints: number;
  /** Numbers in a row of `drain`: sequence, stamp, expiry, phase (its index in EXECUTOR_PHASES), then the joints. */
  readonly row: number;
  /** What it does now; cheap enough to be asked in every period. */
  readonly phase: ExecutorPhase;
  nowNs(): Nanoseconds;
  /** Starts the thread; until then `tick` steps by hand. */
  start(): void;
  tick(at_ns: Nanoseconds): void;
  /**
   * Commands begin anew at `position` (joints), at rest; clears a stop and an interruption. `position` must have been
   * measured just now: the gap to the first command counts from this call.
   */
  begin(position: Float64Array): void;
  /** Follows `actions` (rows, joints) instead of what came before. Throws `input_invalid` when they do not fit. */
  feed(stamp_ns: Nanoseconds, period_ns: Nanoseconds, actions: Float32Array): void;
  /** Follows nothing: brakes and holds. */
  hold(): void;
  beat(): void;
  /** No command leaves from the next tick on, until `begin`. */
  stop(): void;
  /** Whole rows into `out`, oldest first; how many. */
  drain(out: Float64Array): number;
  stats(): ExecutorStats;
  /** Ends the thread; the robot is left to its own watchdog. */
  close(): void;
}
