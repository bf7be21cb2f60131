// What a client of a policy server sends as an observation, under the policy's own names: openpi writes `/` where LeRobot
// writes `.`, and its pictures may have their channels first or last.

import { type Image, type Observation, type PolicySpec, TendonError } from '../types/index.js';
import type { Wire } from './msgpack-numpy.js';
import { NdArray } from './ndarray.js';

/** Throws `input_invalid` naming the feature that is missing or of another shape; what the policy does not know is left. */
export function observationOf(given: Wire, spec: PolicySpec, stamp_ns: number): Observation {
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
  const values: Record<string, Float32Array> = {};
  for (const [key, length] of Object.entries(spec.observation_dims)) {
    const numbers = find(key).numbers();
    if (numbers.length !== length)
      throw new TendonError('input_invalid', `${key}: expected ${length} values, got ${numbers.length}`, {
        key,
      });
    values[key] = Float32Array.from(numbers as Float32Array);
  }
  const images: Record<string, Image> = {};
  for (const key of Object.keys(spec.image_shapes)) images[key] = imageOf(find(key), key);
  return { stamp_ns, values, ...(Object.keys(images).length === 0 ? {} : { images }) };
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
function imageOf(array: NdArray, key: string): Image {
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
