// The real-time executor in control's terms: chunks stamped by this process' clock go to the native thread, and its
// commands come back for whoever publishes them. The thread goes on when nobody here does: it finishes the chunk,
// brakes within the limits and holds.

import {
  type ActionChunk,
  type Clock,
  type Command,
  EXECUTOR_PHASES,
  type ExecutorPhase,
  type ExecutorPort,
  type ExecutorStats,
  type Nanoseconds,
  NS_PER_MS,
  NS_PER_S,
  type Robot,
} from '../types/index.js';
import type { Controller } from './controller.js';

const DRAINED_ROWS = 256;
/** Rows that the native thread holds at most; a longer chunk is followed by its next before they end. */
const MOST_ROWS = 256;
const OFFSET_READINGS = 16;

export interface ExecutedCommand extends Command {
  /** From 1, one more with every command; a gap is commands that were not drained in time. */
  readonly sequence: number;
  readonly phase: ExecutorPhase;
}

export class RealTimeExecutor {
  /** Executor time minus this process' clock, ns. */
  private readonly offset_ns: number;
  private readonly rows: Float64Array;
  private readonly one: Float32Array;

  constructor(
    private readonly port: ExecutorPort,
    clock: Pick<Clock, 'now_ns'>,
  ) {
    this.offset_ns = offsetOf(port, clock);
    this.rows = new Float64Array(DRAINED_ROWS * port.row);
    this.one = new Float32Array(port.joints);
  }

  start(): void {
    this.port.start();
  }

  /** Commands begin anew at `position`, at rest; clears a stop. */
  begin(position: ArrayLike<number>): void {
    this.port.begin(Float64Array.from({ length: this.port.joints }, (_, i) => position[i] ?? Number.NaN));
  }

  /** Follows `chunk` instead of what came before; `period_ns` where the policy does not know its own. */
  feed(chunk: ActionChunk, period_ns: Nanoseconds = 0): void {
    const { joints } = this.port;
    this.port.feed(
      chunk.stamp_ns + this.offset_ns,
      chunk.period_ns > 0 ? chunk.period_ns : period_ns,
      chunk.actions.subarray(0, MOST_ROWS * joints),
    );
  }

  /** Goes to one target and stays for `lifetime_ns`, as when a person drives. */
  target(values: ArrayLike<number>, stamp_ns: number, lifetime_ns: number): void {
    for (let i = 0; i < this.one.length; i++) this.one[i] = values[i] ?? Number.NaN;
    this.port.feed(stamp_ns + this.offset_ns, lifetime_ns, this.one);
  }

  hold(): void {
    this.port.hold();
  }

  beat(): void {
    this.port.beat();
  }

  /** No command leaves from the next tick on, until `begin`. */
  emergencyStop(): void {
    this.port.stop();
  }

  /** Gives every command since the last time, oldest first, in this process' time; how many. */
  drain(listener: (command: ExecutedCommand) => void): number {
    const { rows, port } = this;
    let total = 0;
    for (let count = -1; count !== 0; ) {
      count = port.drain(rows);
      total += count;
      for (let r = 0; r < count; r++) {
        const at = r * port.row;
        listener({
          sequence: rows[at]!,
          stamp_ns: rows[at + 1]! - this.offset_ns,
          expires_ns: rows[at + 2]! - this.offset_ns,
          phase: EXECUTOR_PHASES[rows[at + 3]!]!,
          values: rows.slice(at + 4, at + port.row),
        });
      }
    }
    return total;
  }

  stats(): ExecutorStats {
    return this.port.stats();
  }

  close(): void {
    this.port.close();
  }
}

/** How far a native clock is ahead of ours. The reading with the least time between its two looks at the clock is off by at most half of that. */
export function offsetOf(port: Pick<ExecutorPort, 'nowNs'>, clock: Pick<Clock, 'now_ns'>): number {
  let best = { width: Number.POSITIVE_INFINITY, offset: 0 };
  for (let i = 0; i < OFFSET_READINGS; i++) {
    const before = clock.now_ns();
    const there = port.nowNs();
    const width = clock.now_ns() - before;
    if (width < best.width) best = { width, offset: Math.round(there - before - width / 2) };
  }
  return best.offset;
}

export interface DriveOptions {
  readonly controller: Controller;
  readonly executor: RealTimeExecutor;
  readonly robot: Pick<Robot, 'latest' | 'send'>;
  /** Observation whose first values are the measured joint positions. */
  readonly position_key: string;
  /** Control rate: a row of a policy that does not know its own rate lasts a period of it. */
  readonly rate_hz: number;
  /** What is sent to the robot is its only command; without datagrams that go on when the bridge is gone. */
  readonly sole?: boolean;
  /** Sends the newest command to the robot too, at this pace; without it datagrams are the only way out. */
  readonly publish_hz?: number | undefined;
  readonly clock: Pick<Clock, 'now_ns'>;
  /** Told every command that the executor gave, up to BEAT_MS later. */
  readonly onCommand?: ((command: ExecutedCommand) => void) | undefined;
}

/** How often the executor hears that this process lives, and hands over its commands, ms. */
const BEAT_MS = 5;

/**
 * Lets the executor drive what `controller` decides: its chunks and its states. The controller itself should be on
 * dry_run, so that one of the two commands the robot. Returns the way to stop.
 */
export function drive(options: DriveOptions) {
  const { controller, executor, robot, position_key, publish_hz, clock, onCommand, sole } = options;
  const { supervisor } = controller;
  const period_ns = Math.round(NS_PER_S / options.rate_hz);
  const forget = [
    supervisor.onChange(({ from, to }) => {
      if (to === 'STOPPED') executor.emergencyStop();
      else if (to === 'HOLD') executor.hold();
      else if (from === 'READY' && (to === 'RUNNING' || to === 'TELEOP')) {
        const measured = robot.latest()?.values[position_key];
        if (measured !== undefined) executor.begin(measured);
      }
    }),
    controller.onChunk((chunk) => {
      if (supervisor.state === 'RUNNING') executor.feed(chunk, period_ns);
    }),
  ];
  let published_ns = Number.NEGATIVE_INFINITY;
  /** When a command last did not reach the robot. */
  let unheard_ns: Nanoseconds | undefined;
  /** Other hands may have moved a robot that was not commanded since: once it is seen, it is held where it is found. */
  const rejoin = (since_ns: Nanoseconds): void => {
    const observation = robot.latest();
    const measured = observation?.values[position_key];
    if (measured === undefined || observation!.stamp_ns <= since_ns) return;
    unheard_ns = undefined;
    executor.begin(measured);
  };
  const timer = setInterval(() => {
    executor.beat();
    const now_ns = clock.now_ns();
    if (supervisor.state === 'TELEOP') executor.target(controller.command, now_ns, 20 * BEAT_MS * NS_PER_MS);
    let newest: ExecutedCommand | undefined;
    executor.drain((command) => {
      newest = command;
      onCommand?.(command);
    });
    // What was drained may have been made before a stop; what is told from there on is nothing.
    if (publish_hz === undefined || newest === undefined || supervisor.state === 'STOPPED') return;
    if (now_ns - published_ns < 1e9 / publish_hz - (BEAT_MS * NS_PER_MS) / 2) return;
    published_ns = now_ns;
    // What was drained before the thread began anew is not sent.
    if (sole && unheard_ns !== undefined) rejoin(unheard_ns);
    else if (!robot.send(newest)) unheard_ns = now_ns;
  }, BEAT_MS);
  return (): void => {
    clearInterval(timer);
    for (const stop of forget) stop();
  };
}
