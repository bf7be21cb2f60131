// Attention over all that an agent has seen, with a learnt sink (ReLIC, Elawady et al. 2024): one key and value of each head stand
// before the others, unrotated and outside of the cache, so that a query may look at nothing. Keys are turned by the number of
// episodes begun, not by their place.

import type { GraphBuilder, Value } from '../native/index.js';
import { type Rotation, repeatHeads, rotate } from './rope.js';
import type { Weights } from './weights.js';

export interface SinkShape {
  readonly heads: number;
  readonly kv_heads: number;
  readonly head_dim: number;
}

/** Episodes begun at each step, from where an episode begins (1) or goes on (0): the positions of the rotation. */
export function episodesBegun(begins: ArrayLike<number>): number[] {
  let begun = 0;
  return Array.from(begins, (begin) => {
    begun += begin;
    return begun;
  });
}

/** What query t may look at, (steps, 1 + steps): 0, or −1e9 for what comes later or `window` steps and more before it. */
export function sinkMask(steps: number, window = Number.POSITIVE_INFINITY): Float32Array {
  const mask = new Float32Array(steps * (steps + 1));
  for (let t = 0; t < steps; t++)
    for (let s = 0; s < steps; s++) if (s > t || t - s >= window) mask[t * (steps + 1) + 1 + s] = -1e9;
  return mask;
}

/** x (1, steps, width) → (1, steps, width); projections without bias, `<prefix>.head_bias_{key,value}` (1, heads, 1, head_dim). */
export function sinkAttention(
  g: GraphBuilder,
  weights: Weights,
  x: Value,
  prefix: string,
  { heads, kv_heads, head_dim }: SinkShape,
  turn: Rotation,
  mask: Value,
): Value {
  const project = (part: string, n: number): Value =>
    weights.linear(g, x, `${prefix}.${part}_proj`, n * head_dim, false);
  const q = rotate(g, project('q', heads), heads, turn);
  const shared = (of: Value): Value => repeatHeads(g, of, kv_heads, heads / kv_heads);
  const k = shared(rotate(g, project('k', kv_heads), kv_heads, turn));
  const v = shared(project('v', kv_heads));
  const sink = (name: string): Value => {
    const n = weights.shape(`${prefix}.${name}`)[1]!;
    const one = g.reshape(weights.weight(g, `${prefix}.${name}`, [1, n, 1, head_dim]), [1, 1, n * head_dim]);
    return repeatHeads(g, one, n, heads / n);
  };
  const keys = g.concat([sink('head_bias_key'), k], 1);
  const values = g.concat([sink('head_bias_value'), v], 1);
  const out = g.attention(q, keys, values, heads, mask);
  return weights.linear(g, out, `${prefix}.o_proj`, x.shape[2]!, false);
}
