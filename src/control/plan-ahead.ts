// What the controller will command if nothing changes, as far as somebody wants to know: the same limits on a copy of the
// limiter's state. For robots that take trajectories, and want to know what comes.

import type { Nanoseconds, PlanAhead } from '../types/index.js';
import type { Limiter } from './limiter.js';

/** Braking that is longer is none. */
const MOST_STEPS = 5000;

/**
 * Follows `desire` for `ahead_ns`, then brakes. `desire` writes what is wanted in the period of `at_ns` over the last
 * command, or leaves it there to stay.
 */
export function planAhead(
  ghost: Limiter,
  now_ns: Nanoseconds,
  period_ns: Nanoseconds,
  ahead_ns: Nanoseconds,
  desire: (at_ns: Nanoseconds, out: Float64Array) => void,
): PlanAhead {
  const dim = ghost.previous.length;
  const dt = period_ns / 1e9;
  const positions: Float64Array[] = [];
  const velocities: Float64Array[] = [];
  const desired = new Float64Array(dim);
  for (let step = 1; step <= MOST_STEPS; step++) {
    const ends = step * period_ns > ahead_ns;
    if (ends && !ghost.moving && step > 1) break;
    const before = ghost.previous.slice();
    desired.set(before);
    if (!ends) desire(now_ns + step * period_ns, desired);
    const next = new Float64Array(dim);
    ghost.limit(desired, dt, next);
    positions.push(next);
    velocities.push(next.map((p, i) => (p - before[i]!) / dt));
  }
  // Where it ends it stays.
  velocities.at(-1)?.fill(0);
  return { period_ns, positions, velocities };
}
