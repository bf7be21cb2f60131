// The supervisor's interventions as events, for a log. The tick only counts; this looks at the counts now and then and
// tells what rose, so that a command cut in every period is one line per look and not fifty per second.

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

/** Tells `listener` of every intervention from here on; the returned function looks once more and stops. */
export function watchInterventions(
  supervisor: Pick<Supervisor, 'counts' | 'onChange'>,
  listener: (report: InterventionReport) => void,
): () => void {
  const told = { ...supervisor.counts };
  const look = (): void => {
    for (const intervention of Object.keys(INTERVENTIONS) as Intervention[]) {
      const total = supervisor.counts[intervention];
      const times = total - told[intervention];
      if (times === 0) continue;
      told[intervention] = total;
      listener({ intervention, cause: INTERVENTIONS[intervention], times, total });
    }
  };
  const timer = setInterval(look, LOOK_MS);
  timer.unref();
  // What holds the robot is told at once, with the change of state that it made.
  const forget = supervisor.onChange(() => setImmediate(look));
  return () => {
    clearInterval(timer);
    forget();
    look();
  };
}
