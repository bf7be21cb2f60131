// Episodes of a simulated task in real time, one after the other, and what was measured meanwhile: as data.

import { INTERVENTIONS, type Intervention } from '../control/index.js';
import { wilson } from '../eval/wilson.js';
import { type MachineReport, MachineWatch } from '../host/machine-watch.js';
import { NS_PER_S } from '../types/index.js';
import { type EpisodeResult, SimSession, type SimSessionOptions } from './sim-session.js';

/** What episodes in real time showed. */
export interface EpisodesReport {
  readonly results: readonly EpisodeResult[];
  readonly successes: number;
  /** 95 % interval of the success rate (Wilson). */
  readonly interval: readonly [low: number, high: number];
  readonly ticks: number;
  readonly deadline_misses: number;
  /** Ticks with a miss, and how many of them fell into a time in which the machine itself stood still. */
  readonly missed_ticks: number;
  /** How late a tick woke: median, 99th percentile and worst. */
  readonly late_us: readonly [p50: number | undefined, p99: number | undefined, worst: number];
  readonly infer_ms: readonly [p50: number | undefined, p99: number | undefined];
  /** What else the machine did, or why that cannot be known here. */
  readonly machine: MachineReport | string;
  /** How often the supervisor stepped in, by cause; causes that did not occur are left out. */
  readonly interventions: Readonly<Record<string, number>>;
}

/**
 * Runs `episodes` of them; what `ended` gives, asked when the session is open, stops before, and what ran is reported. Throws
 * what SimSession.open throws.
 */
export async function runEpisodes(
  options: SimSessionOptions,
  episodes: number,
  ended: () => Promise<void> = () => new Promise(() => undefined),
): Promise<EpisodesReport> {
  const results: EpisodeResult[] = [];
  let finish: () => void = () => undefined;
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const session = await SimSession.open({
    ...options,
    onEpisode(result) {
      results.push(result);
      options.onEpisode?.(result);
      if (results.length >= episodes) finish();
    },
  });
  const stopped = ended();
  const watch = new MachineWatch(session.clock);
  session.go();
  await Promise.race([finished, stopped]);
  const { stats, supervisor } = session.controller;
  const machine = watch.end(stats.misses, NS_PER_S / session.rate_hz);
  await session.close();
  const successes = results.filter((r) => r.success).length;
  const [late50, late99] = stats.late_us.quantiles(0.5, 0.99);
  const [infer50, infer99] = stats.infer_ms.quantiles(0.5, 0.99);
  const causes = (Object.keys(INTERVENTIONS) as Intervention[]).filter(
    (cause) => supervisor.counts[cause] > 0,
  );
  return {
    results,
    successes,
    interval: wilson(successes, Math.max(1, results.length)),
    ticks: stats.ticks,
    deadline_misses: stats.deadline_misses,
    missed_ticks: stats.misses.length,
    late_us: [late50, late99, stats.worst_late_ns / 1e3],
    infer_ms: [infer50, infer99],
    machine,
    interventions: Object.fromEntries(causes.map((cause) => [cause, supervisor.counts[cause]])),
  };
}
