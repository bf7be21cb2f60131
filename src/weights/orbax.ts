// Orbax checkpoint folders in the zarr layout (zarr v2: one folder an array, `.zarray` with shape, chunks, dtype and
// compressor, one file a chunk named by its place in the grid). Orbax's newer OCDBT layout is one database and is refused
// with advice. Facts: orbax-checkpoint 0.12, zarr-specs v2.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { decompress } from 'fzstd';
import { TendonError } from '../types/index.js';
import { type ArrayFile, arrayInMemory, type StoredArray } from './arrays.js';
import { type ByteSource, corrupt, withFile } from './source.js';
import { byteLength, ELEMENT_BYTES, MAX_RANK } from './tensor.js';

const MAX_META_BYTES = 1 << 20;
const MAX_ARRAYS = 100_000;
const MAX_CHUNKS = 1 << 20;
const MAX_ARRAY_BYTES = 2 ** 31 - 1;

const DTYPES: Readonly<Record<string, string>> = {
  '<f8': 'F64',
  '<f4': 'F32',
  '<f2': 'F16',
  bfloat16: 'BF16',
  '<i8': 'I64',
  '<i4': 'I32',
  '<i2': 'I16',
  '|i1': 'I8',
  '<u4': 'U32',
  '|u1': 'U8',
  '|b1': 'BOOL',
};

export const isOrbaxFolder = (dir: string): boolean =>
  existsSync(join(dir, '_METADATA')) || existsSync(join(dir, 'manifest.ocdbt'));

/** Paths join keys by `/`, e.g. params/encoder/stem/kernel; chunks are read and joined when the numbers are asked for. */
export function openOrbax(dir: string): ArrayFile {
  if (existsSync(join(dir, 'manifest.ocdbt')))
    throw new TendonError(
      'unsupported',
      `${dir} is an orbax checkpoint in the OCDBT layout, which is a database of its own; restore it with orbax and save it with \`use_ocdbt=False\`, or as safetensors`,
      { dir },
    );
  const arrays = new Map<string, StoredArray>();
  for (const name of readdirSync(dir)) {
    if (!existsSync(join(dir, name, '.zarray'))) continue;
    if (arrays.size >= MAX_ARRAYS)
      throw new TendonError('file_corrupt', `${dir} has more than ${MAX_ARRAYS} arrays`, { dir });
    const path = name.replaceAll('.', '/');
    arrays.set(path, openArray(join(dir, name), path));
  }
  if (arrays.size === 0)
    throw new TendonError('file_corrupt', `${dir} names no arrays: expected folders with a .zarray file`, {
      dir,
    });
  return { path: dir, arrays };
}

interface Layout {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly chunks: readonly number[];
  readonly separator: string;
  readonly zstd: boolean;
  readonly columns: boolean;
}

function openArray(dir: string, name: string): StoredArray {
  const layout = withFile(join(dir, '.zarray'), readLayout);
  return {
    name,
    shape: layout.shape,
    dtype: layout.dtype,
    ref: undefined,
    numbers: () => numbersOf(dir, layout),
  };
}

