// Safetensors: an 8-byte length, a JSON header, then the bytes of the tensors. Only the header is read here; the core
// maps the file itself at offsets that have been checked against its size.

import { closeSync, fstatSync, openSync, readSync, writeFileSync } from 'node:fs';
import type { TensorRef } from '../native/index.js';
import { TendonError } from '../types/index.js';

const ELEMENT_BYTES: Readonly<Record<string, number>> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
};
/** As the reference implementation: a header above this is refused unread. */
const MAX_HEADER_BYTES = 100_000_000;
const MAX_RANK = 16;

/** A file of named tensors; numbers are read on demand. */
export interface WeightFile {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, TensorRef>;
  readonly metadata: Readonly<Record<string, string>>;
}

export function openSafetensors(path: string): WeightFile {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (cause) {
    throw new TendonError(
      'file_missing',
      `cannot open ${path}: ${(cause as Error).message}`,
      { path },
      { cause },
    );
  }
  try {
    const size = fstatSync(fd).size;
    const prefix = readAt(fd, path, 0, 8, size);
    const length = Number(prefix.readBigUInt64LE(0));
    if (length > MAX_HEADER_BYTES || length > size - 8 || length < 2)
      throw corrupt(path, `its header claims ${length} bytes, the file has ${size}; it may be truncated`);
    const header = parseHeader(path, readAt(fd, path, 8, length, size));
    return { path, ...checkHeader(path, header, 8 + length, size) };
  } finally {
    closeSync(fd);
  }
}

function corrupt(path: string, what: string): TendonError {
  return new TendonError('file_corrupt', `${path} is not a whole safetensors file: ${what}`, { path });
}

function readAt(fd: number, path: string, at: number, count: number, size: number): Buffer {
  if (at + count > size) throw corrupt(path, `${at + count} bytes are needed, the file has ${size}`);
  const buffer = Buffer.alloc(count);
  let done = 0;
  while (done < count) {
    const got = readSync(fd, buffer, done, count - done, at + done);
    if (got === 0) throw corrupt(path, 'it ended while being read');
    done += got;
  }
  return buffer;
}

function parseHeader(path: string, bytes: Buffer): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw corrupt(path, `its header is not JSON (${(cause as Error).message})`);
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header))
    throw corrupt(path, 'its header is not an object');
  return header as Record<string, unknown>;
}

function checkHeader(path: string, header: Record<string, unknown>, dataStart: number, size: number) {
  const tensors = new Map<string, TensorRef>();
  const spans: [number, number, string][] = [];
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') {
      metadata = Object.fromEntries(Object.entries(value ?? {}).map(([k, v]) => [k, String(v)]));
      continue;
    }
    const entry = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
    const { dtype, shape, data_offsets: offsets } = entry;
    const width =
      typeof dtype === 'string' && Object.hasOwn(ELEMENT_BYTES, dtype) ? ELEMENT_BYTES[dtype] : undefined;
    if (width === undefined) throw corrupt(path, `tensor ${name} has an unknown dtype ${String(dtype)}`);
    if (!isIntegers(shape) || shape.length > MAX_RANK)
      throw corrupt(path, `tensor ${name} has no valid shape`);
    if (!isIntegers(offsets) || offsets.length !== 2)
      throw corrupt(path, `tensor ${name} has no valid data_offsets`);
    const [begin, end] = offsets as [number, number];
    const bytes = shape.reduce((n, d) => n * d, width);
    if (!Number.isSafeInteger(bytes) || end - begin !== bytes || dataStart + end > size)
      throw corrupt(
        path,
        `tensor ${name} [${shape}] ${String(dtype)} needs ${bytes} bytes, its offsets ${begin}…${end} in a file of ${size} do not fit`,
      );
    spans.push([begin, end, name]);
    tensors.set(name, { name, shape, dtype: dtype as string, file: path, offset: dataStart + begin });
  }
  spans.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  for (let i = 1; i < spans.length; i++)
    if (spans[i]![0] < spans[i - 1]![1])
      throw corrupt(path, `tensors ${spans[i - 1]![2]} and ${spans[i]![2]} overlap`);
  return { tensors, metadata };
}

function isIntegers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((v) => Number.isSafeInteger(v) && v >= 0);
}

/** The numbers of a tensor as f32, for statistics and other small things. */
export function readTensor(ref: TensorRef): Float32Array {
  const width = ELEMENT_BYTES[ref.dtype]!;
  const count = ref.shape.reduce((n, d) => n * d, 1);
  const fd = openSync(ref.file, 'r');
  try {
    const bytes = readAt(fd, ref.file, ref.offset, count * width, fstatSync(fd).size);
    return convert(bytes, ref.dtype, count, ref.name);
  } finally {
    closeSync(fd);
  }
}

function convert(bytes: Buffer, dtype: string, count: number, name: string): Float32Array {
  const out = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    switch (dtype) {
      case 'F32':
        out[i] = bytes.readFloatLE(4 * i);
        break;
      case 'F64':
        out[i] = bytes.readDoubleLE(8 * i);
        break;
      case 'BF16':
        out[i] = swapBf16(bytes.readUInt16LE(2 * i));
        break;
      case 'F16':
        out[i] = halfToFloat(bytes.readUInt16LE(2 * i));
        break;
      case 'I64':
        out[i] = Number(bytes.readBigInt64LE(8 * i));
        break;
      case 'I32':
        out[i] = bytes.readInt32LE(4 * i);
        break;
      case 'I8':
        out[i] = bytes.readInt8(i);
        break;
      case 'U8':
      case 'BOOL':
        out[i] = bytes.readUInt8(i);
        break;
      default:
        throw new TendonError('unsupported', `tensor ${name}: reading ${dtype} is not supported`, { dtype });
    }
  }
  return out;
}

const BITS = new DataView(new ArrayBuffer(4));

function swapBf16(bits: number): number {
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

/** Writes f32 tensors; `metadata` becomes `__metadata__`. */
export function writeSafetensors(
  path: string,
  tensors: Readonly<Record<string, { readonly shape: readonly number[]; readonly values: Float32Array }>>,
  metadata: Readonly<Record<string, string>> = {},
): void {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let offset = 0;
  for (const [name, { shape, values }] of Object.entries(tensors)) {
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + values.byteLength] };
    offset += values.byteLength;
  }
  let text = JSON.stringify(header);
  text += ' '.repeat((8 - (Buffer.byteLength(text) % 8)) % 8);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(text)));
  const bodies = Object.values(tensors).map((t) =>
    Buffer.from(t.values.buffer, t.values.byteOffset, t.values.byteLength),
  );
  writeFileSync(path, Buffer.concat([length, Buffer.from(text), ...bodies]));
}
