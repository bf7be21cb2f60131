// robomimic's observation encoder (models/obs_nets.py, ObservationEncoder; models/obs_core.py, VisualCore): each key in the
// order of training, cameras through their own ResNet, pooling and linear layer with a ReLU after it, low-dimensional keys
// as they are. diffusion_policy's hybrid policies use it too.

import * as z from 'zod';
import type { GraphBuilder, Value } from '../../native/index.js';
import { resnet, spatialSoftmax } from '../../networks/index.js';
import { TendonError } from '../../types/index.js';
import { readTensor } from '../../weights/index.js';
import { CountSchema } from '../fields.js';
import type { Tensors } from '../tensors.js';

const count = CountSchema;

/** One description for all cameras, as robomimic's configuration has one for each modality. */
export const VisualCoreConfig = z.lazy(() =>
  z.object({
    backbone: z.enum(['resnet18', 'resnet50']),
    /** Group norm of 16 channels a group in place of batch norm (diffusion_policy's obs_encoder_group_norm). */
    group_norm: z.boolean(),
    pool: z.enum(['SpatialSoftmax', 'SpatialMeanPool']).nullable(),
    /** Keypoints of the spatial softmax; null: every channel is one. */
    num_kp: count.nullable(),
    /** Of the linear layer after pooling; null without one. */
    feature_dimension: count.nullable(),
    crop_shape: z.tuple([count, count]).nullable(),
    /** A centre that falls between two pixels: robomimic's crop rounds down, torchvision's to the even one. */
    crop_rounding: z.enum(['down', 'even']),
  }),
);
export type VisualCoreConfig = z.infer<typeof VisualCoreConfig>;

/** Channels of the last map. */
const CHANNELS = { resnet18: 512, resnet50: 2048 } as const;

/** The features of one camera whose cropped frames are `height` × `width`. */
export function visualWidth(core: VisualCoreConfig, height: number, width: number): number {
  if (core.feature_dimension !== null) return core.feature_dimension;
  const channels = CHANNELS[core.backbone];
  if (core.pool === 'SpatialSoftmax') return 2 * (core.num_kp ?? channels);
  return core.pool === null ? channels * Math.ceil(height / 32) * Math.ceil(width / 32) : channels;
}

/** Frames (n, height, width, 3) of one camera → (n, features), after the ReLU; `prefix` of its VisualCore. */
export function visualCore(
  g: GraphBuilder,
  tensors: Tensors,
  prefix: string,
  core: VisualCoreConfig,
  x: Value,
): Value {
  const net = {
    ...{ backbone: core.backbone, prefix: `${prefix}nets.0.nets.`, naming: 'sequential' as const },
    // A softmax over positions may follow (docs/numerics.md).
    ...{ group_norm: core.group_norm, exact: core.pool === 'SpatialSoftmax' },
  };
  const map = resnet(g, tensors, net, x);
  const [n, h, w, c] = map.shape as [number, number, number, number];
  const pooled = (): Value => {
    if (core.pool === 'SpatialSoftmax') return softmaxPool(g, tensors, `${prefix}nets.1.`, core, map);
    if (core.pool === 'SpatialMeanPool')
      return g.reshape(g.reduce('mean', g.reshape(map, [n, h * w, c]), 1), [n, c]);
    // torch flattens (channels, height, width).
    return g.reshape(g.permute(map, [0, 3, 1, 2]), [n, c * h * w]);
  };
  const flat = pooled();
  const linear = `${prefix}nets.${core.pool === null ? 2 : 3}`;
  const out =
    core.feature_dimension === null ? flat : tensors.linear(g, flat, linear, core.feature_dimension);
  return g.unary('relu', out);
}

function softmaxPool(
  g: GraphBuilder,
  tensors: Tensors,
  prefix: string,
  core: VisualCoreConfig,
  map: Value,
): Value {
  const temperature = readTensor(tensors.ref(`${prefix}temperature`, [1]))[0]!;
  if (!(temperature > 0))
    throw new TendonError(
      'weights_mismatch',
      `${prefix}temperature: expected a number above 0, got ${temperature}`,
    );
  return spatialSoftmax(g, tensors, { prefix, keypoints: core.num_kp ?? 0, temperature }, map);
}
