// Tensors by name and place, whatever the file's format, and their numbers on demand.

import type { TensorRef } from '../native/index.js';
import { TendonError } from '../types/index.js';
import { withFile } from './source.js';

export const ELEMENT_BYTES: Readonly<Record<string, number>> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  U32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
};
export const MAX_RANK = 16;

/** A file of named tensors; only its header has been read, and every offset checked. */
export interface WeightFile {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, TensorRef>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Bytes of a tensor, or undefined when the product of its dims is no exact number. */
export function byteLength(dtype: string, shape: readonly number[]): number | undefined {
  const bytes = shape.reduce((n, d) => n * d, ELEMENT_BYTES[dtype] ?? Number.NaN);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** The numbers of a tensor as f32, for statistics and other small things. */
export function readTensor(ref: TensorRef): Float32Array {
  const count = ref.shape.reduce((n, d) => n * d, 1);
  const bytes = withFile(ref.file, (source) => source.read(ref.offset, count * ELEMENT_BYTES[ref.dtype]!));
  const out = new Float32Array(count);
  decodeElements(bytes, ref.dtype, out);
  return out;
}

/** Little-endian elements as numbers; whole numbers of 64 bits as far as a double holds them. */
export function decodeElements(bytes: Buffer, dtype: string, out: Float32Array | Float64Array): void {
  const read = READERS[dtype];
  if (read === undefined)
    throw new TendonError('unsupported', `reading tensors of ${dtype} is not supported`, { dtype });
  const width = ELEMENT_BYTES[dtype]!;
  for (let i = 0; i < out.length; i++) out[i] = read(bytes, i * width);
}

const READERS: Readonly<Record<string, (bytes: Buffer, at: number) => number>> = {
  F64: (b, at) => b.readDoubleLE(at),
  F32: (b, at) => b.readFloatLE(at),
  F16: (b, at) => halfToFloat(b.readUInt16LE(at)),
  BF16: (b, at) => bf16ToFloat(b.readUInt16LE(at)),
  I64: (b, at) => Number(b.readBigInt64LE(at)),
  I32: (b, at) => b.readInt32LE(at),
  U32: (b, at) => b.readUInt32LE(at),
  I16: (b, at) => b.readInt16LE(at),
  I8: (b, at) => b.readInt8(at),
  U8: (b, at) => b.readUInt8(at),
  BOOL: (b, at) => b.readUInt8(at),
};

const BITS = new DataView(new ArrayBuffer(4));

function bf16ToFloat(bits: number): number {
  BITS.setUint32(0, bits << 16);
  return BITS.getFloat32(0);
}

function halfToFloat(h: number): number {
  const sign = h & 0x8000 ? -1 : 1;
  const exponent = (h >> 10) & 0x1f;
  const mantissa = h & 0x3ff;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}
