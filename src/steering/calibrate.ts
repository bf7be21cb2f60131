// From runs to a monitor's band, and how it does: how often it alarms on successes that it was not made of, how often and how
// early on failures.

import {
  accumulated,
  type BandFile,
  boundOf,
  firstAlarm,
  type Manifest,
  type Modulation,
  type MonitorEntry,
  makeBand,
} from '../parts/index.js';
import { type Experience, TendonError } from '../types/index.js';

export interface CalibrateOptions {
  readonly monitor: string;
  readonly alpha: number;
  readonly modulation: Modulation;
  /** Of the policy's weights. */
  readonly fingerprint: string;
}

export interface Calibrated {
  /** One for each scorer of the monitor. */
  readonly bands: readonly BandFile[];
  readonly successes: number;
  readonly failures: number;
  /** Of successes, each held against a band that was made without it. */
  readonly false_alarms: number;
  /** Of failures: alarms. One comes with an inference, so before what that would have done. */
  readonly detected: number;
  /** Inferences that follow an alarm in a failure, the median: how early it is. */
  readonly early: number;
}

/** Folds in which successes are held out. */
const FOLDS = 5;

/** Throws `config_invalid` where the manifest has no such monitor, `input_invalid` where there are too few successes. */
export function calibrate(
  manifest: Manifest,
  runs: readonly Experience[],
  options: CalibrateOptions,
): Calibrated {
  const entry = monitorOf(manifest, options.monitor);
  const scores = [entry.score].flat();
  const curves = (run: Experience): Float64Array[] => scores.map((score) => curveOf(run, score, entry));
  const good = runs.filter((run) => run.success).map(curves);
  const bad = runs.filter((run) => !run.success).map(curves);
  const make = (of: readonly Float64Array[][]): Made => bandsOf(of, scores.length, options);
  const whole = make(good);
  let false_alarms = 0;
  for (let fold = 0; fold < FOLDS; fold++) {
    const held = good.filter((_, i) => i % FOLDS === fold);
    const made = make(good.filter((_, i) => i % FOLDS !== fold));
    false_alarms += held.filter((run) => alarmOf(run, made) >= 0).length;
  }
  const alarms = bad.map((run) => ({ at: alarmOf(run, whole), last: run[0]!.length - 1 }));
  const rule = `${entry.accumulate}${entry.accumulate === 'window' ? ` ${entry.window}` : ''}`;
  return {
    bands: whole.map(({ upper, train, calibrate: n }, i) => ({
      format: 'tendon-band-1',
      upper: [...upper],
      alpha: options.alpha,
      train,
      calibrate: n,
      modulation: options.modulation,
      score: scores[i]!,
      accumulate: rule,
      policy: options.fingerprint,
    })),
    successes: good.length,
    failures: bad.length,
    false_alarms,
    detected: alarms.filter(({ at }) => at >= 0).length,
    early: median(alarms.filter(({ at }) => at >= 0).map(({ at, last }) => last - at)),
  };
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1] ?? 0;

type Made = readonly ReturnType<typeof makeBand>[];

/** The first inference at which every score of the monitor is beyond its bound; −1 for none. */
function alarmOf(run: readonly Float64Array[], bands: Made): number {
  if (run.length === 1) return firstAlarm(run[0]!, boundOf(bands[0]!));
  return run[0]!.findIndex((_, t) => run.every((curve, i) => !(curve[t]! < boundOf(bands[i]!)(t))));
}

/** Successes are as long as they took: the last score of a shorter one stands to the end of the longest. */
function bandsOf(
  runs: readonly Float64Array[][],
  scores: number,
  { alpha, modulation }: CalibrateOptions,
): Made {
  const length = Math.max(0, ...runs.map((run) => run[0]!.length));
  return Array.from({ length: scores }, (_, i) => {
    const curves = runs.map((run) =>
      Float64Array.from({ length }, (_, t) => run[i]![Math.min(t, run[i]!.length - 1)]!),
    );
    // A third sets the course of the band, the rest its width, which carries the promise.
    const train = curves.filter((_, j) => j % 3 === 0);
    return makeBand(
      train,
      curves.filter((_, j) => j % 3 !== 0),
      alpha,
      modulation,
    );
  });
}

function curveOf({ steps }: Experience, score: string, { accumulate, window }: MonitorEntry): Float64Array {
  const against = steps.map(({ chunk }) => {
    const list = chunk.steering?.scores[score];
    if (list === undefined)
      throw new TendonError(
        'input_invalid',
        `calibrate: nothing is known of the scorer ${score} in one of the runs${chunk.steering === undefined ? ': they were recorded without parts; record them with the manifest, the monitor without a band' : ` (${chunk.steering.skipped[score] ?? 'it was off'})`}`,
        { score },
      );
    return -(list.length > 1 ? list[chunk.chosen]! : list[0]!);
  });
  return accumulated(accumulate, against, window);
}

export function monitorOf({ parts }: Manifest, name: string): MonitorEntry {
  const entry = Object.hasOwn(parts, name) ? parts[name] : undefined;
  if (entry?.kind === 'monitor') return entry;
  const monitors = Object.keys(parts).filter((n) => parts[n]!.kind === 'monitor');
  throw new TendonError(
    'config_invalid',
    `--monitor: expected a monitor of the manifest (${monitors.join(', ') || 'it has none'}), got "${name}"`,
    { name },
  );
}
