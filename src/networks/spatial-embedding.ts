// HIL-SERL's learned spatial embedding (LeRobot's SpatialLearnedEmbeddings): each channel's map weighed by kernels of its own.

import type { GraphBuilder, Value } from '../native/index.js';
import type { Weights } from './weights.js';

/** `name`: the kernel (channels, height, width, features). map (1, h, w, c) → (1, c·features) */
export function spatialEmbedding(
  g: GraphBuilder,
  weights: Weights,
  name: string,
  features: number,
  map: Value,
): Value {
  const [, h, w, c] = map.shape as [number, number, number, number];
  const kernel = weights.weight(g, name, [c, h, w, features]);
  const channels = g.reshape(g.permute(map, [0, 3, 1, 2]), [1, c, h * w, 1]);
  const weighed = g.mul(
    g.expand(channels, [1, c, h * w, features]),
    g.reshape(kernel, [1, c, h * w, features]),
  );
  return g.reshape(g.reduce('sum', weighed, 2), [1, c * features]);
}
