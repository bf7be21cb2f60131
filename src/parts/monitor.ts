// Failure monitors: a stream of scores, one per inference, is accumulated and held against a band that successful runs
// have set (SAFE, Gu et al. 2025; FAIL-Detect, Xu et al. 2025; split conformal prediction with the finite-sample rank).

import { TendonError } from '../types/index.js';
import { mean, quantile, type Row } from './numbers.js';

/** How the scores of an episode become the number that stands against a band. */
export const ACCUMULATIONS = ['none', 'sum', 'mean', 'window'] as const;
export type Accumulation = (typeof ACCUMULATIONS)[number];

/** Scores of an episode so far, as far as the rule needs them. */
export interface Accumulated {
  /** What stands against the band. */
  readonly value: number;
  readonly sum: number;
  readonly count: number;
  /** The last `window` scores. */
  readonly recent: readonly number[];
}

/** One more score; `before` is undefined at an episode's start. */
export function accumulate(
  rule: Accumulation,
  window: number,
  before: Accumulated | undefined,
  score: number,
): Accumulated {
  const sum = (before?.sum ?? 0) + score;
  const count = (before?.count ?? 0) + 1;
  const recent = rule === 'window' ? [...(before?.recent ?? []), score].slice(-window) : [];
  const value = { none: score, sum, mean: sum / count, window: mean(recent) }[rule];
  return { value, sum, count, recent };
}

/** The accumulated scores of a whole run. */
export function accumulated(rule: Accumulation, scores: Row, window = 1): Float64Array {
  let so_far: Accumulated | undefined;
  return Float64Array.from(scores, (score) => {
    so_far = accumulate(rule, window, so_far, score);
    return so_far.value;
  });
}

/**
 * How a calibrated band changes with the step: constant, in proportion to the deviation there, or as a function of time.
 */
export const MODULATIONS = ['const', 'stdev', 'tfunc'] as const;
export type Modulation = (typeof MODULATIONS)[number];

/** A band of one bound per step; beyond its length the last one holds. */
export interface Band {
  readonly upper: Float64Array;
  /** Share of successful runs that may alarm, and how many runs of each kind the band was made of. */
  readonly alpha: number;
  readonly train: number;
  readonly calibrate: number;
}

/** ⌈(n + 1)(1 − α)⌉, or undefined where n runs cannot carry that guarantee. */
export function conformalRank(n: number, alpha: number): number | undefined {
  const rank = Math.ceil((n + 1) * (1 - alpha) - 1e-12);
  return rank >= 1 && rank <= n ? rank : undefined;
}

function rankOf(n: number, alpha: number): number {
  const rank = conformalRank(n, alpha);
  if (rank === undefined)
    throw new TendonError(
      'config_invalid',
      `monitor: ${n} successful runs cannot promise at most ${(100 * alpha).toFixed(1)} % false alarms; at least ${Math.ceil(1 / alpha) - 1} are needed, or a larger alpha`,
      { n, alpha },
    );
  return rank;
}

const atRank = (values: readonly number[], rank: number): number =>
  [...values].sort((a, b) => a - b)[rank - 1]!;

/**
 * The band of successful runs' accumulated scores: m_t and w_t of the training curves, then q so that m_t + q·w_t covers the
 * calibration curves. All curves have one length. `rank` false is the shipped form of SAFE and FAIL-Detect, which
 * interpolates and does not carry the finite-sample guarantee.
 */
export function makeBand(
  train: readonly Row[],
  calibrate: readonly Row[],
  alpha: number,
  modulation: Modulation,
  rank = true,
): Band {
  const steps = train[0]?.length ?? 0;
  if (steps === 0 || [...train, ...calibrate].some((curve) => curve.length !== steps))
    throw new TendonError('input_invalid', 'monitor: a band is made of curves of one length, and of some');
  const m = Float64Array.from({ length: steps }, (_, t) => mean(train.map((curve) => curve[t]!)));
  const w = modulationOf(train, m, alpha, modulation);
  const scores = calibrate.map((curve) =>
    Math.max(...Array.from({ length: steps }, (_, t) => (curve[t]! - m[t]!) / w[t]!)),
  );
  const q = rank ? atRank(scores, rankOf(scores.length, alpha)) : quantile(scores, 1 - alpha);
  return {
    upper: m.map((v, t) => v + q * w[t]!),
    alpha,
    train: train.length,
    calibrate: calibrate.length,
  };
}

function modulationOf(train: readonly Row[], m: Float64Array, alpha: number, kind: Modulation): Float64Array {
  const steps = m.length;
  const n = train.length;
  if (kind === 'const') return new Float64Array(steps).fill(1 / steps);
  if (kind === 'stdev')
    return m.map((average, t) => {
      const squares = train.reduce((sum, curve) => sum + (curve[t]! - average) ** 2, 0);
      return Math.sqrt(squares / (n - 1)) + 1e-8;
    });
  const greatest = train.map((curve) =>
    Math.max(...Array.from(m, (average, t) => Math.abs(curve[t]! - average))),
  );
  const within = atRank(greatest, conformalRank(n, alpha) ?? n);
  const kept = train.filter((_, j) => greatest[j]! <= within);
  return m.map((average, t) => Math.max(...kept.map((curve) => Math.abs(curve[t]! - average))) + 1e-8);
}

/** One bound for all steps: the greatest score of a run, at the conformal rank. */
export function flatThreshold(calibrate: readonly Row[], alpha: number): number {
  const most = calibrate.map((curve) => Math.max(...Array.from(curve)));
  return atRank(most, rankOf(most.length, alpha));
}

/** The first step whose score reaches the bound; −1 where none does. NaN alarms: a monitor that cannot see fails towards hold. */
export function firstAlarm(scores: Row, bound: (step: number) => number): number {
  for (let t = 0; t < scores.length; t++) if (!(scores[t]! < bound(t))) return t;
  return -1;
}

/** The upper bound of a step; beyond a band's end its last holds. */
export const boundOf =
  ({ upper }: { readonly upper: Row }) =>
  (step: number): number =>
    upper[Math.min(step, upper.length - 1)]!;
