// torch.nn.MultiheadAttention and its transformer layers: the three projections are rows of one tensor.

import type { GraphBuilder, Value } from '../native/index.js';
import type { Weights } from './weights.js';

export interface AttentionShape {
  readonly heads: number;
  /** (queries, keys), added to the scores. */
  readonly mask?: Value | undefined;
}

/** `name`.{in_proj_weight, in_proj_bias, out_proj}; all three inputs have the width of the model. */
export function multiHead(
  g: GraphBuilder,
  weights: Weights,
  name: string,
  [q, k, v]: readonly [Value, Value, Value],
  shape: AttentionShape,
): Value {
  const D = q.shape.at(-1)!;
  const project = (x: Value, part: number): Value =>
    g.linear(
      x,
      weights.rows(g, `${name}.in_proj_weight`, [3 * D, D], part * D, D),
      weights.rows(g, `${name}.in_proj_bias`, [3 * D], part * D, D),
    );
  const out = g.attention(project(q, 0), project(k, 1), project(v, 2), shape.heads, shape.mask);
  return weights.linear(g, out, `${name}.out_proj`, D);
}

/** linear1, activation, linear2. */
export function feedForward(
  g: GraphBuilder,
  weights: Weights,
  name: string,
  x: Value,
  hidden: number,
  activation: 'relu' | 'gelu',
): Value {
  const wide = g.unary(activation, weights.linear(g, x, `${name}.linear1`, hidden));
  return weights.linear(g, wide, `${name}.linear2`, x.shape.at(-1)!);
}

/**
 * Queries, keys and values of self-attention: one layer of that name whose rows are the three in turn, or q_proj, k_proj and
 * v_proj (`separate`); all with a bias.
 */
export function headsOf(
  g: GraphBuilder,
  weights: Weights,
  prefix: string,
  layout: 'qkv' | 'qkv_proj' | 'separate',
  x: Value,
): [q: Value, k: Value, v: Value] {
  const D = x.shape.at(-1)!;
  const part = (index: number): Value =>
    layout === 'separate'
      ? weights.linear(g, x, `${prefix}${'qkv'[index]}_proj`, D)
      : g.linear(
          x,
          weights.rows(g, `${prefix}${layout}.weight`, [3 * D, D], index * D, D),
          weights.rows(g, `${prefix}${layout}.bias`, [3 * D], index * D, D),
        );
  return [part(0), part(1), part(2)];
}
