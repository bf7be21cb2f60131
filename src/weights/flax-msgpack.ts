// flax's msgpack files (flax.serialization: `checkpoint_<n>`, jaxrl's `actor`, `critic`, `value`): maps of maps whose leaves
// are extension 1, itself msgpack of [shape, dtype, raw bytes]. msgpackr reads the wire; nothing in a file is run.

import { addExtension, Unpackr } from 'msgpackr';
import { TendonError } from '../types/index.js';
import { type ArrayFile, arrayInFile, fits, type StoredArray } from './arrays.js';
import { scanMsgpack } from './msgpack-scan.js';
import { type ByteSource, corrupt, withFile } from './source.js';
import { MAX_RANK } from './tensor.js';

/** Larger models of this lineage are kept by orbax. */
const MAX_BYTES = 2 ** 31 - 1;
const MAX_DEPTH = 64;
const MAX_ARRAYS = 100_000;

const DTYPES: Readonly<Record<string, string>> = {
  float64: 'F64',
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
  int64: 'I64',
  int32: 'I32',
  int16: 'I16',
  int8: 'I8',
  uint32: 'U32',
  uint8: 'U8',
  bool: 'BOOL',
};

/** Bytes of an extension that flax defines: 1 an array, 3 a numpy scalar (the same layout), 2 a complex number. */
class Extension {
  constructor(
    readonly type: number,
    readonly bytes: Uint8Array,
  ) {}
}

export const openFlaxMsgpack = (path: string): ArrayFile => withFile(path, readFlaxMsgpack);

/** Paths join keys by `/`. Throws `file_corrupt` for what is no such file, `unsupported` for leaves in several pieces. */
export function readFlaxMsgpack(source: ByteSource): ArrayFile {
  if (source.size > MAX_BYTES)
    throw new TendonError(
      'unsupported',
      `${source.path} has ${source.size} bytes; flax files up to ${MAX_BYTES} are read`,
    );
  const file = source.read(0, source.size);
  const arrays = new Map<string, StoredArray>();
  const visit = (value: unknown, path: string, depth: number): void => {
    if (depth > MAX_DEPTH) throw corrupt(source, `its maps are nested more than ${MAX_DEPTH} deep`);
    if (value instanceof Extension) {
      if (value.type === 2) return;
      if (arrays.size >= MAX_ARRAYS) throw corrupt(source, `it has more than ${MAX_ARRAYS} arrays`);
      arrays.set(path, leaf(source, file, path, value));
    } else if (value instanceof Map) {
      if (value.get('__msgpack_chunked_array__') !== undefined)
        throw new TendonError(
          'unsupported',
          `${source.path}: ${path} is kept in several pieces, as flax does beyond 1 GiB; save the tree as safetensors`,
          { path: source.path, name: path },
        );
      for (const [key, child] of value)
        visit(child, path === '' ? String(key) : `${path}/${String(key)}`, depth + 1);
    } else if (typeof value === 'string' && value.startsWith('PLACEHOLDER://')) {
      throw new TendonError(
        'unsupported',
        `${source.path}: ${path} lies elsewhere (${value.slice(0, 80)}); name the orbax folder that holds the arrays`,
        { path: source.path, name: path },
      );
    }
  };
  visit(decode(source, file), '', 0);
  if (arrays.size === 0) throw corrupt(source, 'it names no arrays');
  return { path: source.path, arrays };
}

/** An array in its extension: msgpack of [shape, dtype name, raw bytes]. */
function leaf(source: ByteSource, file: Buffer, path: string, { bytes }: Extension): StoredArray {
  const parts = decode(source, bytes);
  const [shape, name, data] = Array.isArray(parts) ? parts : [];
  const dtype = typeof name === 'string' && Object.hasOwn(DTYPES, name) ? DTYPES[name]! : undefined;
  if (dtype === undefined)
    throw new TendonError(
      'unsupported',
      `${source.path}: ${path} has the dtype ${String(name).slice(0, 40)}; expected one of ${Object.keys(DTYPES).join(', ')}`,
      { path: source.path, name: path },
    );
  if (
    !Array.isArray(shape) ||
    shape.length > MAX_RANK ||
    !shape.every((d) => Number.isSafeInteger(d) && d >= 0) ||
    !(data instanceof Uint8Array) ||
    !fits(dtype, shape, data.length)
  )
    throw corrupt(source, `${path}: its bytes are not an array of the shape and dtype it states`);
  const offset = data.byteOffset - file.byteOffset;
  return arrayInFile({ name: path, shape, dtype, file: source.path, offset });
}

for (const type of [1, 2, 3])
  addExtension({ type, unpack: (bytes: Uint8Array) => new Extension(type, bytes) });

/** Views into `bytes`; only after the walk above has seen that nothing else than data is in it. */
function decode(source: ByteSource, bytes: Uint8Array): unknown {
  scanMsgpack(source, bytes, MAX_DEPTH, [1, 2, 3]);
  try {
    return new Unpackr({ mapsAsObjects: false, copyBuffers: false, useRecords: false }).unpack(bytes);
  } catch (cause) {
    throw corrupt(source, `it is no msgpack: ${(cause as Error).message}`);
  }
}
