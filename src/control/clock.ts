// Time for the control loop: monotonic nanoseconds and sleeping until an absolute moment. A timer of Node wakes up to
// a millisecond late, so the last stretch is given to the event loop turn by turn, which stays responsive.

import type { Clock, Nanoseconds } from '../types/index.js';
import { NS_PER_MS } from '../types/index.js';

/** Handed to setImmediate before the moment, ns: a timer's own lateness and no more. */
const LAST_STRETCH_NS = 1.2 * NS_PER_MS;

/** This process's monotonic clock, ns since it began: never steps, and is the same in all its threads. */
export class MonotonicClock implements Clock {
  now_ns(): Nanoseconds {
    return Math.round(performance.now() * NS_PER_MS);
  }

  sleepUntil(at_ns: Nanoseconds): Promise<void> {
    return new Promise((resolve) => {
      const approach = (): void => {
        const left_ns = at_ns - this.now_ns();
        if (left_ns <= 0) resolve();
        else if (left_ns > LAST_STRETCH_NS + NS_PER_MS)
          setTimeout(approach, Math.floor((left_ns - LAST_STRETCH_NS) / NS_PER_MS));
        else setImmediate(approach);
      };
      approach();
    });
  }
}

/** A clock that tests move by hand; sleepers wake in order as it passes them. */
export class ManualClock implements Clock {
  private time_ns: Nanoseconds;
  private sleepers: { at_ns: Nanoseconds; wake: () => void }[] = [];

  constructor(start_ns: Nanoseconds = 0) {
    this.time_ns = start_ns;
  }

  now_ns(): Nanoseconds {
    return this.time_ns;
  }

  sleepUntil(at_ns: Nanoseconds): Promise<void> {
    if (at_ns <= this.time_ns) return Promise.resolve();
    return new Promise((wake) => {
      this.sleepers.push({ at_ns, wake });
      this.sleepers.sort((a, b) => a.at_ns - b.at_ns);
    });
  }

  /** Moves on, waking sleepers one at a time and letting what they start run first. */
  async advance(by_ns: Nanoseconds): Promise<void> {
    const end_ns = this.time_ns + by_ns;
    for (;;) {
      const next = this.sleepers[0];
      if (next === undefined || next.at_ns > end_ns) break;
      this.sleepers.shift();
      this.time_ns = Math.max(this.time_ns, next.at_ns);
      next.wake();
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.time_ns = end_ns;
  }

  /** Jumps without waking anyone in between: a clock that misbehaves. */
  jump(by_ns: Nanoseconds): void {
    this.time_ns += by_ns;
  }
}
