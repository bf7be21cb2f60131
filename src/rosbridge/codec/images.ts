// sensor_msgs/Image → Image: rows without padding, rgb8 or mono8. What is that already is not copied; the rest is work for
// the thread of the socket (socket-worker.ts), which hands over pictures that are that already.

import { type Image, TendonError } from '../../types/index.js';
import { type Serialisation, unpackRaw } from './cdr.js';
import { readBytes } from './messages.js';
import type { Message } from './protocol.js';

export const IMAGE_TYPE = 'sensor_msgs/Image';

interface Layout {
  readonly channels: 1 | 3;
  /** Bytes of a pixel, and where in it red or grey is and where blue. */
  readonly source: number;
  readonly first: number;
  readonly last: number;
}

const LAYOUTS: Readonly<Record<string, Layout>> = {
  rgb8: { channels: 3, source: 3, first: 0, last: 2 },
  bgr8: { channels: 3, source: 3, first: 2, last: 0 },
  rgba8: { channels: 3, source: 4, first: 0, last: 2 },
  bgra8: { channels: 3, source: 4, first: 2, last: 0 },
  mono8: { channels: 1, source: 1, first: 0, last: 0 },
  '8UC1': { channels: 1, source: 1, first: 0, last: 0 },
  '8UC3': { channels: 3, source: 3, first: 0, last: 2 },
};

const refuse = (why: string): never => {
  throw new TendonError('input_invalid', why);
};

/** sensor_msgs/Image with 8-bit channels, row padding and all. Throws `input_invalid`. */
export function readImage(msg: Readonly<Record<string, unknown>>): Image {
  const width = Number(msg.width);
  const height = Number(msg.height);
  const layout = LAYOUTS[String(msg.encoding)];
  if (layout === undefined) {
    const known = Object.keys(LAYOUTS).join(', ');
    return refuse(`Image.encoding: expected ${known}, got ${String(msg.encoding).slice(0, 20)}.`);
  }
  const { channels, source, first } = layout;
  const data = readBytes(msg.data, 'Image.data');
  const step = Number(msg.step) || width * source;
  const fits = width > 0 && height > 0 && step >= width * source && data.length >= step * height;
  if (!fits) refuse(`Image: ${data.length} bytes are not ${height} rows of ${width} ${msg.encoding} pixels.`);
  if (step === width * channels && source === channels && first === 0)
    return { width, height, channels, data: data.subarray(0, step * height) };
  const out = new Uint8Array(width * height * channels);
  for (let row = 0; row < height; ++row) {
    const line = data.subarray(row * step, row * step + width * source);
    const to = row * width * channels;
    if (source === channels && first === 0) out.set(line, to);
    else pick(line, layout, out, to);
  }
  return { width, height, channels, data: out };
}

/** The colours of a line of pixels, in the order red, green, blue. */
function pick(line: Uint8Array, { source, first, last }: Layout, out: Uint8Array, at: number): void {
  let to = at;
  for (let from = 0; from < line.length; from += source) {
    out[to] = line[from + first]!;
    out[to + 1] = line[from + 1]!;
    out[to + 2] = line[from + last]!;
    to += 3;
  }
}

/** The same message with the picture as `readImage` gives it; as it is where that cannot be, to be refused later. */
export function withPlainImage(packed: Message, serialisation: Serialisation): Message {
  try {
    const msg = unpackRaw(packed, IMAGE_TYPE, serialisation);
    const { width, channels, data } = readImage(msg);
    return { ...msg, encoding: channels === 3 ? 'rgb8' : 'mono8', step: width * channels, data };
  } catch {
    return packed;
  }
}
