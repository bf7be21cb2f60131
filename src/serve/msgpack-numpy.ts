// The wire of openpi's policy server: msgpack in which numpy arrays are maps with binary keys (openpi-client's
// msgpack_numpy). Byte for byte what Python's packer writes; no library packs binary keys and ints beside whole floats.

import { TendonError } from '../types/index.js';
import { Float, NdArray, NpScalar } from './ndarray.js';

export type Wire =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Float
  | NdArray
  | NpScalar
  | readonly Wire[]
  | { readonly [key: string]: Wire };

const MAX_DEPTH = 32;
const refuse = (why: string, fields: Record<string, unknown> = {}): never => {
  throw new TendonError('input_invalid', `msgpack: ${why}.`, fields);
};

class Packer {
  private readonly parts: Uint8Array[] = [];

  bytes(): Uint8Array {
    return Buffer.concat(this.parts);
  }

  /** A head byte and a big-endian number of `size` bytes. */
  private head(byte: number, size: 0 | 1 | 2 | 4 | 8, value: number | bigint = 0): void {
    const out = Buffer.alloc(1 + size);
    out[0] = byte;
    for (let at = size, rest = BigInt.asUintN(64, BigInt(value)); at > 0; --at, rest >>= 8n)
      out[at] = Number(rest & 0xffn);
    this.parts.push(out);
  }

  /** The shortest of: a length in the head, in one byte (where there is such a head), in two, in four. */
  private length(n: number, small: number, below: number, one: number | undefined, two: number): void {
    if (n < below) this.head(small | n, 0);
    else if (one !== undefined && n < 0x100) this.head(one, 1, n);
    else if (n < 0x10000) this.head(two, 2, n);
    else this.head(two + 1, 4, n);
  }

  private int(value: bigint): void {
    if (value >= 0n) {
      if (value < 0x80n) this.head(Number(value), 0);
      else if (value < 0x100n) this.head(0xcc, 1, value);
      else if (value < 0x10000n) this.head(0xcd, 2, value);
      else if (value < 0x100000000n) this.head(0xce, 4, value);
      else if (value < 1n << 64n) this.head(0xcf, 8, value);
      else refuse(`${value} is beyond 64 bits`);
    } else if (value >= -0x20n) this.head(0x100 + Number(value), 0);
    else if (value >= -0x80n) this.head(0xd0, 1, value);
    else if (value >= -0x8000n) this.head(0xd1, 2, value);
    else if (value >= -0x80000000n) this.head(0xd2, 4, value);
    else if (value >= -(1n << 63n)) this.head(0xd3, 8, value);
    else refuse(`${value} is beyond 64 bits`);
  }

  private float(value: number): void {
    const out = Buffer.alloc(9, 0xcb);
    out.writeDoubleBE(value, 1);
    this.parts.push(out);
  }

  private text(value: string): void {
    const bytes = Buffer.from(value, 'utf8');
    this.length(bytes.length, 0xa0, 32, 0xd9, 0xda);
    this.parts.push(bytes);
  }

  private bin(bytes: Uint8Array): void {
    this.length(bytes.length, 0, 0, 0xc4, 0xc5);
    this.parts.push(bytes);
  }

  private key(name: string): void {
    this.bin(Buffer.from(name));
  }

  value(item: Wire): void {
    if (item === null) this.head(0xc0, 0);
    else if (typeof item === 'boolean') this.head(item ? 0xc3 : 0xc2, 0);
    else if (typeof item === 'number')
      Number.isSafeInteger(item) && !Object.is(item, -0) ? this.int(BigInt(item)) : this.float(item);
    else if (typeof item === 'bigint') this.int(item);
    else if (typeof item === 'string') this.text(item);
    else if (item instanceof Float) this.float(item.value);
    else if (item instanceof Uint8Array) this.bin(item);
    else if (item instanceof NdArray) this.array(item);
    else if (item instanceof NpScalar) this.scalar(item);
    else if (Array.isArray(item)) {
      this.length(item.length, 0x90, 16, undefined, 0xdc);
      for (const one of item) this.value(one);
    } else {
      const entries = Object.entries(item as { readonly [key: string]: Wire });
      this.length(entries.length, 0x80, 16, undefined, 0xde);
      for (const [key, one] of entries) {
        this.text(key);
        this.value(one);
      }
    }
  }

  private array({ data, dtypeText, shape }: NdArray): void {
    this.head(0x84, 0);
    this.key('__ndarray__');
    this.head(0xc3, 0);
    this.key('data');
    this.bin(data);
    this.key('dtype');
    this.text(dtypeText);
    this.key('shape');
    this.value(shape);
  }

  private scalar({ value, dtype, dtypeText }: NpScalar): void {
    this.head(0x83, 0);
    this.key('__npgeneric__');
    this.head(0xc3, 0);
    this.key('data');
    this.value(dtype.kind === 'f' ? new Float(Number(value)) : value);
    this.key('dtype');
    this.text(dtypeText);
  }
}

class Unpacker {
  private at = 0;
  private readonly bytes: Uint8Array;
  private readonly view: DataView;

