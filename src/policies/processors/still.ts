// A joint that did not move in the training data has a deviation near zero, and dividing by it makes a large number of the
// smallest difference. The peers do the same; here it is said when the checkpoint is loaded.

import type { Stats } from './normalize.js';

/** Below this deviation or range, in the feature's own units, a thousandth of a unit becomes ten or more. */
const STILL = 1e-4;

const SPANS: Readonly<Record<string, (stats: Stats, i: number) => number>> = {
  MEAN_STD: ({ std }, i) => std![i]!,
  MIN_MAX: ({ min, max }, i) => max![i]! - min![i]!,
  QUANTILES: ({ q01, q99 }, i) => q99![i]! - q01![i]!,
  QUANTILE10: ({ q10, q90 }, i) => q90![i]! - q10![i]!,
};

/** Warns of the numbers of a state that hardly moved; statistics have been checked. */
export function noteStill(dir: string, key: string, type: string, mode: string, stats: Stats): void {
  if (type !== 'STATE' && type !== 'ENV') return;
  const span = SPANS[mode]!;
  const length = Object.values(stats)[0]!.length;
  const still = Array.from({ length }, (_, i) => i).filter((i) => span(stats, i) < STILL);
  if (still.length === 0) return;
  const each = still.map((i) => `${key}[${i}] (${span(stats, i).toPrecision(2)})`).join(', ');
  process.emitWarning(
    `${dir}: hardly moved in the training data, so that ${mode} makes a large number of a small difference, as in training: ${each}`,
    'TendonWarning',
  );
}
