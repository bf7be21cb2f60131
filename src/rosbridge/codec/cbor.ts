// CBOR for rosbridge: cbor-x, with a guard in front. The guard walks the item heads once, so that a short hostile
// frame can neither ask for gigabytes, nor nest without end, nor reach tags that are no part of rosbridge.

import { lazily, packageWhenNeeded, TendonError } from '../../types/index.js';
import { MAX_DEPTH } from './json-scan.js';

/** Big integers, typed arrays (RFC 8746, without the 128-bit floats) and the self-describe tag. */
const allowedTag = (tag: number) =>
  tag === 2 || tag === 3 || (tag >= 64 && tag <= 86 && tag !== 76 && tag !== 83) || tag === 55799;

function halfFloats(bytes: Uint8Array, littleEndian: boolean): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float32Array.from({ length: bytes.byteLength >> 1 }, (_, index) => {
    const half = view.getUint16(index * 2, littleEndian);
    const exponent = (half >> 10) & 31;
    const fraction = half & 1023;
    const size =
      exponent === 0
        ? fraction * 2 ** -24
        : exponent === 31
          ? fraction === 0
            ? Number.POSITIVE_INFINITY
            : Number.NaN
          : (1 + fraction / 1024) * 2 ** (exponent - 15);
    return half & 0x8000 ? -size : size;
  });
}

class NeverEncoded {}
const cbor = packageWhenNeeded<typeof import('cbor-x')>('cbor-x');

const codec = lazily(() => {
  const { addExtension, Decoder, Encoder } = cbor();
  for (const [tag, littleEndian] of [
    [80, false],
    [84, true],
  ] as const) {
    addExtension<NeverEncoded, Uint8Array>({
      Class: NeverEncoded,
      tag,
      encode: () => Buffer.alloc(0),
      decode: (bytes) => halfFloats(bytes, littleEndian) as unknown as NeverEncoded,
    });
  }
  const options = { useRecords: false, mapsAsObjects: true, variableMapSize: true, tagUint8Array: false };
  return { decoder: new Decoder(options), encoder: new Encoder(options) };
});

const refuse = (why: string, at: number): never => {
  throw new TendonError('bridge_protocol', `Expected a rosbridge frame in CBOR: ${why} at byte ${at}.`, {
    at,
  });
};

/** Walks every item head of `bytes`; throws unless it is exactly one definite, bounded, rosbridge-like item. */
function guard(bytes: Uint8Array): void {
  const size = bytes.length;
  let at = 0;
  const item = (depth: number): void => {
    if (depth > MAX_DEPTH) refuse(`nesting deeper than ${MAX_DEPTH}`, at);
    if (at >= size) refuse('the frame ends early', at);
    const head = bytes[at++] as number;
    const major = head >> 5;
    const short = head & 31;
    let argument = short;
    if (short >= 24) {
      if (short > 27) refuse('an item of indefinite or reserved length', at - 1);
      const width = 1 << (short - 24);
      if (at + width > size) refuse('the frame ends early', at);
      argument = 0;
      for (let i = 0; i < width; ++i) argument = argument * 256 + (bytes[at + i] as number);
      at += width;
    }
    if (major === 2 || major === 3) {
      if (argument > size - at) refuse(`a string of ${argument} bytes in ${size - at}`, at);
      at += argument;
    } else if (major === 4 || major === 5) {
      const items = major === 4 ? argument : argument * 2;
      if (items > size - at) refuse(`${argument} entries in ${size - at} bytes`, at);
      for (let i = 0; i < items; ++i) {
        if (major === 5 && i % 2 === 0 && at < size && (bytes[at] as number) >> 5 !== 3) {
          refuse('a map key that is not text', at);
        }
        item(depth + 1);
      }
    } else if (major === 6) {
      if (!allowedTag(argument)) refuse(`tag ${argument}, which rosbridge does not use`, at);
      const inner = at < size ? (bytes[at] as number) >> 5 : -1;
      if (argument !== 55799 && inner !== 2) refuse(`tag ${argument} without bytes`, at);
      item(depth + 1);
    }
  };
  item(0);
  if (at !== size) refuse(`${size - at} bytes after the end`, at);
}

/** Loads the package: with a connection, so that no frame of a robot under way waits for it. */
export const prepareCbor = (): void => void codec();

/**
 * One CBOR frame: maps as objects, typed arrays as typed arrays (views of `bytes` where aligned), 64-bit integers
 * above 2^53 as BigInt. Throws `bridge_protocol`.
 */
export function parseCbor(bytes: Uint8Array): unknown {
  guard(bytes);
  try {
    return codec().decoder.decode(bytes);
  } catch (caught) {
    const why = caught instanceof Error ? caught.message : String(caught);
    throw new TendonError(
      'bridge_protocol',
      `Expected a rosbridge frame in CBOR: ${why}.`,
      { length: bytes.length },
      { cause: caught },
    );
  }
}

/** CBOR for one op: Uint8Array as a byte string, other typed arrays tagged (RFC 8746). */
export function encodeCbor(value: unknown): Buffer {
  return codec().encoder.encode(value);
}
