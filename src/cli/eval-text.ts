// The results of `tendon eval` as text.

import { type DelaysOptions, delayRows } from '../eval/delays.js';
import type { Evaluation } from '../eval/evaluate.js';

const percent = (share: number, digits = 1): string => (100 * share).toFixed(digits);

export function evaluated(task: string, result: Evaluation, how: string): string {
  const [low, high] = result.interval;
  const modes = Object.entries(result.modes).map(([name, count]) => `${name} ${count}`);
  return [
    `  ${task}: ${result.successes}/${result.episodes} = ${percent(result.success_rate)} %   95 % interval ${percent(low)}–${percent(high)} %`,
    `  episode      ${result.mean_steps.toFixed(1)} steps on average`,
    `  modes        ${modes.join(', ')}`,
    `  chunk jumps  median ${result.boundary_jump.median.toFixed(4)}, worst ${result.boundary_jump.worst.toFixed(4)}`,
    `  inference    p50 ${result.infer_ms.p50.toFixed(2)} ms, p99 ${result.infer_ms.p99.toFixed(2)} ms (${how})`,
    ...partsLines(result),
  ].join('\n');
}

/** What the parts of a policy did. */
function partsLines({ records, episodes }: Evaluation): string[] {
  const steered = records.flatMap(({ steering }) => (steering === undefined ? [] : [steering]));
  if (steered.length === 0) return [];
  const alarms: Record<string, number> = {};
  const guarded: Record<string, number> = {};
  for (const one of steered) {
    for (const [name, step] of Object.entries(one.alarms))
      alarms[name] = (alarms[name] ?? 0) + Number(step >= 0);
    for (const [did, times] of Object.entries(one.guarded)) guarded[did] = (guarded[did] ?? 0) + times;
  }
  const sum = (of: (one: (typeof steered)[number]) => number): number =>
    steered.reduce((n, one) => n + of(one), 0);
  return [
    ...Object.entries(alarms).map(
      ([name, n]) => `  monitor      ${name} alarms in ${n} of ${episodes} episodes`,
    ),
    ...Object.entries(guarded).map(([did, n]) => `  guardian     ${did}: ${n} inferences`),
    ...reachedLine(records),
    `  parts        ${sum((one) => one.held)} inferences held, ${sum((one) => one.skipped)} parts passed over`,
  ];
}

/** Steps before a success from which on "reached" is no mistake. */
const EARLY = 5;

/** How often a progress part said that the goal is reached where it was, and where it was not. */
function reachedLine(records: Evaluation['records']): string[] {
  const watched = records.flatMap(({ success, steps, steering }) =>
    steering?.reached_at === undefined ? [] : [{ success, steps, at: steering.reached_at }],
  );
  if (watched.length === 0) return [];
  const successes = watched.filter(({ success }) => success);
  const said = successes.filter(({ at, steps }) => at >= steps - EARLY);
  const falsely = watched.filter(({ success, at, steps }) => at >= 0 && !(success && at >= steps - EARLY));
  return [
    `  reached      said in ${said.length} of ${successes.length} successes (${percent(said.length / Math.max(1, successes.length))} %), falsely in ${falsely.length} of ${watched.length} episodes (${percent(falsely.length / watched.length)} %)`,
  ];
}

/** One line for each way to join and each delay, as they are found. */
export async function sayDelays(options: DelaysOptions, say: (line: string) => void): Promise<void> {
  say(`  ${options.task}: ${options.seeds.length} episodes each; delays are rounded up to whole rows`);
  say('  mode              delay ms   success   95 % interval   max jump   rms jerk /s³');
  for await (const row of delayRows(options)) {
    const [low, high] = row.interval.map((share) => percent(share, 0));
    const rate = `${percent(row.successes / row.episodes)} %`;
    say(
      `  ${row.mode.padEnd(18)}${String(row.delay_ms).padStart(8)}${rate.padStart(10)}${`${low}–${high} %`.padStart(16)}${row.max_jump.toFixed(3).padStart(11)}${row.jerk.toFixed(0).padStart(15)}`,
    );
  }
}
