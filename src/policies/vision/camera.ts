// Camera features of a config: what a frame must look like, and how it becomes numbers (bytes / 255, normalised by the
// checkpoint's statistics, resized, cut out about its centre), in the order of LeRobot's processors and encoders.

import type { FrameInput } from '../../native/index.js';
import { type Image, type Observation, type PolicySpec, TendonError } from '../../types/index.js';
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
  /** Frames may be of any size from `shape` on: (top, left, rows, columns) is cut out of each, or it is scaled as it is. */
  readonly first?: { readonly crop?: Crop | undefined };
}

type Crop = readonly [top: number, left: number, rows: number, columns: number];

export interface Preparation {
  readonly resize_shape?: Size | null | undefined;
  readonly crop_ratio?: number | undefined;
  readonly crop_shape?: Size | null | undefined;
  /** Cut out after the resize, where there is one. */
  readonly crop_after_resize?: Size | undefined;
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
      const step = key.includes('image') ? processing.pictures : undefined;
      const early = step?.crop[key];
      if (step?.resize !== undefined && preparation.resize_shape)
        throw new TendonError(
          'unsupported',
          `${step.where}: ${key} is resized by this step and again by resize_shape of config.json; one of the two is read`,
          { key },
        );
      const resize = step?.resize ?? preparation.resize_shape ?? undefined;
      const from: Size = resize ?? (early === undefined ? [height!, width!] : [early[2], early[3]]);
      const cut = cropOf(preparation, preparation.resize_shape ?? undefined);
      const crop = cut === undefined ? undefined : centredCrop(key, from, cut);
      const affine = processing.input(key, channels);
      const [rows, columns] = cut ?? from;
      return {
        key,
        shape:
          early === undefined
            ? [channels, height!, width!]
            : [channels, early[0] + early[2], early[1] + early[3]],
        input: [rows, columns, channels],
        values: pixelTable(channels, (pixel, c) => pixel * affine.mul[c]! + affine.add[c]!),
        ...(resize === undefined ? {} : { resize }),
        ...(crop === undefined ? {} : { crop }),
        ...(early === undefined && step?.resize === undefined ? {} : { first: { crop: early } }),
      };
    });
}

/** What a PolicySpec says of them: their shapes, and whose frames may be larger than that. */
export function cameraSpec(cameras: readonly Camera[]): Pick<PolicySpec, 'image_shapes' | 'any_size'> {
  const larger = cameras.filter(({ first }) => first !== undefined).map(({ key }) => key);
  return {
    image_shapes: Object.fromEntries(cameras.map(({ key, shape }) => [key, shape])),
    ...(larger.length === 0 ? {} : { any_size: larger }),
  };
}

/** The frames of all cameras by key, each as `framesOf` gives them. */
export function picturesOf(
  cameras: readonly Camera[],
  history: readonly Observation[],
): Record<string, FrameInput> {
  return Object.fromEntries(cameras.map((camera) => [camera.key, framesOf(camera, history)]));
}

/** One camera's frames of a history, oldest first; History has checked their sizes. */
export function framesOf(camera: Camera, history: readonly Observation[]): FrameInput {
  const { values, resize, crop, first, shape } = camera;
  const images = history.map((observation) => observation.images![camera.key]!);
  const frames = first?.crop === undefined ? images : images.map((image) => cutOut(image, first.crop!));
  const [channels] = shape;
  const { height, width } = frames.at(-1)!;
  const odd = frames.find((frame) => frame.height !== height || frame.width !== width);
  if (odd !== undefined)
    throw new TendonError(
      'input_invalid',
      `${camera.key}: expected frames of one size in a window, got ${odd.width}×${odd.height} and ${width}×${height}`,
      { key: camera.key },
    );
  return {
    data: frames.map(({ data }) => data),
    height,
    width,
    channels,
    values,
    ...(resize === undefined ? {} : { resize }),
    ...(crop === undefined ? {} : { crop }),
  };
}

function cutOut({ data, width, channels }: Image, [top, left, rows, columns]: Crop): Image {
  const out = new Uint8Array(rows * columns * channels);
  for (let y = 0; y < rows; y++) {
    const from = ((top + y) * width + left) * channels;
    out.set(data.subarray(from, from + columns * channels), y * columns * channels);
  }
  return { data: out, width: columns, height: rows, channels };
}

/** DiffusionConfig.__post_init__: with a resize, the crop is the ratio's alone. */
function cropOf(
  { crop_shape, crop_ratio, crop_after_resize }: Preparation,
  resize: Size | undefined,
): Size | undefined {
  if (crop_after_resize !== undefined) return crop_after_resize;
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
