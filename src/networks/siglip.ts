// SigLIP's vision tower (Zhai et al. 2023; transformers' SiglipVisionModel): a vision transformer without class token and
// pooling, sized by its tensors; and SmolVLM's pixel shuffle behind it.

import type { GraphBuilder, Value } from '../native/index.js';
import { towerSizes, vit } from './vit.js';
import type { Weights } from './weights.js';

export interface Siglip {
  /** Of the tensors, up to `embeddings.` and `encoder.`. */
  readonly prefix: string;
  readonly heads: number;
}

/** x (frames, height, width, 3) in [−1, 1] → (frames, patches, width), patches row by row. */
export function siglip(g: GraphBuilder, weights: Weights, { prefix, heads }: Siglip, x: Value): Value {
  const patch = weights.ref(`${prefix}embeddings.patch_embedding.weight`, [-1, 3, -1, -1]).shape[2]!;
  const sizes = towerSizes(weights, prefix);
  const net = {
    ...sizes,
    prefix,
    heads,
    patch,
    naming: 'transformers',
    eps: 1e-6,
    activation: 'gelu_tanh',
  } as const;
  return vit(
    g,
    weights,
    { ...net, class_token: false, pre_norm: false, patch_bias: true, final_norm: 'all' },
    x,
  );
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
