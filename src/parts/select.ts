// Selectors: from the scores of N candidates to the one that is played. Higher is better; a score that is not finite never
// wins; equal scores go to the lowest index; where none is finite, candidate 0, the policy's usual draw, is played.

import { distance, mean, type Row, softmax } from './numbers.js';

/** The index of the highest finite score; 0 where none is finite. */
export function argmax(scores: Row): number {
  let best = -1;
  for (let i = 0; i < scores.length; i++)
    if (Number.isFinite(scores[i]!) && (best < 0 || scores[i]! > scores[best]!)) best = i;
  return Math.max(best, 0);
}

/** Drawn with probability softmax(score/temperature) by `u`, uniform in [0, 1). */
export function softmaxDraw(scores: Row, temperature: number, u: number): number {
  const shares = softmax(scores, temperature);
  let sum = 0;
  let last = 0;
  for (let i = 0; i < shares.length; i++) {
    if (shares[i] === 0) continue;
    sum += shares[i]!;
    last = i;
    if (u < sum) return i;
  }
  return last;
}

/** The best by the first list; scores within `tolerance` of the best there are ranked by the next list. */
export function lexicographic(lists: readonly Row[], tolerance = 0): number {
  let left = Array.from({ length: lists[0]?.length ?? 0 }, (_, i) => i);
  for (const scores of lists) {
    const finite = left.filter((i) => Number.isFinite(scores[i]!));
    if (finite.length === 0) continue;
    const best = Math.max(...finite.map((i) => scores[i]!));
    left = finite.filter((i) => scores[i]! >= best - tolerance);
  }
  return left[0] ?? 0;
}

/** Best first; what is not finite comes last, in order. */
export function ranked(scores: Row): number[] {
  const value = (i: number): number => (Number.isFinite(scores[i]!) ? scores[i]! : Number.NEGATIVE_INFINITY);
  return Array.from({ length: scores.length }, (_, i) => i).sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    return x === y ? a - b : y - x;
  });
}

/** (score − mean)/std of the finite ones, 0 where all are equal; NaN where the score is not finite. */
export function standardised(scores: Row): Float64Array {
  const finite = Array.from(scores).filter(Number.isFinite);
  const average = mean(finite);
  const spread = Math.sqrt(mean(finite.map((v) => (v - average) ** 2)));
  return Float64Array.from(scores, (v) =>
    Number.isFinite(v) ? (spread > 0 ? (v - average) / spread : 0) : Number.NaN,
  );
}

/** Minus the mean distance of each candidate to the others; its argmax is the medoid. */
export function centrality(candidates: readonly Row[]): Float64Array {
  return Float64Array.from(
    candidates,
    (a) => -candidates.reduce((sum, b) => sum + distance(a, b), 0) / (candidates.length - 1),
  );
}

/** One score from what several critics say of a candidate: (critics, candidates) → (candidates). */
export function reduced(critics: readonly Row[], rule: 'min' | 'mean' | 'lower', kappa = 1): Float64Array {
  return Float64Array.from({ length: critics[0]!.length }, (_, i) => {
    const values = critics.map((scores) => scores[i]!);
    const average = values.reduce((a, b) => a + b, 0) / values.length;
    if (rule === 'mean') return average;
    if (rule === 'min') return Math.min(...values);
    const variance = values.reduce((sum, v) => sum + (v - average) ** 2, 0) / values.length;
    return average - kappa * Math.sqrt(variance);
  });
}
