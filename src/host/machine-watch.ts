// Beside a control loop: what of its lateness was the machine's own. A virtual machine, its firmware or its kernel may
// stop for longer than a control period, and no program on it can do anything about that; but a program can tell.

import type { Miss } from '../control/index.js';
import { addon, type NativeStalls, native, type Stall } from '../native/index.js';
import { offsetOf } from '../sinks/index.js';
import { type Clock, type Nanoseconds, NS_PER_MS } from '../types/index.js';

/** Shorter stalls are everyday scheduling. */
const LEAST_MS = 2;
/** Long before the watch's rings are full. */
const DRAIN_MS = 2000;

export interface MachineReport {
  /** Stalls of 2 ms or more, and the longest, ms. */
  readonly stalls: number;
  readonly worst_ms: number;
  /** Of the misses, those that would have been none without a stall. */
  readonly its_misses: number;
}

export class MachineWatch {
  private readonly watch: NativeStalls;
  private readonly ahead_ns: Nanoseconds;
  private readonly stalls: Stall[] = [];
  private readonly timer: NodeJS.Timeout;

  constructor(clock: Pick<Clock, 'now_ns'>) {
    this.watch = native(() => new (addon().Stalls)(LEAST_MS));
    this.ahead_ns = offsetOf(this.watch, clock);
    this.timer = setInterval(() => this.drain(), DRAIN_MS);
    this.timer.unref();
  }

  /** Ends the watch. A text where the system allows no such watch: what it refused. */
  end(misses: readonly Miss[], period_ns: Nanoseconds): MachineReport | string {
    clearInterval(this.timer);
    this.drain();
    const { refused } = this.watch;
    this.watch.close();
    return refused === '' ? reportOf(this.stalls, misses, period_ns) : refused;
  }

  private drain(): void {
    for (const { from_ns, to_ns, processor } of this.watch.drain())
      this.stalls.push({ from_ns: from_ns - this.ahead_ns, to_ns: to_ns - this.ahead_ns, processor });
  }
}

/** A miss is the machine's when, less what one processor stood still in it, the tick would have been in time. */
export function reportOf(
  stalls: readonly Stall[],
  misses: readonly Miss[],
  period_ns: Nanoseconds,
): MachineReport {
  const stoodStill = ({ due_ns, late_ns }: Miss): Nanoseconds => {
    const by = new Map<number, Nanoseconds>();
    for (const { from_ns, to_ns, processor } of stalls) {
      const both_ns = Math.min(to_ns, due_ns + late_ns) - Math.max(from_ns, due_ns);
      if (both_ns > 0) by.set(processor, (by.get(processor) ?? 0) + both_ns);
    }
    return Math.max(0, ...by.values());
  };
  return {
    stalls: stalls.length,
    worst_ms: stalls.reduce((worst, { from_ns, to_ns }) => Math.max(worst, to_ns - from_ns), 0) / NS_PER_MS,
    its_misses: misses.filter((miss) => miss.late_ns - stoodStill(miss) < period_ns).length,
  };
}

/** For people: how the machine did. */
export function ofItself(machine: MachineReport | string): string {
  if (typeof machine === 'string') return `not watched: no right to ${machine}`;
  const { stalls, worst_ms } = machine;
  return `stood still ${stalls} times for ${LEAST_MS} ms or more, at worst ${worst_ms.toFixed(1)} ms (real-time threads beside the loop)`;
}
