// The last n_obs_steps observations at the policy's rate: for each step back the newest observation that is not later
// than that moment; the first is repeated until there are enough.

import type { Nanoseconds, Observation } from '../types/index.js';

export class ObservationHistory {
  private kept: Observation[] = [];

  constructor(
    private readonly steps: number,
    private readonly period_ns: Nanoseconds,
  ) {}

  clear(): void {
    this.kept = [];
  }

  push(observation: Observation): void {
    const last = this.kept.at(-1);
    if (last !== undefined && observation.stamp_ns <= last.stamp_ns) return;
    this.kept.push(observation);
    const oldest = observation.stamp_ns - this.steps * this.period_ns;
    while (this.kept.length > 2 && this.kept[1]!.stamp_ns <= oldest) this.kept.shift();
  }

  /** Oldest first, `steps` long; undefined before the first observation. */
  window(): readonly Observation[] | undefined {
    const newest = this.kept.at(-1);
    if (newest === undefined) return undefined;
    const window: Observation[] = [newest];
    for (let back = 1; back < this.steps; back++) {
      // Half a period of grace: observations rarely fall on the grid.
      const moment = newest.stamp_ns - (back - 0.5) * this.period_ns - this.period_ns / 2;
      let found = this.kept[0]!;
      for (const o of this.kept) if (o.stamp_ns <= moment) found = o;
      window.unshift(found);
    }
    return window;
  }
}
