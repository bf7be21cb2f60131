// Plain data out of what a pickle says of Python objects that are never built: OmegaConf's configurations
// (omegaconf 2.x: containers keep nodes under _content, nodes their value under _val) and numpy's arrays.

import { TendonError } from '../types/index.js';
import { arrayInMemory } from './arrays.js';
import { isOpaque, type PickleValue, readPickle } from './pickle.js';
import { type ByteSource, corrupt, withFile } from './source.js';
import { byteLength } from './tensor.js';

/** Nested deeper than any configuration; cycles (_parent) are never followed. */
const MAX_DEPTH = 64;
/** Values of any configuration. A pickle may name one object many times, which nested is a tree without end. */
const MAX_VALUES = 100_000;
/** Statistics of joints and actions. */
const MAX_PICKLE = 64 * 1024 * 1024;

export type Plain = null | boolean | number | string | Plain[] | { [key: string]: Plain };

/** Dicts, lists, numbers and text as JSON has them; whatever else is left out. */
export function plainOf(
  value: PickleValue | undefined,
  depth = 0,
  left = { values: MAX_VALUES },
): Plain | undefined {
  if (--left.values < 0)
    throw new TendonError('file_corrupt', `its configuration has more than ${MAX_VALUES} values`);
  if (value === undefined || depth > MAX_DEPTH) return undefined;
  if (value === null || typeof value === 'boolean' || typeof value === 'number' || typeof value === 'string')
    return value;
  if (Array.isArray(value)) return value.map((item) => plainOf(item, depth + 1, left) ?? null);
  if (value instanceof Map) {
    const entries = [...value].flatMap(([key, item]): [string, Plain][] => {
      const plain = plainOf(item, depth + 1, left);
      return plain === undefined || (typeof key !== 'string' && typeof key !== 'number')
        ? []
        : [[String(key), plain]];
    });
    return Object.fromEntries(entries);
  }
  if (!isOpaque(value) || !(value.state instanceof Map)) return undefined;
  const state = value.state;
  if (/^omegaconf\.nodes\./.test(value.name)) return plainOf(state.get('_val'), depth + 1, left);
  return /^omegaconf\./.test(value.name) ? plainOf(state.get('_content'), depth + 1, left) : undefined;
}

const DTYPES: Readonly<Record<string, string>> = {
  f8: 'F64',
  f4: 'F32',
  f2: 'F16',
  i8: 'I64',
  i4: 'I32',
  i2: 'I16',
  i1: 'I8',
  u4: 'U32',
  u1: 'U8',
  b1: 'BOOL',
};

/** An array as numpy pickles it, its bytes where they are in the pickle. */
export interface PickledArray {
  readonly shape: readonly number[];
  /** As safetensors names them. */
  readonly dtype: string;
  /** The first axis runs fastest (Fortran order). */
  readonly columns: boolean;
  readonly bytes: Buffer;
}

/**
 * A pickled numpy array, or a jax array (jax ≥ 0.4.1 wraps numpy's in `_reconstruct_array`); undefined when the value is
 * neither, is big-endian, or its bytes are not what its shape says.
 */
export function pickledArray(value: PickleValue | undefined): PickledArray | undefined {
  if (!isOpaque(value)) return undefined;
  if (value.name === 'jax._src.array._reconstruct_array')
    return Array.isArray(value.args) ? arrayOfState(value.args[2]) : undefined;
  return value.name.endsWith('multiarray._reconstruct') ? arrayOfState(value.state) : undefined;
}

/** numpy's ndarray.__setstate__: (version, shape, dtype, is_fortran, bytes). */
function arrayOfState(state: PickleValue | undefined): PickledArray | undefined {
  if (!Array.isArray(state)) return undefined;
  const [, shape, dtype, columns, data] = state;
  const bytes = bytesOf(data);
  if (!Array.isArray(shape) || !isOpaque(dtype) || !Array.isArray(dtype.args) || !bytes) return undefined;
  const order = Array.isArray(dtype.state) ? dtype.state[1] : '|';
  const [code] = dtype.args;
  const type =
    isOpaque(code) && code.name === 'ml_dtypes.bfloat16'
      ? 'BF16'
      : DTYPES[typeof code === 'string' ? code : ''];
  const dims = shape.map(Number);
  if (type === undefined || order === '>' || byteLength(type, dims) !== bytes.length) return undefined;
  return { shape: dims, dtype: type, columns: columns === true, bytes };
}

/** The numbers of a numpy array; undefined when the value is none, or not little-endian. */
export function numpyArray(
  value: PickleValue | undefined,
): { shape: number[]; values: Float32Array } | undefined {
  const array = pickledArray(value);
  if (array === undefined) return undefined;
  const { dtype, shape, bytes, columns } = array;
  return { shape: [...shape], values: arrayInMemory('', dtype, shape, bytes, columns).numbers() };
}

/** Bytes, or text that protocol 2 turns into bytes by latin1. */
function bytesOf(value: PickleValue | undefined): Buffer | undefined {
  if (Buffer.isBuffer(value)) return value;
  if (isOpaque(value) && value.name === '_codecs.encode' && Array.isArray(value.args)) {
    const [text, encoding] = value.args;
    if (typeof text === 'string' && encoding === 'latin1') return Buffer.from(text, 'latin1');
  }
  return undefined;
}

export type NumpyDict = ReadonlyMap<string, { shape: number[]; values: Float32Array }>;

/** The arrays of a pickled dict by name (the original ACT's dataset_stats.pkl). */
export const openNumpyDict = (path: string): NumpyDict => withFile(path, readNumpyDict);

export function readNumpyDict(source: ByteSource): NumpyDict {
  if (source.size > MAX_PICKLE) throw corrupt(source, `a pickle of ${source.size} bytes is no statistics`);
  const root = readPickle(source, source.read(0, source.size));
  if (!(root instanceof Map)) throw corrupt(source, 'it is no pickled dict');
  return new Map(
    [...root].flatMap(([key, value]): [string, { shape: number[]; values: Float32Array }][] => {
      const array = typeof key === 'string' ? numpyArray(value) : undefined;
      return array === undefined ? [] : [[key as string, array]];
    }),
  );
}
