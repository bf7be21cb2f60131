// Memories of what was done: nearest experiences, blended chunks, utilities that are learnt from outcomes (MemRL), weights of
// recordings by their likeness to demonstrations (Behavior Retrieval), a task vector from pictures (RL Zero).

import { distance, dot, mean, norm, type Row, smallest } from './numbers.js';

/** One of the nearest entries of a memory. */
export interface Neighbour {
  readonly index: number;
  readonly distance: number;
  /** softmax(−distance/temperature) among the neighbours. */
  readonly weight: number;
}

/** The `k` keys nearest to `query` by Euclidean distance, nearest first. */
export function nearest(keys: readonly Row[], query: Row, k: number, temperature: number): Neighbour[] {
  const distances = keys.map((key) => distance(key, query));
  const found = smallest(distances, k);
  const least = distances[found[0]!] ?? 0;
  const raw = found.map((i) => Math.exp(-(distances[i]! - least) / temperature));
  const sum = raw.reduce((a, b) => a + b, 0);
  return found.map((index, i) => ({ index, distance: distances[index]!, weight: raw[i]! / sum }));
}

/** Σ weight·chunk. Where demonstrations disagree this is an average that nobody has done: prefer the nearest itself. */
export function blend(chunks: readonly Row[], neighbours: readonly Neighbour[]): Float64Array {
  const out = new Float64Array(chunks[0]!.length);
  for (const { index, weight } of neighbours)
    for (let i = 0; i < out.length; i++) out[i]! += weight * chunks[index]![i]!;
  return out;
}

/** Likeness of each key to the nearest demonstration, scaled to [0, 1] over all keys. */
export function likeness(keys: readonly Row[], demonstrations: readonly Row[]): Float64Array {
  const raw = keys.map((key) => -Math.min(...demonstrations.map((demo) => distance(key, demo))));
  const [low, high] = [Math.min(...raw), Math.max(...raw)];
  return Float64Array.from(raw, (v) => (high > low ? (v - low) / (high - low) : 1));
}

/** cos of the angle between two rows; NaN when one is zero. */
export const cosine = (a: Row, b: Row): number => dot(a, b) / (norm(a) * norm(b));

/** How memories are chosen by similarity first and by usefulness second. */
export interface UtilityOptions {
  readonly least_similarity: number;
  /** Candidates looked at, most similar first; then how many are chosen. */
  readonly candidates: number;
  readonly top: number;
  readonly weight_similarity: number;
  readonly weight_value: number;
  /** Mean and spread of similarities, for their z-score. */
  readonly similarity: { readonly mean: number; readonly std: number };
}

/** Candidates with their scores, and the best of them (MemRL): z-scores of similarity and utility, each within ±3. */
export function byUtility(
  similarity: Row,
  value: Row,
  options: UtilityOptions,
): {
  readonly candidates: readonly number[];
  readonly scores: Float64Array;
  readonly chosen: readonly number[];
} {
  const order = smallest(
    Array.from(similarity, (v) => -v),
    similarity.length,
  );
  const candidates = order
    .filter((i) => similarity[i]! >= options.least_similarity)
    .slice(0, options.candidates);
  const values = candidates.map((i) => value[i]!);
  const average = mean(values);
  const spread = Math.sqrt(mean(values.map((v) => (v - average) ** 2)));
  const clipped = (z: number): number => Math.min(Math.max(z, -3), 3);
  const scores = Float64Array.from(candidates, (i) => {
    const bySimilarity = clipped((similarity[i]! - options.similarity.mean) / options.similarity.std);
    const byValue = spread > 0 ? clipped((value[i]! - average) / spread) : 0;
    return options.weight_similarity * bySimilarity + options.weight_value * byValue;
  });
  const best = smallest(
    scores.map((v) => -v),
    options.top,
  );
  return { candidates, scores, chosen: best.map((i) => candidates[i]!) };
}

/** Q ← (1 − α)·Q + α·reward of the entries that were used. */
export function learnt(value: Row, used: readonly number[], reward: number, alpha: number): Float64Array {
  const out = Float64Array.from(value);
  for (const i of used) out[i] = (1 - alpha) * out[i]! + alpha * reward;
  return out;
}

/** z = √n · the direction of the mean backward embedding of the seen frames nearest (by cosine) to the imagined ones. */
export function promptOf(
  frames: readonly Row[],
  seen: readonly Row[],
  backward: readonly Row[],
): { readonly nearest: readonly number[]; readonly z: Float64Array } {
  const found = frames.map(
    (frame) =>
      smallest(
        seen.map((key) => -cosine(frame, key)),
        1,
      )[0]!,
  );
  const n = backward[0]!.length;
  const average = Float64Array.from({ length: n }, (_, i) =>
    mean(found.map((index) => backward[index]![i]!)),
  );
  const scale = Math.sqrt(n) / norm(average);
  return { nearest: found, z: average.map((v) => v * scale) };
}
