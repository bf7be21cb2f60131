// SigLIP's vision tower (Zhai et al. 2023; transformers' SiglipVisionModel): patches, learnt positions, pre-norm transformer
// layers with gelu (tanh form), a last norm; no class token and no pooling.

import type { GraphBuilder, Value } from '../native/index.js';
import type { Weights } from './weights.js';

export interface Siglip {
  /** Of the tensors, up to `embeddings.` and `encoder.`. */
  readonly prefix: string;
  readonly heads: number;
}

const EPS = 1e-6;

/** x (frames, height, width, 3) in [−1, 1] → (frames, patches, width), patches row by row. */
export function siglip(g: GraphBuilder, weights: Weights, { prefix, heads }: Siglip, x: Value): Value {
  const [width, , patch] = weights.ref(`${prefix}embeddings.patch_embedding.weight`, [-1, 3, -1, -1])
    .shape as [number, number, number];
  const kernel = weights.weight(g, `${prefix}embeddings.patch_embedding.weight`, [width, 3, patch, patch]);
  const bias = weights.weight(g, `${prefix}embeddings.patch_embedding.bias`, [width]);
  const patches = g.conv2d(x, kernel, bias, { stride: patch, pad: 0 });
  const [frames, rows, columns] = patches.shape as [number, number, number];
  const length = rows * columns;
  const positions = weights.weight(g, `${prefix}embeddings.position_embedding.weight`, [length, width]);
  let h = g.add(g.reshape(patches, [frames, length, width]), g.reshape(positions, [1, length, width]));
  for (let i = 0; weights.has(`${prefix}encoder.layers.${i}.layer_norm1.weight`); i++) {
    const layer = `${prefix}encoder.layers.${i}.`;
    const normed = weights.layerNorm(g, h, `${layer}layer_norm1`, EPS);
    const [q, k, v] = ['q', 'k', 'v'].map((name) =>
      weights.linear(g, normed, `${layer}self_attn.${name}_proj`, width),
    ) as [Value, Value, Value];
    h = g.add(h, weights.linear(g, g.attention(q, k, v, heads), `${layer}self_attn.out_proj`, width));
    const mlp = weights.layerNorm(g, h, `${layer}layer_norm2`, EPS);
    const hidden = weights.ref(`${layer}mlp.fc1.weight`, [-1, width]).shape[0]!;
    const inner = g.unary('gelu_tanh', weights.linear(g, mlp, `${layer}mlp.fc1`, hidden));
    h = g.add(h, weights.linear(g, inner, `${layer}mlp.fc2`, width));
  }
  return weights.layerNorm(g, h, `${prefix}post_layernorm`, EPS);
}

/**
 * Blocks of `scale` × `scale` patches become one token each, (frames, patches, width) → (frames, patches / scale², width ·
 * scale²), row by row both outside and inside a block (SmolVLM's pixel shuffle).
 */
export function pixelShuffle(g: GraphBuilder, x: Value, scale: number): Value {
  const [frames, patches, width] = x.shape as [number, number, number];
  const side = Math.round(Math.sqrt(patches)) / scale;
  // (frames · block rows, row in block, block columns, column in block · width): the two middle axes change places.
  const blocks = g.reshape(x, [frames * side, scale, side, scale * width]);
  return g.reshape(g.permute(blocks, [0, 2, 1, 3]), [frames, side * side, scale * scale * width]);
}
