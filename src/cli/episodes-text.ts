// Episodes of `tendon start --headless` as lines and a table.

import { INTERVENTIONS, type Intervention } from '../control/index.js';
import { ofItself } from '../host/machine-watch.js';
import type { EpisodesReport } from '../session/episodes.js';
import type { EpisodeResult } from '../session/sim-session.js';

export function episodeLine(result: EpisodeResult, number: number, of: number): string {
  const { seed, success, seconds, mode } = result;
  return `  ${String(number).padStart(3)}/${of}  seed ${String(seed).padEnd(5)} ${success ? 'success' : 'failure'}  ${seconds.toFixed(1).padStart(5)} s  ${mode}`;
}

export function episodesText(report: EpisodesReport): string {
  const { results, successes, interval, ticks, deadline_misses, missed_ticks, machine } = report;
  const [low, high] = interval;
  const [late50, late99, worst] = report.late_us;
  const [infer50, infer99] = report.infer_ms;
  const stalled =
    missed_ticks === 0 || typeof machine === 'string'
      ? ''
      : `, in ${missed_ticks} ticks; ${machine.its_misses} of these while the machine itself stood still`;
  const causes = Object.entries(report.interventions).map(
    ([cause, count]) => `${count} × ${INTERVENTIONS[cause as Intervention]}`,
  );
  return `
  success            ${successes}/${results.length}  (95 % interval ${(100 * low).toFixed(1)}–${(100 * high).toFixed(1)} %)
  control ticks      ${ticks}, deadline misses ${deadline_misses}${stalled}
  tick lateness      p50 ${late50?.toFixed(0)} µs, p99 ${late99?.toFixed(0)} µs, worst ${(worst / 1e3).toFixed(2)} ms
  the machine        ${ofItself(machine)}
  inference          p50 ${infer50?.toFixed(1)} ms, p99 ${infer99?.toFixed(1)} ms
  interventions      ${causes.length === 0 ? 'none' : causes.join('\n                     ')}`;
}
