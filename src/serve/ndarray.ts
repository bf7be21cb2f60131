// Arrays and scalars of numpy as remote inference carries them: bytes in C order with a dtype and a shape. Raw bytes stay as
// they came, so that a frame that is passed on is the same frame.

import { TendonError } from '../types/index.js';

const refuse = (why: string, fields: Record<string, unknown>): never => {
  throw new TendonError('input_invalid', why, fields);
};

/** numpy's dtype.str: byte order, kind, bytes of one element. */
const DTYPE = /^([<>|])([biuf])([1248])$/;
type Kind = 'b' | 'i' | 'u' | 'f';
type Numbers =
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array
  | Float32Array
  | Float64Array;

const VIEWS = {
  b1: Uint8Array,
  i1: Int8Array,
  i2: Int16Array,
  i4: Int32Array,
  i8: BigInt64Array,
  u1: Uint8Array,
  u2: Uint16Array,
  u4: Uint32Array,
  u8: BigUint64Array,
  f4: Float32Array,
  f8: Float64Array,
} as const;

export interface Dtype {
  readonly little: boolean;
  readonly kind: Kind;
  /** Bytes of one element. */
  readonly size: number;
}

/** Throws `input_invalid` for what is no plain number: records, objects, complex numbers, text. */
export function dtypeOf(text: string): Dtype {
  const [, order, kind, size] = DTYPE.exec(text) ?? [];
  if (kind === undefined || !(`${kind}${size}` in VIEWS || `${kind}${size}` === 'f2'))
    return refuse(`dtype: expected numbers or booleans such as "<f4" or "|u1", got "${text.slice(0, 20)}".`, {
      dtype: text,
    });
  return { little: order !== '>', kind: kind as Kind, size: Number(size) };
}

/** A numpy.ndarray. */
export class NdArray {
  readonly dtype: Dtype;

  /** `data` holds the elements in C order. Throws `input_invalid` when it does not hold `shape` of them. */
  constructor(
    readonly dtypeText: string,
    readonly shape: readonly number[],
    readonly data: Uint8Array,
  ) {
    this.dtype = dtypeOf(dtypeText);
    const whole = shape.every((length) => Number.isSafeInteger(length) && length >= 0);
    const bytes = shape.reduce((product, length) => product * length, this.dtype.size);
    if (!whole || shape.length > 32 || bytes !== data.length)
      refuse(`ndarray: ${data.length} bytes are not (${shape.join(', ')}) of ${dtypeText}.`, {
        shape: [...shape],
      });
  }

  /** Little-endian numbers as numpy holds them on the machines there are. */
  static of(values: Numbers, shape: readonly number[] = [values.length]): NdArray {
    const [name] = Object.entries(VIEWS).find(([key, View]) => key !== 'b1' && values instanceof View) ?? [
      '',
    ];
    const order = values.BYTES_PER_ELEMENT === 1 ? '|' : '<';
    return new NdArray(
      `${order}${name}`,
      shape,
      new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    );
  }

  /** Its numbers, in a copy of this machine's byte order; float16 is refused. */
  numbers(): Numbers {
    const { kind, size, little } = this.dtype;
    const name = `${kind}${size}`;
    if (!(name in VIEWS))
      return refuse(`ndarray: ${this.dtypeText} cannot be computed with; send "<f4".`, {});
    const bytes = Uint8Array.from(this.data);
    if (!little) for (let at = 0; at < bytes.length; at += size) bytes.subarray(at, at + size).reverse();
    return new VIEWS[name as keyof typeof VIEWS](bytes.buffer);
  }
}

/** One number with a dtype (numpy.generic). */
export class NpScalar {
  readonly dtype: Dtype;

  constructor(
    readonly dtypeText: string,
    readonly value: number | bigint | boolean,
  ) {
    this.dtype = dtypeOf(dtypeText);
    if ((this.dtype.kind === 'b') !== (typeof value === 'boolean'))
      refuse(`scalar: ${String(value)} is no ${dtypeText}.`, { dtype: dtypeText });
  }
}

/** A Python float: where a whole number must not go out as an int. */
export class Float {
  constructor(readonly value: number) {}
}