  constructor({ buffer, byteOffset, byteLength }: Uint8Array) {
    this.bytes = new Uint8Array(buffer, byteOffset, byteLength);
    this.view = new DataView(buffer, byteOffset, byteLength);
  }

  whole(): Wire {
    const item = this.value(0);
    if (this.at !== this.bytes.length) refuse(`${this.bytes.length - this.at} bytes follow the end`);
    return item;
  }

  /** Where the next `n` bytes begin. */
  private take(n: number): number {
    if (n > this.bytes.length - this.at) refuse(`the frame ends early at byte ${this.at}`, { at: this.at });
    const from = this.at;
    this.at += n;
    return from;
  }

  private uint(size: number): number {
    const from = this.take(size);
    if (size === 1) return this.view.getUint8(from);
    return size === 2 ? this.view.getUint16(from) : this.view.getUint32(from);
  }

  private text(length: number): string {
    const from = this.take(length);
    return Buffer.from(this.bytes.buffer, this.bytes.byteOffset + from, length).toString('utf8');
  }

  private bin(length: number): Uint8Array {
    const from = this.take(length);
    return this.bytes.subarray(from, from + length);
  }

  private value(depth: number): Wire {
    if (depth > MAX_DEPTH) refuse(`nesting deeper than ${MAX_DEPTH}`);
    const head = this.uint(1);
    if (head < 0x80) return head;
    if (head < 0x90) return this.map(head & 15, depth);
    if (head < 0xa0) return this.list(head & 15, depth);
    if (head < 0xc0) return this.text(head & 31);
    if (head >= 0xe0) return head - 0x100;
    switch (head) {
      case 0xc0:
        return null;
      case 0xc2:
      case 0xc3:
        return head === 0xc3;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.bin(this.uint(1 << (head - 0xc4)));
      case 0xca:
        return this.view.getFloat32(this.take(4));
      case 0xcb:
        return this.view.getFloat64(this.take(8));
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.uint(1 << (head - 0xcc));
      case 0xcf:
        return small(this.view.getBigUint64(this.take(8)));
      case 0xd0:
        return this.view.getInt8(this.take(1));
      case 0xd1:
        return this.view.getInt16(this.take(2));
      case 0xd2:
        return this.view.getInt32(this.take(4));
      case 0xd3:
        return small(this.view.getBigInt64(this.take(8)));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.text(this.uint(1 << (head - 0xd9)));
      case 0xdc:
      case 0xdd:
        return this.list(this.uint(head === 0xdc ? 2 : 4), depth);
      case 0xde:
      case 0xdf:
        return this.map(this.uint(head === 0xde ? 2 : 4), depth);
      default:
        return refuse(`0x${head.toString(16)} is no item of this wire`, { at: this.at - 1 });
    }
  }

  private list(length: number, depth: number): Wire[] {
    // One byte an item at the least: a length that the frame cannot hold is refused before anything is made of it.
    if (length > this.bytes.length - this.at) refuse(`a list of ${length} in a frame that ends before`);
    const items: Wire[] = [];
    for (let i = 0; i < length; ++i) items.push(this.value(depth + 1));
    return items;
  }

  /** A map with text keys; one with binary keys is an array or a scalar. */
  private map(length: number, depth: number): Wire {
    const plain = Object.create(null) as Record<string, Wire>;
    const numpy = new Map<string, Wire>();
    for (let i = 0; i < length; ++i) {
      const key = this.value(depth + 1);
      const name = key instanceof Uint8Array ? Buffer.from(key).toString('latin1') : key;
      if (typeof name !== 'string') return refuse('a key that is neither text nor bytes');
      const item = this.value(depth + 1);
      if (key instanceof Uint8Array) numpy.set(name, item);
      else plain[name] = item;
    }
    if (numpy.size === 0) return plain;
    const dtype = numpy.get('dtype');
    const data = numpy.get('data');
    if (numpy.size === length && typeof dtype === 'string') {
      const shape = numpy.get('shape');
      const lengths =
        Array.isArray(shape) && shape.every((n) => typeof n === 'number') ? (shape as number[]) : undefined;
      if (numpy.get('__ndarray__') === true && data instanceof Uint8Array && lengths !== undefined)
        return new NdArray(dtype, lengths, data);
      if (numpy.get('__npgeneric__') === true && ['number', 'bigint', 'boolean'].includes(typeof data))
        return new NpScalar(dtype, data as number | bigint | boolean);
    }
    return refuse(
      `a map with binary keys that is neither an array nor a scalar: ${[...numpy.keys()].join(', ').slice(0, 80)}`,
    );
  }
}

const small = (value: bigint): number | bigint =>
  Number.isSafeInteger(Number(value)) ? Number(value) : value;

/** The frame that Python's openpi-client would send for `value`. A whole number is an int unless it is a `Float`. */
export function packNumpy(value: Wire): Uint8Array {
  const packer = new Packer();
  packer.value(value);
  return packer.bytes();
}

/** Reads one frame; arrays are views into it. Maps have no prototype. Throws `input_invalid` for anything else. */
export const unpackNumpy = (frame: Uint8Array): Wire => new Unpacker(frame).whole();
