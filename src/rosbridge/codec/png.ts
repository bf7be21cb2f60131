// PNG, as far as rosbridge needs it: the `png` compression puts JSON text into RGB pixels. ISO/IEC 15948: signature,
// chunks, zlib, one filter byte per row. No interlacing, no palette. Cameras' PNGs are decoded in compressed.ts.

import { crc32, deflateSync, inflateSync } from 'node:zlib';
import { TendonError } from '../../types/index.js';

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const MAX_PIXEL_BYTES = 64 * 1024 * 1024;
const CHANNELS: Readonly<Record<number, 1 | 2 | 3 | 4>> = { 0: 1, 2: 3, 4: 2, 6: 4 };

export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 2 | 3 | 4;
  /** (height, width, channels) */
  readonly data: Uint8Array;
}

const refuse = (why: string): never => {
  throw new TendonError('bridge_protocol', `Expected an 8-bit PNG without palette or interlacing: ${why}.`);
};

function paeth(left: number, up: number, corner: number): number {
  const estimate = left + up - corner;
  const toLeft = Math.abs(estimate - left);
  const toUp = Math.abs(estimate - up);
  const toCorner = Math.abs(estimate - corner);
  return toLeft <= toUp && toLeft <= toCorner ? left : toUp <= toCorner ? up : corner;
}

/** Undoes the row filters: `raw` is (height, 1 + stride). */
function unfilter(raw: Uint8Array, height: number, stride: number, channels: number): Uint8Array {
  const out = new Uint8Array(height * stride);
  for (let row = 0; row < height; ++row) {
    const filter = raw[row * (stride + 1)] as number;
    if (filter > 4) refuse(`row filter ${filter}`);
    const source = row * (stride + 1) + 1;
    const target = row * stride;
    for (let x = 0; x < stride; ++x) {
      const left = x >= channels ? (out[target + x - channels] as number) : 0;
      const up = row > 0 ? (out[target + x - stride] as number) : 0;
      const corner = row > 0 && x >= channels ? (out[target + x - stride - channels] as number) : 0;
      const guess =
        filter === 0
          ? 0
          : filter === 1
            ? left
            : filter === 2
              ? up
              : filter === 3
                ? (left + up) >> 1
                : paeth(left, up, corner);
      out[target + x] = (raw[source + x] as number) + guess;
    }
  }
  return out;
}

/** Decodes a PNG. Throws `bridge_protocol` for anything else, including one of more than `max_pixel_bytes`. */
export function decodePng(bytes: Uint8Array, max_pixel_bytes = MAX_PIXEL_BYTES): Pixels {
  const png = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!png.subarray(0, 8).equals(SIGNATURE)) refuse('the signature is missing');
  let width = 0;
  let height = 0;
  let channels: 1 | 2 | 3 | 4 | undefined;
  const parts: Buffer[] = [];
  for (let at = 8; at + 12 <= png.length; ) {
    const length = png.readUInt32BE(at);
    const kind = png.toString('latin1', at + 4, at + 8);
    if (length > png.length - at - 12) refuse(`chunk ${JSON.stringify(kind)} is longer than the file`);
    const body = png.subarray(at + 8, at + 8 + length);
    if (kind === 'IHDR' && length === 13) {
      width = body.readUInt32BE(0);
      height = body.readUInt32BE(4);
      channels = CHANNELS[body[9] as number];
      if (body[8] !== 8 || body[12] !== 0) refuse(`depth ${body[8]}, interlace ${body[12]}`);
    } else if (kind === 'IDAT') parts.push(body);
    else if (kind === 'IEND') break;
    at += length + 12;
  }
  if (channels === undefined || width === 0 || height === 0) return refuse('no usable header');
  const stride = width * channels;
  const expected = height * (stride + 1);
  if (expected > max_pixel_bytes)
    refuse(`${width}×${height} pixels are more than ${max_pixel_bytes / 2 ** 20} MiB`);
  let raw: Buffer;
  try {
    raw = inflateSync(Buffer.concat(parts), { maxOutputLength: expected });
  } catch (caught) {
    return refuse(caught instanceof Error ? caught.message : String(caught));
  }
  if (raw.length !== expected) refuse(`${raw.length} bytes of pixels where the header says ${expected}`);
  return { width, height, channels, data: unfilter(raw, height, stride, channels) };
}

function chunk(kind: string, body: Buffer): Buffer {
  const out = Buffer.alloc(body.length + 12);
  out.writeUInt32BE(body.length, 0);
  out.write(kind, 4, 'latin1');
  body.copy(out, 8);
  out.writeUInt32BE(crc32(out.subarray(4, 8 + body.length)), 8 + body.length);
  return out;
}

/** The PNG that rosbridge's `png` op carries: `text` as RGB pixels, about square, filled up with newlines. */
export function textToPng(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8');
  const width = Math.max(1, Math.floor(Math.sqrt(bytes.length / 3)));
  const height = Math.max(1, Math.ceil(bytes.length / 3 / width));
  const stride = width * 3;
  const raw = Buffer.alloc(height * (stride + 1));
  for (let row = 0; row < height; ++row) {
    const target = row * (stride + 1) + 1;
    const copied = bytes.copy(raw, target, row * stride, Math.min(bytes.length, (row + 1) * stride));
    raw.fill(0x0a, target + copied, target + stride);
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(raw, { level: 1 })),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

/** The text in the pixels of a `png` op, of at most about `max_length` bytes. */
export function pngToText(bytes: Uint8Array, max_length = MAX_PIXEL_BYTES): string {
  // A filter byte for each row, and what fills up the last one.
  const pixels = decodePng(bytes, Math.min(MAX_PIXEL_BYTES, max_length * 2 + 64));
  return Buffer.from(pixels.data.buffer, 0, pixels.data.byteLength).toString('utf8').trimEnd();
}