/** The `.zarray` of an array, every field checked. */
export function readLayout(source: ByteSource): Layout {
  if (source.size > MAX_META_BYTES) throw corrupt(source, `a .zarray of ${source.size} bytes`);
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(source.read(0, source.size).toString('utf8')) as Record<string, unknown>;
  } catch (cause) {
    throw corrupt(source, `it is not JSON: ${(cause as Error).message}`);
  }
  const { shape, chunks, dtype, compressor, filters, order } = json ?? {};
  const type = typeof dtype === 'string' && Object.hasOwn(DTYPES, dtype) ? DTYPES[dtype]! : undefined;
  const codec = compressor === null ? null : (compressor as { id?: unknown } | undefined)?.id;
  if (type === undefined || (codec !== null && codec !== 'zstd') || (filters ?? null) !== null)
    throw new TendonError(
      'unsupported',
      `${source.path}: dtype ${String(dtype)}, compressor ${String(codec)}; expected a plain dtype, and zstd or no compressor, without filters`,
      { path: source.path },
    );
  const dims = (value: unknown, least: number): value is number[] =>
    Array.isArray(value) &&
    value.length <= MAX_RANK &&
    value.every((d) => Number.isSafeInteger(d) && d >= least && d <= 2 ** 31);
  if (!dims(shape, 0) || !dims(chunks, 1) || shape.length !== chunks.length)
    throw corrupt(source, 'its shape and chunks are no dims of one array');
  const grid = shape.reduce((n, d, i) => n * Math.ceil(d / chunks[i]!), 1);
  const whole = byteLength(type, shape);
  const piece = byteLength(type, chunks);
  if (
    !(grid <= MAX_CHUNKS) ||
    !((whole ?? Infinity) <= MAX_ARRAY_BYTES) ||
    !((piece ?? Infinity) <= MAX_ARRAY_BYTES)
  )
    throw corrupt(source, 'its array or its chunks are larger than any that is read');
  const separator = json.dimension_separator === '/' ? '/' : '.';
  return { dtype: type, shape, chunks, separator, zstd: codec === 'zstd', columns: order === 'F' };
}

/** All chunks put in their places; chunks are whole at the edges, and what lies outside the array is dropped. */
function numbersOf(dir: string, { dtype, shape, chunks, separator, zstd, columns }: Layout): Float32Array {
  const out = new Float32Array(shape.reduce((n, d) => n * d, 1));
  const grid = shape.map((d, i) => Math.ceil(d / chunks[i]!));
  const count = grid.reduce((n, d) => n * d, 1);
  const bytes = chunks.reduce((n, d) => n * d, ELEMENT_BYTES[dtype]!);
  for (let i = 0; i < count; i++) {
    const place = digits(i, grid);
    const file = join(dir, shape.length === 0 ? '0' : place.join(separator));
    // A chunk that was never written holds the fill value, which orbax leaves at 0.
    if (!existsSync(file)) continue;
    const data = withFile(file, (source) => chunkOf(source, bytes, zstd));
    const values = arrayInMemory('', dtype, chunks, data, columns).numbers();
    scatter(out, shape, values, chunks, place);
  }
  return out;
}

function chunkOf(source: ByteSource, bytes: number, zstd: boolean): Buffer {
  if (source.size > bytes + (bytes >> 3) + 1024)
    throw corrupt(source, `${source.size} bytes are too many for a chunk of ${bytes}`);
  const stored = source.read(0, source.size);
  let data: Uint8Array = stored;
  if (zstd)
    try {
      data = decompress(stored, new Uint8Array(bytes));
    } catch (cause) {
      throw corrupt(source, `its zstd frame is broken: ${(cause as Error).message}`);
    }
  if (data.length !== bytes) throw corrupt(source, `expected a chunk of ${bytes} bytes, got ${data.length}`);
  return Buffer.from(data.buffer, data.byteOffset, data.length);
}

function scatter(
  out: Float32Array,
  shape: readonly number[],
  values: Float32Array,
  chunks: readonly number[],
  place: readonly number[],
): void {
  for (let i = 0; i < values.length; i++) {
    const at = digits(i, chunks).map((digit, axis) => place[axis]! * chunks[axis]! + digit);
    if (at.every((digit, axis) => digit < shape[axis]!))
      out[at.reduce((n, digit, axis) => n * shape[axis]! + digit, 0)] = values[i]!;
  }
}

/** The digits of `i` in a mixed base, the last running fastest. */
function digits(i: number, base: readonly number[]): number[] {
  const out = new Array<number>(base.length);
  for (let axis = base.length - 1, rest = i; axis >= 0; axis--) {
    out[axis] = rest % base[axis]!;
    rest = Math.floor(rest / base[axis]!);
  }
  return out;
}
