// Protocol buffers, as far as reading needs them: the fields of one message, each with its place in the file. Lengths
// are held against the message's end, so that no field can reach out of it; nothing is copied until it is asked for.

import { type ByteSource, corrupt } from './source.js';

export interface Field {
  readonly number: number;
  /** 0 varint, 1 eight bytes, 2 length-delimited, 5 four bytes. */
  readonly wire: number;
  /** Of a varint. */
  readonly value: number;
  readonly at: number;
  readonly length: number;
}

const WINDOW = 1 << 14;

export class Message {
  private window: Uint8Array = new Uint8Array(0);
  private windowAt = 0;

  constructor(
    readonly source: ByteSource,
    readonly at = 0,
    readonly length = source.size,
  ) {}

  *fields(): Generator<Field> {
    const end = this.at + this.length;
    let at = this.at;
    const varint = (): number => {
      let value = 0n;
      for (let shift = 0n; ; shift += 7n) {
        if (at >= end || shift > 63n) throw corrupt(this.source, `a number at byte ${at} does not end`);
        const byte = this.byte(at++);
        value |= BigInt(byte & 0x7f) << shift;
        if (byte < 0x80) return Number(BigInt.asIntN(64, value));
      }
    };
    while (at < end) {
      const key = varint();
      const number = Math.floor(key / 8);
      const wire = key & 7;
      if (number < 1) throw corrupt(this.source, `field ${number} at byte ${at}`);
      if (wire === 0) {
        const start = at;
        const value = varint();
        yield { number, wire, value, at: start, length: at - start };
        continue;
      }
      const length = wire === 2 ? varint() : wire === 1 ? 8 : wire === 5 ? 4 : -1;
      if (length < 0 || length > end - at)
        throw corrupt(this.source, `field ${number} at byte ${at} is longer than its message`);
      yield { number, wire, value: 0, at, length };
      at += length;
    }
  }

  inner(field: Field): Message {
    if (field.wire !== 2) throw corrupt(this.source, `field ${field.number} should be a message`);
    return new Message(this.source, field.at, field.length);
  }

  bytes(field: Field): Buffer {
    return this.source.read(field.at, field.length);
  }

  text(field: Field): string {
    return this.bytes(field).toString('utf8');
  }

  float(field: Field): number {
    if (field.wire !== 5) throw corrupt(this.source, `field ${field.number} should be a float`);
    return this.bytes(field).readFloatLE(0);
  }

  /** A repeated number, packed or one by one. */
  varints(field: Field): number[] {
    if (field.wire === 0) return [field.value];
    const values: number[] = [];
    const bytes = this.bytes(field);
    for (let at = 0; at < bytes.length; ) {
      let value = 0n;
      for (let shift = 0n; ; shift += 7n) {
        if (at >= bytes.length || shift > 63n)
          throw corrupt(this.source, `a number at byte ${field.at + at} does not end`);
        const byte = bytes[at++]!;
        value |= BigInt(byte & 0x7f) << shift;
        if (byte < 0x80) break;
      }
      values.push(Number(BigInt.asIntN(64, value)));
    }
    return values;
  }

  private byte(at: number): number {
    if (at < this.windowAt || at >= this.windowAt + this.window.length) {
      this.window = this.source.read(at, Math.min(WINDOW, this.source.size - at));
      this.windowAt = at;
    }
    return this.window[at - this.windowAt]!;
  }
}
