// What the controller will command if nothing changes, as far as somebody wants to know: the same limits on a copy of the
// limiter's state. For robots that take trajectories, and want to know what comes.

import type { Nanoseconds, PlanAhead } from '../types/index.js';
import { Limiter, type Limits } from './limiter.js';

/** Braking that is longer is none. */
const MOST_STEPS = 5000;

/** A plan, and the limiter as it will be after each of its steps. */
export interface Planned extends PlanAhead {
  readonly made_ns: Nanoseconds;
  readonly limiters: readonly Limiter[];
  /** LIMITED bits of all steps. */
  readonly bits: number;
}

/**
 * From where `from` is, follows `desire` for `ahead_ns` and then brakes. `desire` writes what is wanted in the period of
 * `at_ns`, when the limiter is at `ghost`.
 */
export function planAhead(
  limits: Limits,
  from: Limiter,
  now_ns: Nanoseconds,
  period_ns: Nanoseconds,
  ahead_ns: Nanoseconds,
  desire: (at_ns: Nanoseconds, ghost: Limiter, out: Float64Array) => void,
): Planned {
  const dim = from.previous.length;
  const dt = period_ns / 1e9;
  const positions: Float64Array[] = [];
  const velocities: Float64Array[] = [];
  const limiters: Limiter[] = [];
  const desired = new Float64Array(dim);
  let bits = 0;
  let last = from;
  for (let step = 1; step <= MOST_STEPS; step++) {
    const ends = step * period_ns > ahead_ns;
    if (ends && !last.moving && step > 1) break;
    const ghost = new Limiter(limits, new Float64Array(dim));
    ghost.copy(last);
    desired.set(last.previous);
    if (!ends) desire(now_ns + step * period_ns, ghost, desired);
    const next = new Float64Array(dim);
    bits |= ghost.limit(desired, dt, next);
    positions.push(next);
    velocities.push(next.map((p, i) => (p - last.previous[i]!) / dt));
    limiters.push(ghost);
    last = ghost;
  }
  // Where it ends it stays.
  velocities.at(-1)?.fill(0);
  return { made_ns: now_ns, period_ns, positions, velocities, limiters, bits };
}
