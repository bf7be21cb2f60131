// What a client of a policy server sends as an observation, under the policy's own names: openpi writes `/` where LeRobot
// writes `.`, and its pictures may have their channels first or last.

import { type Image, type Observation, type PolicySpec, TendonError } from '../types/index.js';
import type { Wire } from './msgpack-numpy.js';
import { NdArray } from './ndarray.js';

/**
 * The observations of one frame, oldest first: one, or a history where arrays have a leading dim of time as LeRobot's batches
 * do (state (n, dim), pictures (n, height, width, 3)), the newest of `stamp_ns`, the others `period_ns` apart before it. An array
 * without that dim beside others that have it is of every moment. Throws `input_invalid` naming the feature that is missing or
 * of another shape; what the policy does not know is left.
 */
export function observationsOf(
  given: Wire,
  spec: PolicySpec,
  stamp_ns: number,
  period_ns: number,
): Observation[] {
  const map = flat(given);
  const find = (key: string): NdArray => {
    const found = map.get(key);
    if (found instanceof NdArray) return found;
    throw new TendonError(
      'input_invalid',
      `the policy needs ${key} as an array, the frame has ${[...map.keys()].join(', ') || 'nothing'}`,
      { key },
    );
  };
  const values = Object.entries(spec.observation_dims).map(
    ([key, length]) => [key, statesOf(find(key), key, length)] as const,
  );
  const images = Object.keys(spec.image_shapes)
    .filter((key) => map.has(key) || !spec.optional_images?.includes(key))
    .map((key) => [key, picturesOf(find(key), key)] as const);
  const texts = textsOf(map, spec);
  const counts = [...values, ...images].map(([, moments]) => moments.length);
  const count = Math.max(1, ...counts);
  const odd = [...values, ...images].find(([, { length }]) => length !== 1 && length !== count);
  if (odd !== undefined)
    throw new TendonError(
      'input_invalid',
      `${odd[0]}: expected ${count} moments, as other features have, got ${odd[1].length}`,
      { key: odd[0] },
    );
  return Array.from({ length: count }, (_, i) => {
    const at = <T>(all: readonly (readonly [string, readonly T[]])[]): Record<string, T> =>
      Object.fromEntries(all.map(([key, moments]) => [key, moments[moments.length === 1 ? 0 : i]!]));
    return {
      stamp_ns: stamp_ns - (count - 1 - i) * period_ns,
      values: at(values),
      ...(images.length === 0 ? {} : { images: at(images) }),
      ...(texts === undefined ? {} : { texts }),
    };
  });
}

/** Most moments of one frame: more than any policy's n_obs_steps. */
const MOST_MOMENTS = 64;

/** (dim), or (moments, dim) with as many batches of one before. */
function statesOf(array: NdArray, key: string, length: number): Float32Array[] {
  const numbers = array.numbers();
  const count = numbers.length / length;
  const fits = count === 1 || (array.shape.at(-1) === length && Number.isInteger(count));
  if (!fits || count < 1 || count > MOST_MOMENTS)
    throw new TendonError(
      'input_invalid',
      `${key}: expected ${length} values, got ${numbers.length} of shape (${array.shape.join(', ')}); a history has a leading dim of time`,
      { key },
    );
  // Whole numbers of 64 bits come as bigints.
  const plain = Float32Array.from({ length: numbers.length }, (_, i) => Number(numbers[i]));
  return Array.from({ length: count }, (_, i) => plain.slice(i * length, (i + 1) * length));
}

/** One picture, or (moments, …) of them. */
function picturesOf(array: NdArray, key: string): Image[] {
  const { dtypeText, data } = array;
  let { shape } = array;
  while (shape.length > 4 && shape[0] === 1) shape = shape.slice(1);
  if (shape.length !== 4) return [imageOf(new NdArray(dtypeText, shape, data), key)];
  const [count, ...one] = shape as [number, ...number[]];
  if (count < 1 || count > MOST_MOMENTS)
    throw new TendonError('input_invalid', `${key}: expected 1 to ${MOST_MOMENTS} moments, got ${count}`, {
      key,
    });
  const bytes = data.length / count;
  return Array.from({ length: count }, (_, i) =>
    imageOf(new NdArray(dtypeText, one, data.subarray(i * bytes, (i + 1) * bytes)), key),
  );
}

/** The texts that a policy reads; openpi's clients call the task `prompt`. */
function textsOf(
  map: ReadonlyMap<string, Wire>,
  { texts }: PolicySpec,
): Readonly<Record<string, string>> | undefined {
  if (texts === undefined) return undefined;
  const text = (name: string): string => {
    const given = map.get(name) ?? (name === 'task' ? map.get('prompt') : undefined);
    if (typeof given === 'string') return given;
    const called = name === 'task' ? 'prompt' : name;
    throw new TendonError('input_invalid', `the policy needs ${called} as a text`, { key: name });
  };
  return Object.fromEntries(texts.map((name) => [name, text(name)]));
}

/** Nested maps by one name, with dots. */
function flat(given: Wire, under = '', into = new Map<string, Wire>()): Map<string, Wire> {
  if (typeof given !== 'object' || given === null || given instanceof NdArray || Array.isArray(given)) {
    if (under === '') throw new TendonError('input_invalid', 'expected a map of features');
    into.set(under, given);
    return into;
  }
  for (const [key, value] of Object.entries(given as Record<string, Wire>)) {
    const name = key.replaceAll('/', '.');
    flat(value, under === '' ? name : `${under}.${name}`, into);
  }
  return into;
}

/** (height, width, 3) or (3, height, width), 8 bits. */
export function imageOf(array: NdArray, key: string): Image {
  const { shape, dtypeText, data } = array;
  const last = shape.length === 3 && shape[2] === 3;
  if (dtypeText !== '|u1' || shape.length !== 3 || (!last && shape[0] !== 3))
    throw new TendonError(
      'input_invalid',
      `${key}: expected an 8-bit picture (height, width, 3) or (3, height, width), got ${dtypeText} (${shape.join(', ')})`,
      { key },
    );
  if (last) return { height: shape[0]!, width: shape[1]!, channels: 3, data: Uint8Array.from(data) };
  const [, height, width] = shape as [number, number, number];
  const area = height * width;
  const turned = new Uint8Array(3 * area);
  for (let i = 0; i < area; i++) for (let c = 0; c < 3; c++) turned[3 * i + c] = data[c * area + i]!;
  return { height, width, channels: 3, data: turned };
}
