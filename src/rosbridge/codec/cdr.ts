// Messages as ROS serialises them, for cbor-raw: CDR little endian (ROS 2; OMG DDSI-RTPS 10, numbers aligned to
// their size, strings with a closing zero) and ROS 1 (packed, no alignment, `seq` in front of a header).

import { TendonError } from '../../types/index.js';
import { canonicalType } from './protocol.js';
import { SCHEMAS } from './schemas.js';
import { readTime } from './time.js';

export type Serialisation = 'cdr' | 'ros1';

const SIZES: Readonly<Record<string, 1 | 2 | 4 | 8>> = {
  bool: 1,
  uint8: 1,
  int8: 1,
  uint16: 2,
  int16: 2,
  uint32: 4,
  int32: 4,
  float32: 4,
  float64: 8,
};
/** CDR_LE without options, in front of every ROS 2 message. */
const ENCAPSULATION = 0x00010000;

const refuse = (why: string): never => {
  throw new TendonError('bridge_protocol', `Expected a serialised ROS message: ${why}.`);
};
const fieldsOf = (type: string) => SCHEMAS[type] ?? refuse(`the fields of ${type} are not known here`);

/** Whether messages of `type` can be serialised here. */
export const isSerialisable = (type: string): boolean => canonicalType(type) in SCHEMAS;

class Writer {
  private bytes = Buffer.alloc(1024);
  private view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
  at = 0;

  constructor(private readonly kind: Serialisation) {
    if (kind === 'cdr') {
      this.view.setUint32(0, ENCAPSULATION);
      this.at = 4;
    }
  }

  finish(): Buffer {
    return this.bytes.subarray(0, this.at);
  }

  /** Makes room for `size` bytes aligned to `align`; returns where they start. */
  private room(size: number, align: number): number {
    if (this.kind === 'cdr') {
      const misaligned = (this.at - 4) % align;
      if (misaligned !== 0) this.at += align - misaligned;
    }
    const end = this.at + size;
    if (end > this.bytes.length) {
      const larger = Buffer.alloc(Math.max(end, this.bytes.length * 2));
      this.bytes.copy(larger);
      this.bytes = larger;
      this.view = new DataView(larger.buffer, larger.byteOffset, larger.byteLength);
    }
    const start = this.at;
    this.at = end;
    return start;
  }

  number(type: string, value: unknown): void {
    const number = value === null ? Number.NaN : Number(value ?? 0);
    const size = SIZES[type] as number;
    const at = this.room(size, size);
    if (type === 'float64') this.view.setFloat64(at, number, true);
    else if (type === 'float32') this.view.setFloat32(at, number, true);
    else if (size === 4) this.view.setUint32(at, number >>> 0, true);
    else if (size === 2) this.view.setUint16(at, number & 0xffff, true);
    else this.view.setUint8(at, number & 0xff);
  }

  string(value: unknown): void {
    const text = Buffer.from(String(value ?? ''), 'utf8');
    const closing = this.kind === 'cdr' ? 1 : 0;
    this.number('uint32', text.length + closing);
    const at = this.room(text.length + closing, 1);
    text.copy(this.bytes, at);
    if (closing) this.bytes[at + text.length] = 0;
  }

  value(type: string, value: unknown): void {
    if (type.endsWith('[]')) this.sequence(type.slice(0, -2), value);
    else if (type in SIZES) this.number(type, value);
    else if (type === 'string') this.string(value);
    else if (type === 'time' || type === 'duration') {
      const { sec, nanosec } = readTime(value) ?? { sec: 0, nanosec: 0 };
      this.number('int32', sec);
      this.number('uint32', nanosec);
    } else this.message(type, value);
  }

  private sequence(type: string, value: unknown): void {
    const given =
      type === 'uint8' && typeof value === 'string' ? Buffer.from(value, 'base64') : (value ?? []);
    const items = given as ArrayLike<unknown>;
    if (typeof items.length !== 'number') refuse(`a list of ${type}, got ${typeof value}`);
    this.number('uint32', items.length);
    if (items instanceof Uint8Array && type === 'uint8') {
      const at = this.room(items.length, 1);
      this.bytes.set(items, at);
    } else for (let i = 0; i < items.length; ++i) this.value(type, items[i]);
  }

