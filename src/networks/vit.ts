// Vision transformers (Dosovitskiy et al. 2021) as timm (vision_transformer.py) and transformers (CLIPVisionTransformer,
// SiglipVisionTransformer) build them: patches through a convolution, a class token where there is one, learned positions,
// pre-norm layers. Which of them has which norm and bias is told, not guessed.

import type { GraphBuilder, Value } from '../native/index.js';
import { headsOf } from './attention.js';
import type { Weights } from './weights.js';

export interface Vit {
  readonly prefix: string;
  readonly naming: 'timm' | 'transformers';
  readonly width: number;
  readonly depth: number;
  readonly heads: number;
  readonly patch: number;
  readonly mlp: number;
  /** Of every layer norm: 1e-6 of timm and SigLIP, 1e-5 of CLIP. */
  readonly eps: number;
  readonly activation: VitActivation;
  readonly class_token: boolean;
  /** CLIP has a norm before the layers, and no bias of the patches. */
  readonly pre_norm: boolean;
  readonly patch_bias: boolean;
  /** Of all tokens, or of the class token alone (CLIP's pooled output), which is then all that is given. */
  readonly final_norm: 'all' | 'class';
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
  const { prefix, width: D, heads, eps } = net;
  const names = NAMES[net.naming];
  const timm = net.naming === 'timm';
  const norm = (v: Value, name: string): Value => weights.layerNorm(g, v, prefix + name, eps);
  const linear = (v: Value, name: string, out: number): Value => weights.linear(g, v, prefix + name, out);
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
  for (let i = 0; i < net.depth; i++) {
    const layer = names.layer(i);
    const seen = norm(h, layer + names.norm1);
    const [q, k, v] = headsOf(
      g,
      weights,
      `${prefix}${layer}${names.attention}`,
      timm ? 'qkv' : 'separate',
      seen,
    );
    h = g.add(h, linear(g.attention(q, k, v, heads), layer + names.out, D));
    const wide = activated(
      g,
      net.activation,
      linear(norm(h, layer + names.norm2), `${layer}mlp.fc1`, net.mlp),
    );
    h = g.add(h, linear(wide, `${layer}mlp.fc2`, D));
  }
  return norm(net.final_norm === 'class' ? g.slice(h, 1, 0, 1) : h, names.final);
}

export function activated(g: GraphBuilder, activation: VitActivation, x: Value): Value {
  if (activation !== 'quick_gelu') return g.unary(activation, x);
  return g.mul(x, g.unary('sigmoid', g.affine(x, 1.702, 0)));
}
