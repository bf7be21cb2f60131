// Seeds of episodes, as they are written.

import { TendonError } from '../types/index.js';

/** Whole numbers, both ends included. */
export const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);

/** A..B, both included. Throws `config_invalid`. */
export function seedsOf(text: string): number[] {
  const match = /^(\d+)\.\.(\d+)$/.exec(text);
  const [from, to] = [Number(match?.[1]), Number(match?.[2])];
  if (match === null || to < from || to - from > 1e6)
    throw new TendonError('config_invalid', `--seeds: expected A..B with A ≤ B, got "${text}"`);
  return range(from, to);
}
