// Vision transformers (Dosovitskiy et al. 2021) as timm (vision_transformer.py) and transformers (CLIPVisionTransformer,
// SiglipVisionTransformer) build them: patches through a convolution, a class token where there is one, learned positions,
// pre-norm layers. Which of them has which norm and bias is told, not guessed.

import type { GraphBuilder, Value } from '../native/index.js';
import { headsOf } from './attention.js';
import type { Weights } from './weights.js';

/** Pre-norm layers, of a vision tower or of CLIP's text tower. */
export interface VitLayers {
  readonly prefix: string;
  readonly naming: 'timm' | 'transformers';
  readonly depth: number;
  readonly heads: number;
  readonly mlp: number;
  /** Of every layer norm: 1e-6 of timm and SigLIP, 1e-5 of CLIP. */
  readonly eps: number;
  readonly activation: VitActivation;
}

export interface Vit extends VitLayers {
  readonly width: number;
  readonly patch: number;
  readonly class_token: boolean;
  /** CLIP has a norm before the layers, and no bias of the patches. */
  readonly pre_norm: boolean;
  readonly patch_bias: boolean;
  /**
   * Of all tokens, or of the class token alone (CLIP's pooled output), which is then all that is given; `none`: the tokens as
   * the last layer leaves them (CLIP's last_hidden_state).
   */
  readonly final_norm: 'all' | 'class' | 'none';
}

/** `quick_gelu`: x·σ(1.702·x), of OpenAI's CLIP. */
export type VitActivation = 'gelu' | 'gelu_tanh' | 'quick_gelu';

const NAMES = {
  timm: {
    patches: 'patch_embed.proj',
    class_token: 'cls_token',
    positions: 'pos_embed',
    pre_norm: 'norm_pre',
    layer: (i: number) => `blocks.${i}.`,
    ...{ norm1: 'norm1', norm2: 'norm2', attention: 'attn.', out: 'attn.proj', final: 'norm' },
  },
  transformers: {
    patches: 'embeddings.patch_embedding',
    class_token: 'embeddings.class_embedding',
    positions: 'embeddings.position_embedding.weight',
    // Spelled so in transformers.
    pre_norm: 'pre_layrnorm',
    layer: (i: number) => `encoder.layers.${i}.`,
    ...{ norm1: 'layer_norm1', norm2: 'layer_norm2', attention: 'self_attn.', out: 'self_attn.out_proj' },
    final: 'post_layernorm',
  },
} as const;

/** x (frames, height, width, 3) → tokens (frames, class token + patches, width), or (frames, 1, width) of `class`. */
export function vit(g: GraphBuilder, weights: Weights, net: Vit, x: Value): Value {
  const { prefix, width: D, eps } = net;
  const names = NAMES[net.naming];
  const timm = net.naming === 'timm';
  const norm = (v: Value, name: string): Value => weights.layerNorm(g, v, prefix + name, eps);
  const n = x.shape[0]!;
  const map = g.conv2d(
    x,
    weights.weight(g, `${prefix}${names.patches}.weight`, [D, 3, net.patch, net.patch]),
    net.patch_bias ? weights.weight(g, `${prefix}${names.patches}.bias`, [D]) : undefined,
    { stride: net.patch },
  );
  const count = map.shape[1]! * map.shape[2]!;
  let h = g.reshape(map, [n, count, D]);
  if (net.class_token) {
    const token = weights.weight(g, prefix + names.class_token, timm ? [1, 1, D] : [D]);
    h = g.concat([g.expand(g.reshape(token, [1, 1, D]), [n, 1, D]), h], 1);
  }
  const length = h.shape[1]!;
  const table = weights.weight(g, prefix + names.positions, timm ? [1, length, D] : [length, D]);
  h = g.add(h, g.reshape(table, [1, length, D]));
  if (net.pre_norm) h = norm(h, names.pre_norm);
  h = vitLayers(g, weights, net, h);
  if (net.final_norm === 'none') return h;
  return norm(net.final_norm === 'class' ? g.slice(h, 1, 0, 1) : h, names.final);
}

/** h (frames, tokens, width), same shape out; `mask` (tokens, tokens) is added to the scores. */
export function vitLayers(g: GraphBuilder, weights: Weights, net: VitLayers, h: Value, mask?: Value): Value {
  const names = NAMES[net.naming];
  const layout = net.naming === 'timm' ? 'qkv' : 'separate';
  const D = h.shape[2]!;
  for (let i = 0; i < net.depth; i++) {
    const layer = net.prefix + names.layer(i);
    const norm = (v: Value, name: string): Value => weights.layerNorm(g, v, layer + name, net.eps);
    const linear = (v: Value, name: string, out: number): Value => weights.linear(g, v, layer + name, out);
    const [q, k, v] = headsOf(g, weights, layer + names.attention, layout, norm(h, names.norm1));
    h = g.add(h, linear(g.attention(q, k, v, net.heads, mask), names.out, D));
    const wide = activated(g, net.activation, linear(norm(h, names.norm2), 'mlp.fc1', net.mlp));
    h = g.add(h, linear(wide, 'mlp.fc2', D));
  }
  return h;
}

/** What a tower of transformers shows of itself in its tensors. */
export function towerSizes(
  weights: Weights,
  prefix: string,
): { readonly width: number; readonly depth: number; readonly mlp: number } {
  const layer = (i: number): string => `${prefix}encoder.layers.${i}.`;
  let depth = 0;
  while (weights.has(`${layer(depth)}layer_norm1.weight`)) depth++;
  const [mlp, width] = weights.ref(`${layer(0)}mlp.fc1.weight`, [-1, -1]).shape as [number, number];
  return { width, depth, mlp };
}

export function activated(g: GraphBuilder, activation: VitActivation, x: Value): Value {
  if (activation !== 'quick_gelu') return g.unary(activation, x);
  return g.mul(x, g.unary('sigmoid', g.affine(x, 1.702, 0)));
}
