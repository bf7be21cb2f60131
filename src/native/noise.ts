// Noise by its counter: the core draws it where it is used; whoever drives a network from TypeScript draws it here.

import { addon, native } from './addon.js';

/** Standard normal draws first … first + count − 1 of (seed, stream), the same on every machine, times `scale`. */
export interface Draws {
  readonly seed: number;
  readonly stream: number;
  readonly first: number;
  readonly count: number;
  /** 1 when absent. */
  readonly scale?: number;
}

/** Numbers that are given, or what the core draws them by. */
export type Noise = Float32Array | Draws;

/** The numbers themselves. */
export function numbersOf(noise: Noise): Float32Array {
  if (noise instanceof Float32Array) return noise;
  const { seed, stream, first, count, scale = 1 } = noise;
  const numbers = native(() => addon().philoxNormal(seed, stream, first, count));
  if (scale !== 1) for (let i = 0; i < count; i++) numbers[i] = numbers[i]! * scale;
  return numbers;
}
