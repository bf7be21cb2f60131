// openpi's msgpack wire, byte for byte: what openpi-client's own packer wrote (openpi_msgpack/vectors.json), both ways.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { Float, NdArray, NpScalar, packNumpy, unpackNumpy, type Wire } from '../../src/serve/index.js';
import { TendonError } from '../../src/types/index.js';

const vectors = JSON.parse(
  readFileSync(fileURLToPath(new URL('./openpi_msgpack/vectors.json', import.meta.url)), 'utf8'),
) as Record<string, string>;
const bytes = (name: string): Buffer => Buffer.from(vectors[name]!, 'hex');
const hex = (value: Wire): string => Buffer.from(packNumpy(value)).toString('hex');

const counted = Float64Array.from({ length: 14 }, (_, i) => i);
const picture = (value: number): NdArray => NdArray.of(new Uint8Array(12).fill(value), [2, 2, 3]);
/** What was packed; where Python had a float of a whole number, a Float. */
const VALUES: Readonly<Record<string, Wire>> = {
  metadata_empty: {},
  metadata: { reset_pose: [0, -1.5, 1.5, 0, 0, 0] },
  f32_2x3: NdArray.of(Float32Array.of(0, 1, 2, 3, 4, 5), [2, 3]),
  u8_img: NdArray.of(
    Uint8Array.from({ length: 12 }, (_, i) => i),
    [2, 2, 3],
  ),
  f64_vec: NdArray.of(Float64Array.of(1.5, -2.25)),
  i64: NdArray.of(BigInt64Array.of(1n, 2n, 3n)),
  bool: new NdArray('|b1', [2], Uint8Array.of(1, 0)),
  scalar_np_float32: new NpScalar('<f4', 1.5),
  scalar_np_bool: new NpScalar('|b1', true),
  scalar_np_int64: new NpScalar('<i8', -3),
  zero_d: NdArray.of(Float32Array.of(3), []),
  obs_libero: {
    'observation/state': NdArray.of(new Float64Array(8)),
    'observation/image': picture(7),
    'observation/wrist_image': picture(9),
    prompt: 'do something',
  },
  reply: {
    actions: NdArray.of(counted, [2, 7]),
    policy_timing: { infer_ms: 12.5 },
    server_timing: { infer_ms: 13.25, prev_total_ms: new Float(20) },
  },
  // numpy copies a Fortran array into C order before it goes out.
  fortran: NdArray.of(Float32Array.of(0, 1, 2, 3, 4, 5), [2, 3]),
  bigendian: new NdArray('>i4', [2], Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 2)),
};

