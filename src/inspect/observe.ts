// Observations that nobody saw: zeros, or noise that is the same for the same seed.

import type { Goal, Image, Observation, PolicySpec } from '../types/index.js';

/** Zeros for seed 0; otherwise numbers in [−1, 1] and pixels of any value. */
export function observe(spec: PolicySpec, seed: number): Observation {
  let state = seed;
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return seed === 0 ? 0 : state / 2 ** 32;
  };
  const values = Object.fromEntries(
    Object.entries(spec.observation_dims).map(([key, n]) => [
      key,
      Float32Array.from({ length: n }, () => (seed === 0 ? 0 : 2 * next() - 1)),
    ]),
  );
  const images = Object.fromEntries(
    Object.entries(spec.image_shapes).map(([key, [channels, height, width]]): [string, Image] => [
      key,
      {
        width,
        height,
        channels: channels as 1 | 3,
        data: Uint8Array.from({ length: channels * height * width }, () => 256 * next()),
      },
    ]),
  );
  const texts = Object.fromEntries((spec.texts ?? []).map((name) => [name, 'pick up the block']));
  return { stamp_ns: seed, values, images, texts };
}

/** Goals that no observation holds: zeros, or numbers that differ from one observation to the next. */
export const goalOf = (spec: PolicySpec, { stamp_ns }: Observation): Goal =>
  Object.fromEntries(
    Object.entries(spec.goal_dims)
      .filter(([key]) => spec.observation_dims[key] === undefined)
      .map(([key, n]) => [
        key,
        Float32Array.from({ length: n }, (_, i) => Math.sin(i + 1) * Math.sign(stamp_ns)),
      ]),
  );