  message(type: string, value: unknown): void {
    const given = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
    if (type === 'std_msgs/Header' && this.kind === 'ros1') this.number('uint32', given.seq);
    for (const [field, kind] of Object.entries(fieldsOf(type))) this.value(kind, given[field]);
  }
}

class Reader {
  private readonly view: DataView;
  at = 0;

  constructor(
    private readonly bytes: Uint8Array,
    private readonly kind: Serialisation,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (kind === 'cdr') {
      if (bytes.length < 4 || bytes[1] !== 1) refuse('CDR in little endian');
      this.at = 4;
    }
  }

  private take(size: number, align: number): number {
    if (this.kind === 'cdr') {
      const misaligned = (this.at - 4) % align;
      if (misaligned !== 0) this.at += align - misaligned;
    }
    const start = this.at;
    if (size > this.bytes.length - start)
      refuse(`${size} more bytes at ${start}, the message ends at ${this.bytes.length}`);
    this.at = start + size;
    return start;
  }

  number(type: string): number | boolean {
    const size = SIZES[type] as number;
    const at = this.take(size, size);
    const { view } = this;
    if (type === 'float64') return view.getFloat64(at, true);
    if (type === 'float32') return view.getFloat32(at, true);
    if (type === 'bool') return view.getUint8(at) !== 0;
    if (size === 4) return type === 'int32' ? view.getInt32(at, true) : view.getUint32(at, true);
    if (size === 2) return type === 'int16' ? view.getInt16(at, true) : view.getUint16(at, true);
    return type === 'int8' ? view.getInt8(at) : view.getUint8(at);
  }

  value(type: string): unknown {
    if (type.endsWith('[]')) return this.sequence(type.slice(0, -2));
    if (type in SIZES) return this.number(type);
    if (type === 'string') {
      const length = this.number('uint32') as number;
      const at = this.take(length, 1);
      const end = this.kind === 'cdr' && length > 0 ? at + length - 1 : at + length;
      return Buffer.from(this.bytes.buffer, this.bytes.byteOffset + at, end - at).toString('utf8');
    }
    if (type === 'time' || type === 'duration') {
      return { sec: this.number('int32'), nanosec: this.number('uint32') };
    }
    return this.message(type);
  }

  private sequence(type: string): unknown {
    const length = this.number('uint32') as number;
    const size = SIZES[type] ?? 4;
    if (length * size > this.bytes.length - this.at) refuse(`${length} items of ${type} at ${this.at}`);
    if (type === 'uint8') {
      const at = this.take(length, 1);
      return new Uint8Array(this.bytes.buffer, this.bytes.byteOffset + at, length);
    }
    return Array.from({ length }, () => this.value(type));
  }

  message(type: string): Record<string, unknown> {
    if (type === 'std_msgs/Header' && this.kind === 'ros1') this.number('uint32');
    const fields = Object.entries(fieldsOf(type));
    return Object.fromEntries(fields.map(([field, kind]) => [field, this.value(kind)]));
  }
}

/** The bytes of a message. Throws `bridge_protocol` for a type that is not in SCHEMAS. */
export function serialise(type: string, msg: Readonly<Record<string, unknown>>, kind: Serialisation): Buffer {
  const writer = new Writer(kind);
  writer.message(canonicalType(type), msg);
  return writer.finish();
}

/** The message in a cbor-raw envelope of a type that is known here; any other message as it is. */
export function unpackRaw(
  msg: Record<string, unknown>,
  type: string,
  kind: Serialisation,
): Record<string, unknown> {
  const { bytes } = msg;
  const raw = bytes instanceof Uint8Array && 'secs' in msg && 'nsecs' in msg && isSerialisable(type);
  return raw ? deserialise(type, bytes, kind) : msg;
}

/** The message in `bytes`; uint8[] are views of them. Throws `bridge_protocol`. */
export function deserialise(type: string, bytes: Uint8Array, kind: Serialisation): Record<string, unknown> {
  return new Reader(bytes, kind).message(canonicalType(type));
}
