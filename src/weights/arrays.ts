// Named arrays of files that keep them as a tree (pickles of jax arrays, flax's msgpack, orbax's folders): each by its
// path, such as modules_actor/actor_net/Dense_0/kernel. Little-endian; row by row unless it says otherwise.

import type { TensorRef } from '../native/index.js';
import { byteLength, decodeElements, readTensor } from './tensor.js';

export interface StoredArray {
  readonly name: string;
  readonly shape: readonly number[];
  /** As safetensors names them. */
  readonly dtype: string;
  /** Where it lies in a file, when it lies there in one piece and row by row; the core can read it from there. */
  readonly ref: TensorRef | undefined;
  /** Its numbers, row by row. Reads the file when `ref` is set. */
  numbers(): Float32Array;
}

export interface ArrayFile {
  readonly path: string;
  readonly arrays: ReadonlyMap<string, StoredArray>;
}

/** An array that stays where it is in its file. */
export function arrayInFile(ref: TensorRef): StoredArray {
  const { name, shape, dtype } = ref;
  return { name, shape, dtype, ref, numbers: () => readTensor(ref) };
}

/** An array whose bytes are at hand; `columns`: the first axis runs fastest (numpy's Fortran order). */
export function arrayInMemory(
  name: string,
  dtype: string,
  shape: readonly number[],
  bytes: Buffer,
  columns = false,
): StoredArray {
  return {
    name,
    shape,
    dtype,
    ref: undefined,
    numbers: () => {
      const out = new Float32Array(shape.reduce((n, d) => n * d, 1));
      decodeElements(bytes, dtype, out);
      return columns ? byRows(out, shape) : out;
    },
  };
}

/** Whether `bytes` are exactly an array of `dtype` and `shape`. */
export const fits = (dtype: string, shape: readonly number[], bytes: number): boolean =>
  byteLength(dtype, shape) === bytes;

/** Elements with the first axis fastest, put with the last axis fastest. */
function byRows(values: Float32Array, shape: readonly number[]): Float32Array {
  const out = new Float32Array(values.length);
  const index = shape.map(() => 0);
  for (let i = 0; i < values.length; i++) {
    out[index.reduce((at, digit, axis) => at * shape[axis]! + digit, 0)] = values[i]!;
    for (let axis = 0; axis < shape.length && ++index[axis]! === shape[axis]; axis++) index[axis] = 0;
  }
  return out;
}
