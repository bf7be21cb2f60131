// robomimic's observation encoder (models/obs_nets.py, ObservationEncoder; models/obs_core.py, VisualCore): each key in the
// order of training, cameras through their own ResNet, pooling and linear layer with a ReLU after it, low-dimensional keys
// as they are. diffusion_policy's hybrid policies use it too.

import * as z from 'zod';
import type { GraphBuilder, Value } from '../../native/index.js';
import { resnet, spatialSoftmax } from '../../networks/index.js';
import { TendonError } from '../../types/index.js';
import { readTensor } from '../../weights/index.js';
import { CountSchema } from '../fields.js';
import type { Vision } from '../keyed-observation.js';
import type { Affine } from '../processors/affine.js';
import type { Tensors } from '../tensors.js';
import { type Camera, centredCrop, pixelTable } from '../vision/camera.js';

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
    /** After the linear layer; robomimic's transformers have none. */
    relu: z.boolean().default(true),
    /** A centre that falls between two pixels: robomimic's crop rounds down, torchvision's to the even one. */
    crop_rounding: z.enum(['down', 'even']),
  }),
);
export type VisualCoreConfig = z.infer<typeof VisualCoreConfig>;

/** Cameras through a VisualCore each, under `prefix` and the key's name. */
export const robomimicVision = (core: VisualCoreConfig, prefix: string): Vision => ({
  prepare: (key, frame, affine) => visualCamera(core, key, frame, affine),
  width: ({ input }) => visualWidth(core, input[0], input[1]),
  features: (g, tensors, name, _, x) => visualCore(g, tensors, `${prefix}${name}.`, core, x),
});

/** A camera's frames as robomimic's encoder takes them: normalised, cut out about their centre. */
function visualCamera(
  core: VisualCoreConfig,
  key: string,
  [channels, height, width]: readonly [number, number, number],
  { mul, add }: Affine,
): Camera {
  const crop = core.crop_shape ?? undefined;
  const [rows, columns] = crop ?? [height, width];
  return {
    key,
    shape: [channels, height, width],
    input: [rows, columns, channels],
    values: pixelTable(channels, (pixel) => pixel * mul[0]! + add[0]!),
    ...(crop === undefined ? {} : { crop: centredCrop(key, [height, width], crop, core.crop_rounding) }),
  };
}

/** Channels of the last map. */
const CHANNELS = { resnet18: 512, resnet50: 2048 } as const;

/** The features of one camera whose cropped frames are `height` × `width`. */
function visualWidth(core: VisualCoreConfig, height: number, width: number): number {
  if (core.feature_dimension !== null) return core.feature_dimension;
  const channels = CHANNELS[core.backbone];
  if (core.pool === 'SpatialSoftmax') return 2 * (core.num_kp ?? channels);
  return core.pool === null ? channels * Math.ceil(height / 32) * Math.ceil(width / 32) : channels;
}

/** Frames (n, height, width, 3) of one camera → (n, features), after the ReLU; `prefix` of its VisualCore. */
function visualCore(
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
  return core.relu ? g.unary('relu', out) : out;
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
