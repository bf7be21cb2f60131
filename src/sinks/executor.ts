// The real-time executor in this process' time: chunks stamped by its clock go to the native thread, and the commands
// of the thread come back. The thread goes on when nothing here does: it finishes the chunk, brakes within the limits
// and holds.

import {
  type ActionChunk,
  type Clock,
  type Command,
  EXECUTOR_PHASES,
  type ExecutorPhase,
  type ExecutorPort,
  type ExecutorStats,
  type Nanoseconds,
} from '../types/index.js';

const DRAINED_ROWS = 256;
/** Rows that the native thread holds at most; a longer chunk is followed by its next before they end. */
const MOST_ROWS = 256;
const OFFSET_READINGS = 16;

/** A command of the executor's thread. */
export interface ExecutedCommand extends Command {
  /** From 1, one more with every command; a gap is commands that were not drained in time. */
  readonly sequence: number;
  readonly phase: ExecutorPhase;
}

/** The native thread that turns chunks into commands at up to 1 kHz within the limits (native/drive). */
export class RealTimeExecutor {
  /** How far the executor's clock is ahead of this process', ns. */
  readonly ahead_ns: number;
  private readonly rows: Float64Array;
  private readonly one: Float32Array;

  constructor(
    private readonly port: ExecutorPort,
    clock: Pick<Clock, 'now_ns'>,
  ) {
    this.ahead_ns = offsetOf(port, clock);
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
      chunk.stamp_ns + this.ahead_ns,
      chunk.period_ns > 0 ? chunk.period_ns : period_ns,
      chunk.actions.subarray(0, MOST_ROWS * joints),
    );
  }

  /** Goes to one target and stays for `lifetime_ns`, as when a person drives. */
  target(values: ArrayLike<number>, stamp_ns: number, lifetime_ns: number): void {
    for (let i = 0; i < this.one.length; i++) this.one[i] = values[i] ?? Number.NaN;
    this.port.feed(stamp_ns + this.ahead_ns, lifetime_ns, this.one);
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
          stamp_ns: rows[at + 1]! - this.ahead_ns,
          expires_ns: rows[at + 2]! - this.ahead_ns,
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

/**
 * How far a native clock is ahead of `clock`, ns. The reading with the least time between its two looks at the clock is
 * off by at most half of that.
 */
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
