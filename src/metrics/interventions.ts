// The supervisor's interventions as events, for a log. The tick only counts; this looks at the counts now and then and
// tells what rose. A limit that cuts command after command is told at ever longer intervals, so that changes of state are
// seen among the lines.

import { INTERVENTIONS, type Intervention, type Supervisor } from '../control/index.js';

export interface InterventionReport {
  readonly intervention: Intervention;
  /** INTERVENTIONS' sentence. */
  readonly cause: string;
  /** Since the last report of this intervention, and since the start. */
  readonly times: number;
  readonly total: number;
}

const LOOK_MS = 1000;
/** A limit may cut every command for minutes: the same line comes after 1 s, 2 s, 4 s … and then once in this time. */
const LONGEST_MS = 60_000;
const LIMITED = /_limited$/;

/** When a limit is told again, and how long that waits after it. */
interface Pace {
  due_ms: number;
  wait_ms: number;
}

/** Tells `listener` of every intervention from here on; the returned function looks once more and stops. */
export function watchInterventions(
  supervisor: Pick<Supervisor, 'counts' | 'onChange'>,
  listener: (report: InterventionReport) => void,
): () => void {
  const told = { ...supervisor.counts };
  const paces = new Map<Intervention, Pace>();
  /** Whether a limit that cut again is told now; its count is kept where it is not. */
  const isDue = (intervention: Intervention, now_ms: number): boolean => {
    if (!LIMITED.test(intervention)) return true;
    const pace = paces.get(intervention) ?? { due_ms: Number.NEGATIVE_INFINITY, wait_ms: LOOK_MS / 2 };
    if (now_ms < pace.due_ms) return false;
    // One that was quiet for as long as it would have waited begins anew.
    const goes_on = now_ms - pace.due_ms <= pace.wait_ms;
    const wait_ms = goes_on ? Math.min(2 * pace.wait_ms, LONGEST_MS) : LOOK_MS;
    paces.set(intervention, { due_ms: now_ms + wait_ms, wait_ms });
    return true;
  };
  const look = (last = false): void => {
    const now_ms = performance.now();
    for (const intervention of Object.keys(INTERVENTIONS) as Intervention[]) {
      const total = supervisor.counts[intervention];
      const times = total - told[intervention];
      if (times === 0 || !(last || isDue(intervention, now_ms))) continue;
      told[intervention] = total;
      listener({ intervention, cause: INTERVENTIONS[intervention], times, total });
    }
  };
  const timer = setInterval(() => look(), LOOK_MS);
  timer.unref();
  // What holds the robot is told at once, with the change of state that it made.
  const forget = supervisor.onChange(() => setImmediate(() => look()));
  return () => {
    clearInterval(timer);
    forget();
    look(true);
  };
}
