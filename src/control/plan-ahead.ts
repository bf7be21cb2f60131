// What the controller will command if nothing changes, as far as somebody wants to know: the same limits on a copy of the
// limiter's state. For robots that take trajectories, and want to know what comes.

import type { Nanoseconds, PlanAhead } from '../types/index.js';
import { Limiter, type Limits } from './limiter.js';

/** Braking that is longer is none. */
const MOST_STEPS = 5000;

/** A plan, and the limiter as it will be after each of its steps. */
export interface Planned extends PlanAhead {
  readonly limiters: readonly Limiter[];
  /** LIMITED bits of all steps. */
  readonly bits: number;
}

export interface Reach {
  readonly now_ns: Nanoseconds;
  readonly period_ns: Nanoseconds;
  readonly ahead_ns: Nanoseconds;
  /** For so long it is what `before` has, or stays where `from` is. */
  readonly lead_ns: Nanoseconds;
  /** The plan in force; the steps of the new one fall on its steps. */
  readonly before: Planned | undefined;
}

/** How many steps of `plan` are over. */
export const stepsOver = ({ made_ns, period_ns }: Planned, now_ns: Nanoseconds): number =>
  Math.max(0, Math.round((now_ns - made_ns) / period_ns));

/** The limiter as it is after `step` steps of `plan`, 1 being the first, and at its end ever after. */
export const limiterAfter = ({ limiters }: Planned, step: number): Limiter =>
  limiters[Math.min(step, limiters.length) - 1]!;

/**
 * From where `from` is, follows the plan in force for `lead_ns`, then `desire` until `ahead_ns`, and then brakes. `desire`
 * writes what is wanted in the period of `at_ns`, when the limiter is at `ghost`.
 */
export function planAhead(
  limits: Limits,
  from: Limiter,
  { now_ns, period_ns, ahead_ns, lead_ns, before }: Reach,
  desire: (at_ns: Nanoseconds, ghost: Limiter, out: Float64Array) => void,
): Planned {
  const dim = from.previous.length;
  const dt = period_ns / 1e9;
  const over = before === undefined ? 0 : stepsOver(before, now_ns);
  const made_ns = before === undefined ? now_ns : before.made_ns + over * period_ns;
  const reach_ns = Math.max(ahead_ns, lead_ns);
  const positions: Float64Array[] = [];
  const velocities: Float64Array[] = [];
  const limiters: Limiter[] = [];
  const desired = new Float64Array(dim);
  let bits = 0;
  let last = from;
  for (let step = 1; step <= MOST_STEPS; step++) {
    const ends = step * period_ns > reach_ns;
    if (ends && !last.moving && step > 1) break;
    const ghost = new Limiter(limits, new Float64Array(dim));
    const next = new Float64Array(dim);
    if (step * period_ns <= lead_ns) {
      ghost.copy(before === undefined ? from : limiterAfter(before, over + step));
      next.set(ghost.previous);
    } else {
      ghost.copy(last);
      desired.set(last.previous);
      if (!ends) desire(made_ns + step * period_ns, ghost, desired);
      bits |= ghost.limit(desired, dt, next);
    }
    positions.push(next);
    velocities.push(next.map((p, i) => (p - last.previous[i]!) / dt));
    limiters.push(ghost);
    last = ghost;
  }
  // Where it ends it stays.
  velocities.at(-1)?.fill(0);
  return { made_ns, lead_ns, period_ns, positions, velocities, limiters, bits };
}
