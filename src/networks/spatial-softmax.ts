// Spatial soft-argmax (Finn et al. 2016): a 1×1 convolution to keypoint maps, and the expected position of each under the
// softmax of its map.

import type { GraphBuilder, Value } from '../native/index.js';
import type { Weights } from './weights.js';

export interface SpatialSoftmax {
  /** Key of the module that has nets.{weight, bias} and pos_grid, or pos_x and pos_y. */
  readonly prefix: string;
  /** 0: every channel of the map is a keypoint map, and there is no convolution. */
  readonly keypoints: number;
  /** The scores are divided by it. */
  readonly temperature?: number;
}

/** x (frames, h, w, channels) → (frames, 2·keypoints), x and y of each keypoint in turn, in [−1, 1]. */
export function spatialSoftmax(g: GraphBuilder, weights: Weights, net: SpatialSoftmax, x: Value): Value {
  const { prefix, keypoints: k, temperature = 1 } = net;
  const [frames, h, w, c] = x.shape as [number, number, number, number];
  const count = k > 0 ? k : c;
  const maps =
    k > 0
      ? g.conv2d(
          x,
          weights.weight(g, `${prefix}nets.weight`, [k, c, 1, 1]),
          weights.weight(g, `${prefix}nets.bias`, [k]),
          // A softmax over positions turns one percent of a logit into ten of a position (docs/numerics.md).
          { exact: true },
        )
      : x;
  const scores = g.permute(g.reshape(maps, [frames, h * w, count]), [0, 2, 1]);
  const attention = g.softmax(temperature === 1 ? scores : g.affine(scores, 1 / temperature, 0));
  return g.reshape(g.matmul(attention, positions(g, weights, prefix, h, w)), [frames, 2 * count]);
}

/** (1, h·w, 2): (x, y) of each position, from the file: numpy's linspace rounds differently from torch's. */
function positions(g: GraphBuilder, weights: Weights, prefix: string, h: number, w: number): Value {
  if (weights.has(`${prefix}pos_grid`))
    return g.reshape(weights.weight(g, `${prefix}pos_grid`, [h * w, 2]), [1, h * w, 2]);
  // robomimic keeps x and y apart.
  const [x, y] = ['pos_x', 'pos_y'].map((name) =>
    g.reshape(weights.weight(g, prefix + name, [1, h * w]), [1, h * w, 1]),
  );
  return g.concat([x!, y!]);
}
