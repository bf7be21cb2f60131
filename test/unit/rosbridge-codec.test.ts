// The codec without sockets: frames as each server writes them, and 100,000 frames that nobody should write.

import { readFileSync } from 'node:fs';
import { deflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { encodeCbor, parseCbor } from '../../src/rosbridge/codec/cbor.js';
import { FrameDecoder } from '../../src/rosbridge/codec/decoder.js';
import { cutFragments } from '../../src/rosbridge/codec/fragments.js';
import { parseJson, stringifyJson } from '../../src/rosbridge/codec/json.js';
import { decodePng, pngToText, textToPng } from '../../src/rosbridge/codec/png.js';
import { canonicalType, checkOp, OPS, ros2Type } from '../../src/rosbridge/codec/protocol.js';
import { TendonError } from '../../src/types/index.js';
import { cases } from './mutations.js';

const text = (value: unknown) => Buffer.from(JSON.stringify(value));

describe('ops', () => {
  const sample: Record<string, unknown> = {
    string: 'x',
    number: 1,
    boolean: true,
    id: 'i',
    object: {},
    args: [],
    bytes: 'AA==',
    any: null,
  };

  it.each(Object.keys(OPS) as (keyof typeof OPS)[])('%s: wants its fields and their kinds', (op) => {
    const { required } = OPS[op] as { required: Record<string, string> };
    const frame = {
      op,
      ...Object.fromEntries(Object.entries(required).map(([key, kind]) => [key, sample[kind]])),
    };
    expect(checkOp({ ...frame })).toEqual(frame);
    for (const field of Object.keys(required)) {
      expect(() => checkOp({ ...frame, [field]: undefined })).toThrow(`"${field}"`);
    }
  });

  it('takes null in an optional field for absent, and a number for an id', () => {
    expect(checkOp({ op: 'subscribe', id: 7, topic: '/a', type: null })).toEqual({
      op: 'subscribe',
      id: 7,
      topic: '/a',
    });
  });

  it('says which ops exist when given another', () => {
    expect(() => checkOp({ op: 'teleport' })).toThrow(/call_service.*got "teleport"/);
    expect(() => checkOp([1])).toThrow('one object');
  });

  it('reads both spellings of a type', () => {
    expect(canonicalType('sensor_msgs/msg/JointState')).toBe('sensor_msgs/JointState');
    expect(canonicalType('sensor_msgs/JointState')).toBe('sensor_msgs/JointState');
    expect(ros2Type('std_srvs/Trigger', 'srv')).toBe('std_srvs/srv/Trigger');
  });
});

describe('JSON', () => {
  it('reads the bare NaN and Infinity of Python, but not inside strings', () => {
    const frame = '{"a":[NaN,-Infinity,Infinity,1],"s":"NaN \\" Infinity","b":NaN}';
    expect(parseJson(frame)).toEqual({
      a: [Number.NaN, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, 1],
      s: 'NaN " Infinity',
      b: Number.NaN,
    });
  });

  it('stays linear on a long string with a bare NaN behind it', () => {
    const long = 'x'.repeat(4_000_000);
    expect(parseJson(`{"d":"${long}","n":NaN}`)).toMatchObject({ n: Number.NaN });
  });

  it('says what is wrong with text that is not JSON', () => {
    expect(() => parseJson('{"op":NaN,')).toThrow(TendonError);
    expect(() => parseJson('')).toThrow('in JSON');
  });

  it('writes bytes as base64 or a list, typed arrays as lists, NaN as null', () => {
    const value = { u: Uint8Array.of(1, 2), f: Float64Array.of(1, Number.NaN), n: 5n };
    expect(stringifyJson(value)).toBe('{"u":"AQI=","f":[1,null],"n":5}');
    expect(stringifyJson(value, 'list')).toBe('{"u":[1,2],"f":[1,null],"n":5}');
    expect(stringifyJson({ list: [1, 2n] })).toBe('{"list":[1,2]}');
  });

  it('refuses to round a 64-bit integer', () => {
    expect(() => stringifyJson({ n: 2n ** 60n })).toThrow('Use CBOR');
  });
});

describe('CBOR', () => {
  it('carries typed arrays, bytes, NaN and 64-bit integers', () => {
    const value = {
      bytes: Uint8Array.of(1, 2, 3),
      doubles: Float64Array.of(1.5, Number.NaN),
      floats: Float32Array.of(0.25),
      longs: BigInt64Array.of(-(2n ** 60n)),
      big: 2n ** 60n,
      nested: [{ a: 'é' }, null, true, -7],
    };
    const back = parseCbor(encodeCbor(value)) as typeof value;
    expect(back.doubles).toBeInstanceOf(Float64Array);
    expect(back.longs).toBeInstanceOf(BigInt64Array);
    expect({ ...back, bytes: Uint8Array.from(back.bytes) }).toEqual(value);
  });

  const typed: [number, string, number[]][] = [
    [64, '0102', [1, 2]],
    [65, '00010002', [1, 2]],
    [69, '01000200', [1, 2]],
    [66, '00000001', [1]],
    [70, '01000000', [1]],
    [72, 'ff', [-1]],
    [73, 'fffe', [-2]],
    [77, 'feff', [-2]],
    [74, 'fffffffe', [-2]],
    [78, 'feffffff', [-2]],
    [80, '3c00c000', [1, -2]],
    [84, '003c00c0', [1, -2]],
    [81, '3fc00000', [1.5]],
    [85, '0000c03f', [1.5]],
    [82, '3ff8000000000000', [1.5]],
    [86, '000000000000f83f', [1.5]],
  ];
  it.each(typed)('reads typed array tag %i (RFC 8746)', (tag, hex, expected) => {
    const bytes = Buffer.from(hex, 'hex');
    const frame = Buffer.concat([Buffer.from([0xd8, tag, 0x40 + bytes.length]), bytes]);
    expect(Array.from(parseCbor(frame) as ArrayLike<number>)).toEqual(expected);
  });

  it.each([
    ['a list that claims 2^32 entries', '9affffffff00'],
    ['a list that claims 2^40 entries', '9b0000010000000000'],
    ['a string longer than the frame', '7a00ffffff61'],
    ['an indefinite list', '9f01ff'],
    ['nothing', ''],
    ['a record definition', 'd9dffe8100'],
    ['a regular expression', 'd81b820161'],
    ['bytes after the end', '0101'],
    ['a number as map key', 'a10102'],
  ])('refuses %s', (_, hex) => {
    expect(() => parseCbor(Buffer.from(hex, 'hex'))).toThrow(TendonError);
  });

  it('refuses endless nesting and does not touch prototypes', () => {
    expect(() => parseCbor(Buffer.alloc(100_000, 0x81))).toThrow('nesting');
    parseCbor(Buffer.from('a1695f5f70726f746f5f5fa168706f6c6c7574656401', 'hex')); // {"__proto__": {"polluted": 1}}
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});

describe('PNG', () => {
  it('carries text there and back', () => {
    for (const message of ['{}', JSON.stringify({ op: 'publish', s: 'é€😀'.repeat(99) })]) {
      expect(pngToText(textToPng(message))).toBe(message);
    }
  });

  it('undoes all five row filters', () => {
    // 2×5 grey pixels whose rows use filters 0 to 4, made by hand from the rows [10,20] [11,22] [12,24] [13,26] [14,28].
    const raw = Buffer.from([0, 10, 20, 1, 11, 11, 2, 1, 2, 3, 7, 8, 4, 1, 2]);
    const png = Buffer.from(textToPng('x'));
    const zlib = deflateSync(raw);
    const header = Buffer.from(png.subarray(8, 33));
    header.writeUInt32BE(2, 8);
    header.writeUInt32BE(5, 12);
    header[17] = 0;
    const idat = Buffer.alloc(12 + zlib.length);
    idat.writeUInt32BE(zlib.length, 0);
    idat.write('IDAT', 4, 'latin1');
    zlib.copy(idat, 8);
    const picture = decodePng(Buffer.concat([png.subarray(0, 8), header, idat]));
    expect(Array.from(picture.data)).toEqual([10, 20, 11, 22, 12, 24, 13, 26, 14, 28]);
  });

  it('refuses a bomb and a torn file', () => {
    const png = textToPng('x'.repeat(300));
    const bomb = Buffer.from(png);
    bomb.writeUInt32BE(100_000, 16);
    bomb.writeUInt32BE(100_000, 20);
    expect(() => decodePng(bomb)).toThrow('64 MiB');
    expect(() => decodePng(png.subarray(0, png.length >> 1))).toThrow(TendonError);
    expect(() => decodePng(Buffer.from('GIF89a'))).toThrow('signature');
  });
});

describe('fragments', () => {
  const whole = JSON.stringify({ op: 'publish', topic: '/t', msg: { data: '😀é'.repeat(50) } });

  it('come back together, whatever the size', () => {
    for (const size of [1, 2, 7, 64, 10_000]) {
      const decoder = new FrameDecoder(1e6);
      const ops = cutFragments(whole, size, 'a').map((op) => decoder.decode(text(op), false));
      expect(ops.at(-1)).toEqual(JSON.parse(whole));
      expect(ops.slice(0, -1).every((op) => op === undefined)).toBe(true);
    }
  });

  it('are read as rosbridge_suite sends them: id 0, total 4.67, and again for the next message', () => {
    const decoder = new FrameDecoder(1e6);
    const size = Math.ceil(whole.length / 4.67);
    const pieces = cutFragments(whole, size, 'x');
    expect(pieces.length).toBe(5);
    for (let round = 0; round < 2; ++round) {
      let op: unknown;
      for (const piece of pieces) op = decoder.decode(text({ ...piece, id: 0, total: 4.67 }), false);
      expect(op).toEqual(JSON.parse(whole));
    }
  });

  it('out of order, too long or too many are refused', () => {
    const decoder = new FrameDecoder(200);
    const piece = (num: number, total: number, data = 'x', id = 'a') =>
      text({ op: 'fragment', id, num, total, data });
    expect(() => decoder.decode(piece(1, 3), false)).toThrow('in order');
    expect(decoder.decode(piece(0, 3), false)).toBeUndefined();
    expect(() => decoder.decode(piece(2, 3), false)).toThrow('after 1');
    expect(() => decoder.decode(piece(0, 1e9), false)).toThrow(TendonError);
    decoder.decode(piece(0, 3, 'x'.repeat(100), 'b'), false);
    expect(() => decoder.decode(piece(1, 3, 'x'.repeat(101), 'b'), false)).toThrow('200 characters');
    expect(() => decoder.decode(piece(0, 3, 'x'.repeat(201), 'b'), false)).toThrow('refused unread');
    // Of too many the oldest is forgotten.
    for (let i = 0; i < 5; ++i) decoder.decode(piece(0, 2, 'x', `m${i}`), false);
    expect(() => decoder.decode(piece(1, 2, 'x', 'm0'), false)).toThrow('after 0');
  });

  it('png inside png inside png is not followed for ever', () => {
    let frame = whole;
    for (let i = 0; i < 5; ++i)
      frame = JSON.stringify({ op: 'png', data: textToPng(frame).toString('base64') });
    expect(() => new FrameDecoder(1e6).decode(Buffer.from(frame), false)).toThrow('wrapper');
  });
});

describe('what is refused before it is parsed', () => {
  const nested = (levels: number) =>
    `{"op":"publish","topic":"/t","msg":{"x":${'['.repeat(levels)}${']'.repeat(levels)}}}`;
  const decode = (frame: string | Buffer, limit = 1e6, binary = false) =>
    new FrameDecoder(limit).decode(Buffer.from(frame), binary);

  it('nesting: in JSON, in the pixels of a PNG, in fragments and in CBOR', () => {
    expect(decode(nested(40))).toMatchObject({ topic: '/t' });
    for (const levels of [49, 6000, 400_000]) {
      const deep = nested(levels);
      expect(() => decode(deep)).toThrow('48 levels');
      const png = JSON.stringify({ op: 'png', data: textToPng(deep).toString('base64') });
      expect(() => decode(png, 4e6)).toThrow('48 levels');
      const pieces = cutFragments(deep, 5000, 'f').map((piece) => Buffer.from(JSON.stringify(piece)));
      const decoder = new FrameDecoder(4e6);
      expect(() => pieces.map((piece) => decoder.decode(piece, false))).toThrow('48 levels');
    }
    let value: unknown = 1;
    for (let i = 0; i < 60; i++) value = [value];
    expect(() => decode(encodeCbor({ op: 'publish', topic: '/t', msg: { value } }), 1e6, true)).toThrow('48');
  });

  it('brackets in strings are no nesting, whatever is escaped in them', () => {
    const data = `${'['.repeat(1000)}\\"${'{'.repeat(1000)}\\`;
    const frame = JSON.stringify({ op: 'publish', topic: '/t', msg: { data } });
    expect(decode(frame)).toMatchObject({ msg: { data } });
  });

  it('length: of a frame, of what a PNG inflates to, and of what fragments come to', () => {
    const long = JSON.stringify({ op: 'publish', topic: '/t', msg: { data: 'x'.repeat(200_000) } });
    expect(() => decode(long, 100_000)).toThrow('refused unread');
    const png = JSON.stringify({ op: 'png', data: textToPng(long).toString('base64') });
    expect(png.length).toBeLessThan(20_000);
    expect(() => decode(png, 50_000)).toThrow('MiB');
    const decoder = new FrameDecoder(100_000);
    const pieces = cutFragments(long, 10_000, 'f').map((piece) => Buffer.from(JSON.stringify(piece)));
    expect(() => pieces.map((piece) => decoder.decode(piece, false))).toThrow('100000 characters');
  });
});

describe('integers beyond 2^53', () => {
  it('come out of JSON as they come out of CBOR, and not rounded', () => {
    const text = '{"op":"publish","topic":"/t","msg":{"a":9007199254740993,"b":[-9223372036854775808,7]}}';
    const op = new FrameDecoder(1e6).decode(Buffer.from(text), false);
    expect(op).toMatchObject({ msg: { a: 9007199254740993n, b: [-(2n ** 63n), 7] } });
  });

  it('numbers that only look long stay numbers', () => {
    const msg = {
      fraction: 0.12345678901234568,
      large: 1.25e25,
      exact: 9007199254740991,
      round: 123456789.12345679,
      text: '9007199254740993',
    };
    const text = `{"op":"publish","topic":"/t","msg":${JSON.stringify(msg)}}`;
    expect(new FrameDecoder(1e6).decode(Buffer.from(text), false)).toMatchObject({ msg });
    expect(parseJson('[NaN,9007199254740993,1e400]')).toEqual([
      Number.NaN,
      9007199254740993n,
      Number.POSITIVE_INFINITY,
    ]);
  });
});

it('fragments of two topics in turn under one id, as rosbridge_suite numbers them all', () => {
  const frames = ['/a', '/b'].map((topic, i) =>
    JSON.stringify({ op: 'publish', topic, msg: { data: 'xy'.repeat(100 + 90 * i) } }),
  );
  const [first, second] = frames.map((frame) =>
    cutFragments(frame, 60, 'f').map((one) => ({ ...one, id: 0 })),
  );
  expect(first!.length).not.toBe(second!.length);
  const decoder = new FrameDecoder(1e5);
  const topics: unknown[] = [];
  for (let i = 0; i < second!.length; i++)
    for (const piece of [first![i], second![i]]) {
      const op = piece && decoder.decode(Buffer.from(JSON.stringify(piece)), false);
      if (op?.op === 'publish') topics.push(op.topic);
    }
  expect(topics).toEqual(['/a', '/b']);
  // Two of one length cannot be told apart: both are refused, none is mixed.
  const twins = [0, 1].map((n) => ({ op: 'fragment', id: 0, num: 0, total: 2, data: `${n}` }));
  for (const twin of twins) decoder.decode(Buffer.from(JSON.stringify(twin)), false);
  const next = Buffer.from(JSON.stringify({ op: 'fragment', id: 0, num: 1, total: 2, data: 'x' }));
  expect(() => decoder.decode(next, false)).toThrow('two messages under one id');
});

describe('hostile input', () => {
  it('100,000 random and mutated frames: an op, nothing, or a bridge_protocol error', () => {
    let state = 1;
    const random = (below: number) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const publish = { op: 'publish', topic: '/joint_states', msg: { position: [1, 2.5, null], name: ['a'] } };
    const seeds = [
      Buffer.from('{"op":"publish","topic":"/t","msg":{"x":[NaN,-Infinity]}}'),
      text(publish),
      encodeCbor({ ...publish, msg: { data: Float64Array.of(1, 2), raw: Buffer.alloc(9) } }),
      text({ op: 'fragment', id: 0, data: '{"op":', num: 0, total: 1.5 }),
      text({ op: 'png', data: textToPng(JSON.stringify(publish)).toString('base64') }),
      text({ op: 'call_service', service: '/s', args: [1, {}] }),
    ];
    const decoder = new FrameDecoder(65_536);
    const seen = { op: 0, nothing: 0, error: 0 };
    const count = cases(100_000);
    for (let i = 0; i < count; ++i) {
      let frame = Buffer.from(seeds[random(seeds.length)] as Buffer);
      if (random(4) === 0) frame = Buffer.from(Array.from({ length: random(40) }, () => random(256)));
      else for (let n = random(4); n >= 0 && frame.length > 0; --n) frame[random(frame.length)] = random(256);
      if (random(5) === 0) frame = frame.subarray(0, random(frame.length + 1));
      try {
        ++seen[decoder.decode(frame, random(2) === 0) === undefined ? 'nothing' : 'op'];
      } catch (caught) {
        if (!(caught instanceof TendonError) || caught.code !== 'bridge_protocol') throw caught;
        ++seen.error;
      }
    }
    expect(seen.op + seen.nothing + seen.error).toBe(count);
    expect(seen.op).toBeGreaterThan(count / 100);
    expect(seen.error).toBeGreaterThan(count / 2);
  });
});

describe('docs/protocol.md', () => {
  it('has the op table as it is', () => {
    const page = readFileSync('docs/protocol.md', 'utf8');
    for (const [op, { required, optional, summary }] of Object.entries(OPS)) {
      const fields = [required, optional].map((kinds) => Object.keys(kinds).join(', ')).join(' | ');
      expect(page).toContain(`| \`${op}\` | ${fields} | ${summary} |`);
    }
  });
});
