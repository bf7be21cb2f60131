// A LeRobot robot's raw observation (motors and cameras by name) as the policy knows it: its client says which names make up which
// feature (datasets/feature_utils.py, build_dataset_frame).

import { type Image, type Observation, type PolicySpec, TendonError } from '../../types/index.js';
import { NdArray } from '../ndarray.js';
import { imageOf } from '../observation.js';
import type { Plain, Setup, TimedObservation } from './pickles.js';

const IMAGES = 'observation.images.';

/** Throws `input_invalid` naming the feature that the robot does not give, or gives in another shape. */
export function observationOf(
  { observation }: TimedObservation,
  setup: Setup,
  spec: PolicySpec,
  stamp_ns: number,
): Observation {
  const values: Record<string, Float32Array> = {};
  const images: Record<string, Image> = {};
  for (const [feature, description] of setup.features) {
    if (!feature.startsWith('observation.') || !(description instanceof Map)) continue;
    const key = renamed(setup, feature);
    if (feature.startsWith(IMAGES)) {
      const picture = observation.get(feature.slice(IMAGES.length));
      if (picture instanceof NdArray && key in spec.image_shapes)
        images[key] = fitted(imageOf(picture, key), key, spec);
    } else if (key in spec.observation_dims) {
      values[key] = stateOf(observation, feature, description, spec.observation_dims[key]!);
    }
  }
  const missing = [
    ...Object.keys(spec.observation_dims).filter((key) => values[key] === undefined),
    ...Object.keys(spec.image_shapes).filter(
      (key) => images[key] === undefined && !spec.optional_images?.includes(key),
    ),
  ];
  if (missing.length > 0)
    throw new TendonError(
      'input_invalid',
      `the policy needs ${missing.join(', ')}; the client’s robot gives ${[...setup.features.keys()].join(', ')}: rename its cameras, or use rename_map`,
      { missing },
    );
  const task = observation.get('task');
  if (spec.texts?.includes('task') && typeof task !== 'string')
    throw new TendonError('input_invalid', 'the policy needs a task in words: start the client with --task');
  return {
    stamp_ns,
    values,
    images,
    ...(typeof task === 'string' ? { texts: { task } } : {}),
  };
}

function renamed({ rename }: Setup, feature: string): string {
  const to = rename.get(feature);
  return typeof to === 'string' ? to : feature;
}

function stateOf(
  observation: TimedObservation['observation'],
  feature: string,
  description: ReadonlyMap<string, Plain>,
  length: number,
): Float32Array {
  const whole = observation.get(feature);
  if (whole instanceof NdArray) return checked(feature, whole.numbers(), length);
  const names = description.get('names');
  const numbers = Array.isArray(names) ? names.map((name) => observation.get(String(name))) : [];
  return checked(feature, numbers, length);
}

function checked(feature: string, numbers: ArrayLike<unknown>, length: number): Float32Array {
  const values = Float32Array.from({ length: numbers.length }, (_, i) => {
    const value = numbers[i];
    return value instanceof NdArray ? Number(value.numbers()[0]) : Number(value ?? Number.NaN);
  });
  if (values.length === length && values.every(Number.isFinite)) return values;
  throw new TendonError(
    'input_invalid',
    `${feature}: the policy needs ${length} finite numbers, got ${values.length} (${[...values.slice(0, 8)].join(', ')})`,
    { feature },
  );
}

/**
 * LeRobot's server stretches every picture to the size in the policy's config. A policy that sizes pictures itself is given them
 * as they are, as it was trained; others need that size.
 */
function fitted(image: Image, key: string, spec: PolicySpec): Image {
  const [, height, width] = spec.image_shapes[key]!;
  if (spec.any_image_size || spec.any_size?.includes(key)) return image;
  return image.height === height && image.width === width ? image : stretched(image, height, width);
}

/** Bilinear, half-pixel centres, no antialiasing, rounded (torch's interpolate on bytes). */
function stretched({ width, height, channels, data }: Image, rows: number, columns: number): Image {
  const at = (i: number, from: number, to: number): readonly [number, number, number] => {
    const place = Math.max(((i + 0.5) * from) / to - 0.5, 0);
    const low = Math.min(Math.floor(place), from - 1);
    return [low, Math.min(low + 1, from - 1), place - low];
  };
  const out = new Uint8Array(rows * columns * channels);
  for (let y = 0; y < rows; y++) {
    const [y0, y1, fy] = at(y, height, rows);
    for (let x = 0; x < columns; x++) {
      const [x0, x1, fx] = at(x, width, columns);
      for (let c = 0; c < channels; c++) {
        const pixel = (row: number, column: number): number => data[(row * width + column) * channels + c]!;
        const upper = pixel(y0, x0) * (1 - fx) + pixel(y0, x1) * fx;
        const lower = pixel(y1, x0) * (1 - fx) + pixel(y1, x1) * fx;
        out[(y * columns + x) * channels + c] = Math.round(upper * (1 - fy) + lower * fy);
      }
    }
  }
  return { width: columns, height: rows, channels, data: out };
}
