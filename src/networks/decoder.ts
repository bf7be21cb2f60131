// Layers of Llama and Gemma language models, as VLA policies use them: grouped query attention with rotary positions, a gated
// MLP, RMS norms before both.

import type { GraphBuilder, Value } from '../native/index.js';
import { type Rotation, repeatHeads, rotate } from './rope.js';
import type { Weights } from './weights.js';

export interface DecoderStyle {
  readonly heads: number;
  readonly kv_heads: number;
  readonly head_dim: number;
  /** Llama multiplies by w, Gemma by 1 + w. */
  readonly one_plus: boolean;
  readonly eps: number;
  readonly activation: 'silu' | 'gelu_tanh';
}

/** Keys and values of one layer, (batch, length, kv_heads · head_dim) both, keys turned already. */
export interface KeysValues {
  readonly k: Value;
  readonly v: Value;
}

/** A norm as a function of its input and name; adaptive ones know their condition. */
export type Norm = (x: Value, name: string) => Value;

export function rmsNorm(g: GraphBuilder, weights: Weights, style: DecoderStyle): Norm {
  return (x, name) => {
    const w = weights.weight(g, `${name}.weight`, [x.shape.at(-1)!]);
    if (!style.one_plus) return g.rmsNorm(x, w, style.eps);
    return g.mul(g.rmsNorm(x, undefined, style.eps), g.affine(w, 1, 1));
  };
}

/** Without biases: `name`.weight. */
export const projected = (g: GraphBuilder, weights: Weights, x: Value, name: string): Value =>
  weights.linear(g, x, name, weights.ref(`${name}.weight`, [-1, x.shape.at(-1)!]).shape[0]!, false);

export function queries(
  g: GraphBuilder,
  weights: Weights,
  layer: string,
  x: Value,
  style: DecoderStyle,
  rotation: Rotation,
): Value {
  return rotate(g, projected(g, weights, x, `${layer}self_attn.q_proj`), style.heads, rotation);
}

export function keysValues(
  g: GraphBuilder,
  weights: Weights,
  layer: string,
  x: Value,
  style: DecoderStyle,
  rotation: Rotation,
): KeysValues {
  return {
    k: rotate(g, projected(g, weights, x, `${layer}self_attn.k_proj`), style.kv_heads, rotation),
    v: projected(g, weights, x, `${layer}self_attn.v_proj`),
  };
}

/** softmax(q·kᵀ/√d + mask)·v through o_proj; `parts` of keys lie one behind the other. */
export function attended(
  g: GraphBuilder,
  weights: Weights,
  layer: string,
  q: Value,
  parts: readonly KeysValues[],
  mask: Value | undefined,
  style: DecoderStyle,
): Value {
  const times = style.heads / style.kv_heads;
  const all = (which: 'k' | 'v'): Value =>
    g.concat(
      parts.map((part) => repeatHeads(g, part[which], style.kv_heads, times)),
      1,
    );
  const out = g.attention(q, all('k'), all('v'), style.heads, mask, style.head_dim ** -0.5);
  return projected(g, weights, out, `${layer}self_attn.o_proj`);
}

/** down(act(gate(x)) · up(x)) */
export function gatedMlp(
  g: GraphBuilder,
  weights: Weights,
  layer: string,
  x: Value,
  style: DecoderStyle,
): Value {
  const gate = g.unary(style.activation, projected(g, weights, x, `${layer}mlp.gate_proj`));
  return projected(
    g,
    weights,
    g.mul(gate, projected(g, weights, x, `${layer}mlp.up_proj`)),
    `${layer}mlp.down_proj`,
  );
}

/**
 * The layers of a language model over a prefix; what each leaves in the cache. Of the last layer keys and values alone are
 * computed, since nothing reads what follows them.
 */
export function prefixCache(
  g: GraphBuilder,
  weights: Weights,
  prefix: string,
  layers: number,
  x: Value,
  style: DecoderStyle,
  rotation: Rotation,
  mask: Value,
): KeysValues[] {
  const norm = rmsNorm(g, weights, style);
  const cache: KeysValues[] = [];
  let h = x;
  for (let i = 0; i < layers; i++) {
    const layer = `${prefix}layers.${i}.`;
    const normed = norm(h, `${layer}input_layernorm`);
    const kv = keysValues(g, weights, layer, normed, style, rotation);
    cache.push(kv);
    if (i + 1 === layers) break;
    const q = queries(g, weights, layer, normed, style, rotation);
    h = g.add(h, attended(g, weights, layer, q, [kv], mask, style));
    h = g.add(h, gatedMlp(g, weights, layer, norm(h, `${layer}post_attention_layernorm`), style));
  }
  return cache;
}