describe('openpi_msgpack', () => {
  it('covers every recorded vector', () => {
    expect(Object.keys(VALUES)).toEqual(Object.keys(vectors));
  });

  it.each(Object.keys(vectors))('%s', (name) => {
    const value = VALUES[name]!;
    const read = unpackNumpy(bytes(name));
    // A float of a whole number is read as the number.
    const plain =
      name === 'reply'
        ? { ...(value as object), server_timing: { infer_ms: 13.25, prev_total_ms: 20 } }
        : value;
    expect(read).toEqual(plain);
    expect(hex(value)).toBe(vectors[name]);
    if (name !== 'reply') expect(hex(read)).toBe(vectors[name]);
  });

  it('arrays give their numbers in this machine’s order', () => {
    const numbers = (name: string) => (unpackNumpy(bytes(name)) as NdArray).numbers();
    expect(numbers('bigendian')).toEqual(Int32Array.of(1, 2));
    expect(numbers('f32_2x3')).toEqual(Float32Array.of(0, 1, 2, 3, 4, 5));
    expect(numbers('i64')).toEqual(BigInt64Array.of(1n, 2n, 3n));
    const { actions } = unpackNumpy(bytes('reply')) as { actions: NdArray };
    expect([actions.shape, actions.numbers()]).toEqual([[2, 7], counted]);
  });

  it('every size of number, text, list and map there and back, shortest form first', () => {
    const ints = [
      0,
      127,
      128,
      255,
      256,
      65_535,
      65_536,
      2 ** 32 - 1,
      2 ** 32,
      -1,
      -32,
      -33,
      -128,
      -129,
      -32_768,
    ];
    const more = [-32_769, -(2 ** 31), -(2 ** 31) - 1, Number.MAX_SAFE_INTEGER, 2n ** 64n - 1n, -(2n ** 63n)];
    for (const item of [...ints, ...more]) expect(unpackNumpy(packNumpy(item))).toEqual(item);
    const heads = [127, 128, 256, 65_536, 2 ** 32, -32, -33, -129, -32_769].map((n) => packNumpy(n)[0]);
    expect(heads).toEqual([0x7f, 0xcc, 0xcd, 0xce, 0xcf, 0xe0, 0xd0, 0xd1, 0xd2]);
    for (const length of [0, 31, 32, 255, 256, 65_535, 65_536]) {
      expect(unpackNumpy(packNumpy('é'.repeat(length)))).toBe('é'.repeat(length));
      expect(unpackNumpy(packNumpy(new Uint8Array(length).fill(3)))).toEqual(new Uint8Array(length).fill(3));
      expect(unpackNumpy(packNumpy(new Array<number>(length).fill(3)))).toEqual(new Array(length).fill(3));
    }
    const map = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`k${i}`, i / 4]));
    expect(unpackNumpy(packNumpy(map))).toEqual(map);
    for (const float of [0.5, -0, Number.NaN, Number.POSITIVE_INFINITY])
      expect(unpackNumpy(packNumpy(float))).toBe(float);
  });

  const bin = (text: string): string =>
    `c4${text.length.toString(16).padStart(2, '0')}${Buffer.from(text).toString('hex')}`;
  const array = (dtype: string, shape: string, data: string): string =>
    `84${bin('__ndarray__')}c3${bin('data')}${data}${bin('dtype')}${(0xa0 + dtype.length).toString(16)}${Buffer.from(dtype).toString('hex')}${bin('shape')}${shape}`;
  it.each([
    ['an object array', array('|O', '9101', 'c40101'), 'got "|O"'],
    ['a complex one', array('<c8', '9101', 'c40101'), 'got "<c8"'],
    ['a record', array('|V4', '9101', 'c40101'), 'got "|V4"'],
    ['fewer bytes than its shape', array('<f4', '9102', 'c40400000000'), '4 bytes are not (2) of <f4'],
    ['a shape of a billion squared', array('|u1', '92ce3b9aca00ce3b9aca00', 'c400'), '0 bytes are not'],
    [
      'a shape that is no list of numbers',
      array('<f4', '91a131', 'c40400000000'),
      'neither an array nor a scalar',
    ],
    ['a list of 2³² in 6 bytes', 'ddffffffff00', 'a list of 4294967295'],
    ['text beyond its end', 'dbffffffff61', 'ends early'],
    ['nesting without end', '91'.repeat(1000), 'nesting deeper'],
    ['an extension', 'd40001', '0xd4'],
    ['a number for a key', '810102', 'neither text nor bytes'],
    ['two items', '0102', '1 bytes follow'],
    ['nothing', '', 'ends early'],
  ])('%s is refused', (_, frame, why) => {
    expect(() => unpackNumpy(Buffer.from(frame, 'hex'))).toThrow(why);
  });

  it('10⁵ damaged frames end in a value or a refusal, and reach no prototype', () => {
    let state = 99;
    const draw = (below: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const proto = Buffer.from(packNumpy({ aproto__: { polluted: 1 } }))
      .toString('latin1')
      .replace('aproto__', '__proto_');
    const frames = [...Object.keys(vectors).map(bytes), Buffer.from(proto, 'latin1')];
    let [refused, read] = [0, 0];
    for (let i = 0; i < 100_000; ++i) {
      const frame = Buffer.from(frames[i % frames.length]!);
      for (let edits = 1 + draw(3); edits > 0; --edits) frame[draw(frame.length)] = draw(256);
      try {
        unpackNumpy(frame.subarray(0, draw(10) === 0 ? draw(frame.length) : frame.length));
        ++read;
      } catch (caught) {
        if (!(caught instanceof TendonError)) throw caught;
        ++refused;
      }
    }
    expect(Math.min(refused, read)).toBeGreaterThan(5000);
    expect(Reflect.get({}, 'polluted')).toBeUndefined();
    const named = unpackNumpy(Buffer.from('81a95f5f70726f746f5f5f81a0c3', 'hex')) as Record<string, Wire>;
    expect([Object.keys(named), Reflect.get({}, '')]).toEqual([['__proto__'], undefined]);
  });
});
