// Counters of the loop, and rings of the latest latenesses and latencies for whoever asks; recording allocates
// nothing.

import { type Nanoseconds, NS_PER_MS } from '../types/index.js';

const RING = 4096;

/** The newest RING numbers. */
export class Ring {
  private readonly values = new Float64Array(RING);
  private count = 0;

  push(value: number): void {
    this.values[this.count++ % RING] = value;
  }

  get total(): number {
    return this.count;
  }

  /** A way to read what is pushed from here on: each call gives those since the last, oldest first (at most RING). */
  reader(): () => number[] {
    let read = this.count;
    return () => {
      const from = Math.max(read, this.count - RING);
      read = this.count;
      return Array.from({ length: this.count - from }, (_, i) => this.values[(from + i) % RING]!);
    };
  }

  /** Quantiles of what the ring holds; NaN when empty. */
  quantiles(...qs: number[]): number[] {
    const sorted = this.values.slice(0, Math.min(this.count, RING)).sort();
    return qs.map((q) =>
      sorted.length === 0 ? Number.NaN : sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!,
    );
  }
}

/** A tick that came a period late or more. */
export interface Miss {
  readonly due_ns: Nanoseconds;
  readonly late_ns: Nanoseconds;
}

/** So many misses are remembered one by one. */
const MISSES = 256;

/** Counters and histograms of one control loop; a tick adds to them and allocates nothing. */
export class LoopStats {
  ticks = 0;
  deadline_misses = 0;
  commands = 0;
  actions = 0;
  listener_errors = 0;
  /** Windows in which a step had no observation within half a period of the policy. */
  windows_unfilled = 0;
  worst_late_ns = 0;
  /** The newest, oldest first. */
  readonly misses: Miss[] = [];
  readonly late_us = new Ring();
  readonly infer_ms = new Ring();

  /** Records a tick that was due at `due_ns` and came `late_ns` after; returns the whole periods it missed. */
  tick(due_ns: Nanoseconds, late_ns: Nanoseconds, period_ns: Nanoseconds): number {
    this.ticks++;
    this.late_us.push(late_ns / 1000);
    this.worst_late_ns = Math.max(this.worst_late_ns, late_ns);
    const missed = Math.floor(late_ns / period_ns);
    if (missed > 0) {
      this.deadline_misses += missed;
      this.misses.push({ due_ns, late_ns });
      if (this.misses.length > MISSES) this.misses.shift();
    }
    return missed;
  }

  sent(): void {
    this.commands++;
  }

  played(): void {
    this.actions++;
  }

  inferred(latency_ns: Nanoseconds): void {
    this.infer_ms.push(latency_ns / NS_PER_MS);
  }
}
