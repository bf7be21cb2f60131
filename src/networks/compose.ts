// Functions that the op table has not, composed of those it has; shapes as given.

import type { GraphBuilder, Value } from '../native/index.js';

export function clamp(g: GraphBuilder, v: Value, low: number, high: number): Value {
  return g.binary('minimum', g.binary('maximum', v, g.constant([low], [1])), g.constant([high], [1]));
}

/** 1 where v > 0, else 0. */
export const isPositive = (g: GraphBuilder, v: Value): Value => clamp(g, g.affine(v, 1e30, 0), 0, 1);

/** sign(x)·ln(1 + |x|), the inverse of the op `symexp`. */
export function symlog(g: GraphBuilder, x: Value): Value {
  const log = (v: Value): Value => g.unary('log', g.affine(g.unary('relu', v), 1, 1));
  return g.binary('sub', log(x), log(g.affine(x, -1, 0)));
}

/** The distribution function of the standard normal: normal draws to uniform ones. */
export const uniformOf = (g: GraphBuilder, normal: Value): Value =>
  g.affine(g.unary('erf', g.affine(normal, Math.SQRT1_2, 0)), 0.5, 0.5);

/** 1 at the largest of the last dim, 0 elsewhere; equal largest are all 1. */
export const largest = (g: GraphBuilder, x: Value): Value =>
  clamp(g, g.affine(g.binary('sub', x, g.reduce('max', x)), 1e30, 1), 0, 1);

/** Σ softmax(logits)·bins then symexp, bins evenly from low to high: a number kept as a distribution of its symlog. */
export function twoHotInverse(g: GraphBuilder, logits: Value, low: number, high: number): Value {
  const n = logits.shape.at(-1)!;
  const bins = Float32Array.from({ length: n }, (_, i) => low + ((high - low) * i) / (n - 1));
  return g.unary('symexp', g.reduce('sum', g.mul(g.softmax(logits), g.constant(bins, [n]))));
}
