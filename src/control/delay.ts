// How long an inference is expected to take: a high quantile of the latest ones, so that a slow first inference or one
// hiccup is forgotten (LeRobot's tracker keeps the longest ever seen). The controller asks that much ahead.

import { type Nanoseconds, NS_PER_MS } from '../types/index.js';

const WINDOW = 64;
const QUANTILE = 0.95;

/** How long inferences take, from the last ones: what chunks are joined by when the real delay is not known yet. */
export class InferenceDelay {
  private readonly latest = new Float64Array(WINDOW);
  private count = 0;
  /** Expected delay; a guess before the first inference. */
  expected_ns: Nanoseconds = 20 * NS_PER_MS;

  push(delay_ns: Nanoseconds): void {
    this.latest[this.count++ % WINDOW] = delay_ns;
    const sorted = this.latest.slice(0, Math.min(this.count, WINDOW)).sort();
    this.expected_ns = sorted[Math.min(sorted.length - 1, Math.floor(QUANTILE * sorted.length))]!;
  }
}
