// When a period of control begins: at equal times, or as soon as possible after. Periods that are past are skipped, never
// made up for.

import type { Clock, Nanoseconds } from '../types/index.js';
import type { LoopStats } from './stats.js';

/** Two ticks are no nearer than this share of a period, so that a late one is not followed at once by the next. */
const NEAREST = 0.75;

export interface TickerOptions {
  readonly clock: Clock;
  readonly period_ns: Nanoseconds;
  readonly stats: LoopStats;
  /** One period; the clock is read once. Must not throw. */
  tick(now_ns: Nanoseconds, late_ns: Nanoseconds): void;
}

/** Ticks from `due_ns` on for as long as `running` holds. */
export async function tickOn(
  { clock, period_ns, stats, tick }: TickerOptions,
  due_ns: Nanoseconds,
  running: () => boolean,
): Promise<void> {
  while (running()) {
    await clock.sleepUntil(due_ns);
    if (!running()) break;
    const now_ns = clock.now_ns();
    const late_ns = now_ns - due_ns;
    const missed = stats.tick(due_ns, late_ns, period_ns);
    tick(now_ns, late_ns);
    due_ns += period_ns * (1 + Math.max(0, missed));
    if (due_ns < now_ns - period_ns || due_ns > now_ns + 2 * period_ns) due_ns = now_ns + period_ns;
    due_ns = Math.max(due_ns, now_ns + Math.round(NEAREST * period_ns));
  }
}
