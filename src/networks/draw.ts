// Draws from a categorical distribution inside the network, whose randomness is an input.

import type { GraphBuilder, Value } from '../native/index.js';
import { clamp, largest, uniformOf } from './compose.js';

/**
 * One-hot draw from softmax(logits): the largest of logits + Gumbel noise (Gumbel 1954), whose uniforms are normal
 * draws through their distribution function. (…, codes) each.
 */
export function drawOne(g: GraphBuilder, logits: Value, normal: Value): Value {
  const uniform = uniformOf(g, normal);
  const log = (v: Value): Value => g.unary('log', v);
  const gumbel = g.affine(log(g.affine(log(clamp(g, uniform, 2 ** -25, 1 - 2 ** -24)), -1, 0)), -1, 0);
  return largest(g, g.add(gumbel, logits));
}
