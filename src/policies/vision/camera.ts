// Camera features of a config: what a frame must look like, and how it becomes numbers (bytes / 255, normalised by the
// checkpoint's statistics, resized, cut out about its centre), in the order of LeRobot's processors and encoders.

import type { FrameInput } from '../../native/index.js';
import { type Observation, TendonError } from '../../types/index.js';
import type { Feature } from '../fields.js';
import type { Processing } from '../processors/processing.js';

type Size = readonly [height: number, width: number];

export interface Camera {
  readonly key: string;
  /** As frames come: channels, height, width. */
  readonly shape: readonly [number, number, number];
  /** As the network takes them: height, width, channels. */
  readonly input: readonly [number, number, number];
  readonly values: Float32Array;
  readonly resize?: Size;
  readonly crop?: readonly [number, number, number, number];
}

export interface Preparation {
  readonly resize_shape?: Size | null | undefined;
  readonly crop_ratio?: number | undefined;
  readonly crop_shape?: Size | null | undefined;
}

/** The VISUAL features in config order. */
export function camerasOf(
  features: Readonly<Record<string, Feature>>,
  processing: Processing,
  preparation: Preparation = {},
): Camera[] {
  return Object.entries(features)
    .filter(([, { type }]) => type === 'VISUAL')
    .map(([key, { shape }]) => {
      const [channels, height, width] = shape;
      if (shape.length !== 3 || (channels !== 1 && channels !== 3))
        throw new TendonError(
          'config_invalid',
          `input_features.${key}: expected (1 or 3 channels, height, width), got [${shape}]`,
          { key },
        );
      const resize = preparation.resize_shape ?? undefined;
      const from: Size = resize ?? [height!, width!];
      const cut = cropOf(preparation, resize);
      const crop = cut === undefined ? undefined : centredCrop(key, from, cut);
      const affine = processing.input(key, channels);
      const [rows, columns] = cut ?? from;
      return {
        key,
        shape: [channels, height!, width!],
        input: [rows, columns, channels],
        values: pixelTable(channels, (pixel, c) => pixel * affine.mul[c]! + affine.add[c]!),
        ...(resize === undefined ? {} : { resize }),
        ...(crop === undefined ? {} : { crop }),
      };
    });
}

/** Shapes as a PolicySpec declares them. */
export const imageShapes = (cameras: readonly Camera[]): Record<string, readonly [number, number, number]> =>
  Object.fromEntries(cameras.map(({ key, shape }) => [key, shape]));

/** One camera's frames of a history, oldest first; History has checked their sizes. */
export function framesOf(camera: Camera, history: readonly Observation[]): FrameInput {
  const [channels, height, width] = camera.shape;
  const { values, resize, crop } = camera;
  return {
    data: history.map(({ images }) => images![camera.key]!.data),
    height,
    width,
    channels,
    values,
    ...(resize === undefined ? {} : { resize }),
    ...(crop === undefined ? {} : { crop }),
  };
}

/** DiffusionConfig.__post_init__: with a resize, the crop is the ratio's alone. */
function cropOf({ crop_shape, crop_ratio }: Preparation, resize: Size | undefined): Size | undefined {
  if (resize === undefined) return crop_shape ?? undefined;
  if (crop_ratio === undefined || crop_ratio === 1) return undefined;
  return [Math.trunc(resize[0] * crop_ratio), Math.trunc(resize[1] * crop_ratio)];
}

/** (channels, 256): the number of each byte, from byte / 255. */
export function pixelTable(
  channels: number,
  number: (pixel: number, channel: number) => number,
): Float32Array {
  return Float32Array.from({ length: channels * 256 }, (_, i) =>
    number((i % 256) / 255, Math.floor(i / 256)),
  );
}

/** (top, left, rows, columns); half a pixel is rounded to the even one, as torchvision's CenterCrop does, or down. */
export function centredCrop(
  key: string,
  [height, width]: Size,
  [rows, columns]: Size,
  rounding: 'even' | 'down' = 'even',
) {
  if (rows > height || columns > width)
    throw new TendonError(
      'config_invalid',
      `crop_shape: ${rows}×${columns} is larger than ${key}, which is ${height}×${width}`,
      { key },
    );
  const round = rounding === 'down' ? Math.floor : halfEven;
  return [round((height - rows) / 2), round((width - columns) / 2), rows, columns] as const;
}

function halfEven(value: number): number {
  const low = Math.floor(value);
  return value - low === 0.5 ? low + (low % 2) : Math.round(value);
}
