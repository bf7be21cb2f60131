// What a policy looks at: n_obs_steps observations a policy's period apart, chosen by their stamps. The one window there
// is: the control loop, the policy server and evaluation all use it.

import type { Nanoseconds, Observation } from '../types/index.js';

/**
 * The last `n_obs_steps` observations, a policy period apart: for each step the one nearest to it in time, within half a
 * period.
 */
export class ObservationWindow {
  /** Windows in which a step had no observation within half a period, after the first moments of an episode. */
  unfilled = 0;
  /** Oldest first, stamps strictly rising. */
  private kept: Observation[] = [];

  constructor(
    /** n_obs_steps of the policy. */
    private readonly steps: number,
    private readonly period_ns: Nanoseconds,
  ) {}

  clear(): void {
    this.kept = [];
  }

  /** One that comes late is put where it belongs; one of the same stamp as another is ignored. */
  push(observation: Observation): void {
    const { kept } = this;
    let at = kept.length;
    while (at > 0 && kept[at - 1]!.stamp_ns > observation.stamp_ns) at--;
    if (at > 0 && kept[at - 1]!.stamp_ns === observation.stamp_ns) return;
    kept.splice(at, 0, observation);
    const oldest_ns = kept.at(-1)!.stamp_ns - (this.steps - 1) * this.period_ns;
    // What lies before the first step is needed only when it is the nearest to it.
    let past = 0;
    while (past + 1 < kept.length && kept[past + 1]!.stamp_ns <= oldest_ns) past++;
    if (past > 0) kept.splice(0, past);
  }

  /**
   * Oldest first, `steps` long: for each step back from the newest the observation nearest to that moment. Before the
   * first observation of an episode the first is repeated, as in training. Undefined before the first observation.
   */
  window(): readonly Observation[] | undefined {
    const newest = this.kept.at(-1);
    if (newest === undefined) return undefined;
    const window: Observation[] = Array(this.steps).fill(newest);
    const first_ns = this.kept[0]!.stamp_ns;
    let whole = true;
    for (let back = 1; back < this.steps; back++) {
      const moment_ns = newest.stamp_ns - back * this.period_ns;
      const nearest = this.nearest(moment_ns);
      const apart_ns = Math.abs(nearest.stamp_ns - moment_ns);
      if (apart_ns > this.period_ns / 2 && moment_ns > first_ns) whole = false;
      window[this.steps - 1 - back] = nearest;
    }
    if (!whole) this.unfilled++;
    return window;
  }

  private nearest(moment_ns: Nanoseconds): Observation {
    const { kept } = this;
    let found = kept[0]!;
    for (const o of kept)
      if (Math.abs(o.stamp_ns - moment_ns) < Math.abs(found.stamp_ns - moment_ns)) found = o;
    return found;
  }
}
