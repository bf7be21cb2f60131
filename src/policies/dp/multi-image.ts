// MultiImageObsEncoder (model/vision/multi_image_obs_encoder.py): each camera resized, cropped, normalised by ImageNet's
// statistics, then through a ResNet whose last map is averaged.

import type { GraphBuilder, Value } from '../../native/index.js';
import { bilinear, resnet } from '../../networks/index.js';
import type { Affine } from '../processors/affine.js';
import type { Tensors } from '../tensors.js';
import { type Camera, centredCrop, pixelTable } from '../vision/camera.js';
import type { MultiImageConfig } from './config.js';

const IMAGENET_MEAN = [0.485, 0.456, 0.406];
const IMAGENET_STD = [0.229, 0.224, 0.225];

type Size = readonly [height: number, width: number];

export const averageWidth = ({ backbone }: MultiImageConfig): number =>
  backbone === 'resnet50' ? 2048 : 512;

/** Frames whose size changes are cropped in the network, after that; the others before it. */
export function preparation(
  encoder: MultiImageConfig,
  key: string,
  [channels, height, width]: readonly [number, number, number],
  { mul, add }: Affine,
): Camera {
  const crop = resized(encoder, key, [height, width]) === undefined ? of(encoder.crop_shape, key) : undefined;
  const [rows, columns] = crop ?? [height, width];
  return {
    key,
    shape: [channels, height, width],
    input: [rows, columns, channels],
    // Its normaliser first ([0, 1] to [−1, 1]), then ImageNet's, as the peer does; resizing changes neither.
    values: pixelTable(3, (pixel, c) => {
      const y = pixel * mul[0]! + add[0]!;
      return encoder.imagenet_norm ? (y - IMAGENET_MEAN[c]!) / IMAGENET_STD[c]! : y;
    }),
    ...(crop === undefined ? {} : { crop: centredCrop(key, [height, width], crop) }),
  };
}

/** Frames (n, height, width, 3) as the camera prepares them → (n, averageWidth) */
export function multiImage(
  g: GraphBuilder,
  tensors: Tensors,
  encoder: MultiImageConfig,
  name: string,
  { key, shape: [, height, width] }: Camera,
  frames: Value,
): Value {
  const resize = resized(encoder, key, [height, width]);
  let x = frames;
  if (resize !== undefined) {
    x = bilinear(g, x, ...resize);
    const crop = of(encoder.crop_shape, key);
    if (crop !== undefined) {
      const [top, left, rows, columns] = centredCrop(key, resize, crop);
      x = g.slice(g.slice(x, 1, top, rows), 2, left, columns);
    }
  }
  const net = {
    backbone: encoder.backbone,
    prefix: `obs_encoder.key_model_map.${encoder.shared ? 'rgb' : name}.`,
    naming: 'torchvision' as const,
    group_norm: encoder.group_norm,
  };
  const map = resnet(g, tensors, net, x);
  const [n, h, w, c] = map.shape as [number, number, number, number];
  return g.reshape(g.reduce('mean', g.reshape(map, [n, h * w, c]), 1), [n, c]);
}

/** The size that the encoder resizes a camera to, where it is another than its frames have. */
function resized(encoder: MultiImageConfig, key: string, frame: Size): Size | undefined {
  const to = of(encoder.resize_shape, key);
  return to === undefined || (to[0] === frame[0] && to[1] === frame[1]) ? undefined : to;
}

/** A size of all cameras, or of this one. */
function of(sizes: MultiImageConfig['crop_shape'], key: string): Size | undefined {
  if (sizes === null || Array.isArray(sizes)) return sizes ?? undefined;
  return Object.hasOwn(sizes, key) ? (sizes as Record<string, Size>)[key] : undefined;
}
