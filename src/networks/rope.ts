// Rotary positions (Su et al. 2021) in the halves convention of Llama and Gemma: x1·cos − x2·sin, x2·cos + x1·sin, with x1 and
// x2 the halves of each head; and grouped query attention's shared heads.

import type { GraphBuilder, Value } from '../native/index.js';

/** Cosines and sines of positions, (1, length, 1, head_dim / 2) both. */
export interface Rotation {
  readonly cos: Value;
  readonly sin: Value;
}

/** x (batch, length, heads · head_dim), each head turned by its position. */
export function rotate(g: GraphBuilder, x: Value, heads: number, { cos, sin }: Rotation): Value {
  const [batch, length, width] = x.shape as [number, number, number];
  const d = width / heads;
  const split = g.reshape(x, [batch, length, heads, d]);
  const a = g.slice(split, 3, 0, d / 2);
  const b = g.slice(split, 3, d / 2, d / 2);
  const left = g.binary('sub', g.mul(a, cos), g.mul(b, sin));
  const right = g.add(g.mul(b, cos), g.mul(a, sin));
  return g.reshape(g.concat([left, right], 3), [batch, length, width]);
}

/** Numbers of cos and sin for each position, (positions, head_dim / 2): angle = position · base^(−2k / head_dim), in f32. */
export function angles(
  positions: readonly number[],
  head_dim: number,
  base = 10_000,
): { cos: Float32Array; sin: Float32Array } {
  const half = head_dim / 2;
  const cos = new Float32Array(positions.length * half);
  const sin = new Float32Array(positions.length * half);
  for (let k = 0; k < half; k++) {
    const frequency = Math.fround(1 / Math.fround(base ** ((2 * k) / head_dim)));
    positions.forEach((position, i) => {
      const angle = Math.fround(position * frequency);
      cos[i * half + k] = Math.cos(angle);
      sin[i * half + k] = Math.sin(angle);
    });
  }
  return { cos, sin };
}

/** Keys or values of few heads, (batch, length, kv_heads · d), each repeated for the query heads that share it. */
export function repeatHeads(g: GraphBuilder, x: Value, kv_heads: number, times: number): Value {
  if (times === 1) return x;
  const d = x.shape[2]! / kv_heads;
  const heads = Array.from({ length: kv_heads }, (_, i) => (kv_heads === 1 ? x : g.slice(x, 2, i * d, d)));
  return g.concat(
    heads.flatMap((head) => Array.from({ length: times }, () => head)),
    2,
  );
}
