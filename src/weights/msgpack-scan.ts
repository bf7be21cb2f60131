// A walk over msgpack (msgpack.org, spec of 2013) that builds nothing: lengths must lie inside the frame, nesting is
// bounded, and only the extensions that a format defines may occur. msgpackr gives meaning to further ones (records,
// references, regular expressions), which no file of ours needs.

import { type ByteSource, corrupt } from './source.js';

/** Bytes of the length field and of the elements of each head: [length bytes, elements per length, fixed payload]. */
type Head =
  | readonly [kind: 'data', lengthBytes: number, fixed: number]
  | readonly [kind: 'list' | 'map' | 'ext', lengthBytes: number, fixed: number];

const HEADS: Readonly<Record<number, Head>> = {
  192: ['data', 0, 0],
  194: ['data', 0, 0],
  195: ['data', 0, 0],
  196: ['data', 1, 0],
  197: ['data', 2, 0],
  198: ['data', 4, 0],
  199: ['ext', 1, 0],
  200: ['ext', 2, 0],
  201: ['ext', 4, 0],
  202: ['data', 0, 4],
  203: ['data', 0, 8],
  204: ['data', 0, 1],
  205: ['data', 0, 2],
  206: ['data', 0, 4],
  207: ['data', 0, 8],
  208: ['data', 0, 1],
  209: ['data', 0, 2],
  210: ['data', 0, 4],
  211: ['data', 0, 8],
  212: ['ext', 0, 1],
  213: ['ext', 0, 2],
  214: ['ext', 0, 4],
  215: ['ext', 0, 8],
  216: ['ext', 0, 16],
  217: ['data', 1, 0],
  218: ['data', 2, 0],
  219: ['data', 4, 0],
  220: ['list', 2, 0],
  221: ['list', 4, 0],
  222: ['map', 2, 0],
  223: ['map', 4, 0],
};

/** Throws `file_corrupt` unless `bytes` are one whole msgpack value with at most `depth` levels and these extensions. */
export function scanMsgpack(
  source: ByteSource,
  bytes: Uint8Array,
  depth: number,
  extensions: readonly number[],
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const take = (n: number): number => {
    if (n > bytes.length - at) throw corrupt(source, `its msgpack ends early, at byte ${at}`);
    at += n;
    return at - n;
  };
  const length = (size: number): number => {
    const from = take(size);
    return size === 1
      ? view.getUint8(from)
      : size === 2
        ? view.getUint16(from)
        : size === 4
          ? view.getUint32(from)
          : 0;
  };
  const headOf = (byte: number): Head | undefined => {
    if (byte < 0x80 || byte >= 0xe0) return ['data', 0, 0];
    if (byte < 0x90) return ['map', 0, byte & 15];
    if (byte < 0xa0) return ['list', 0, byte & 15];
    if (byte < 0xc0) return ['data', 0, byte & 31];
    return HEADS[byte];
  };
  /** Values still to come at each level. */
  const left = [1];
  while (left.length > 0) {
    const level = left.length - 1;
    if (left[level] === 0) {
      left.pop();
      continue;
    }
    left[level]!--;
    const byte = bytes[take(1)]!;
    const head = headOf(byte);
    if (head === undefined) throw corrupt(source, `0x${byte.toString(16)} begins no msgpack value`);
    const [kind, lengthBytes, fixed] = head;
    const count = lengthBytes === 0 ? fixed : length(lengthBytes);
    if (kind === 'data') take(count);
    else if (kind === 'ext') {
      const type = view.getInt8(take(1));
      if (!extensions.includes(type))
        throw corrupt(source, `it uses msgpack extension ${type}; expected ${extensions.join(', ')}`);
      take(count);
    } else {
      if (left.length > depth) throw corrupt(source, `its msgpack is nested more than ${depth} deep`);
      // Each element takes a byte at least.
      const elements = kind === 'map' ? 2 * count : count;
      if (elements > bytes.length - at) throw corrupt(source, `a msgpack ${kind} is longer than the file`);
      left.push(elements);
    }
  }
  if (at !== bytes.length) throw corrupt(source, `${bytes.length - at} bytes follow its msgpack value`);
}
