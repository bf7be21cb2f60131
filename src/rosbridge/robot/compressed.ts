// sensor_msgs/CompressedImage → Image. The size is read from the file's own header and compared with the robot file's
// before anything is decoded, so that a small file cannot ask for a large picture; sharp (libvips) then decodes on
// libuv's threads, never on the event loop. When the camera is faster than that, the newest frame wins.

import type sharp from 'sharp';
import { type Image, TendonError } from '../../types/index.js';
import { readBytes } from '../codec/messages.js';

/** (height, width, channels); alpha does not count as one. */
export type PictureSize = readonly [height: number, width: number, channels: 1 | 3];

const refuse = (why: string, fields: Record<string, unknown> = {}): never => {
  throw new TendonError('input_invalid', `CompressedImage: ${why}`, fields);
};

/**
 * What sensor_msgs/CompressedImage.format names. Plain drivers write "jpeg" or "png"; image_transport writes
 * "rgb8; jpeg compressed bgr8", where bgr8 is what its encoder was handed: the file is an ordinary one.
 */
function codecOf(format: string): 'jpeg' | 'png' {
  const known = /^(?:[^;]*;)?\s*(jpe?g|png)\b/i.exec(format)?.[1]?.toLowerCase();
  if (known === undefined) {
    throw new TendonError(
      'unsupported',
      `CompressedImage of format "${format.slice(0, 60)}" is not a picture that can be decoded here: expected jpeg or png. Depth and video transports carry other things; choose the topic …/compressed, or sensor_msgs/Image.`,
      { format },
    );
  }
  return known === 'png' ? 'png' : 'jpeg';
}

const PNG_SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
/** PNG colour type → channels without alpha; 3 is a palette of colours. */
const PNG_CHANNELS: Readonly<Record<number, 1 | 3>> = { 0: 1, 2: 3, 3: 3, 4: 1, 6: 3 };

function pngSize(file: Buffer): PictureSize {
  const whole = file.length >= 33 && file.subarray(0, 8).equals(PNG_SIGNATURE);
  if (!whole || file.toString('latin1', 12, 16) !== 'IHDR') return refuse('the bytes are not a PNG file.');
  const depth = file[24]!;
  const channels = PNG_CHANNELS[file[25]!];
  if (depth > 8 || channels === undefined)
    return refuse(`a PNG of ${depth} bits is not a picture of 8-bit channels; depth images are not read.`);
  return [file.readUInt32BE(20), file.readUInt32BE(16), channels];
}

/** ITU-T T.81 B.2.2: the frame header that comes before the first scan. */
function jpegSize(file: Buffer): PictureSize {
  if (file[0] !== 0xff || file[1] !== 0xd8) return refuse('the bytes are not a JPEG file.');
  for (let at = 2; at + 10 <= file.length && file[at] === 0xff; ) {
    const marker = file[at + 1]!;
    if (marker === 0xff) {
      ++at; // Markers may be padded.
      continue;
    }
    const frame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (frame) return [file.readUInt16BE(at + 5), file.readUInt16BE(at + 7), file[at + 9] === 1 ? 1 : 3];
    at += 2 + file.readUInt16BE(at + 2);
  }
  return refuse('the JPEG ends before it says its size.');
}

let loading: Promise<typeof sharp> | undefined;
/** On the first picture: a robot without compressed cameras does not pay for the library. */
function decoder(): Promise<typeof sharp> {
  loading ??= import('sharp').then(
    (module) => module.default,
    (cause) => {
      throw new TendonError(
        'unsupported',
        'CompressedImage needs the package sharp, which could not be loaded on this machine. Run npm install --include=optional, or publish sensor_msgs/Image.',
        {},
        { cause },
      );
    },
  );
  return loading;
}

/**
 * Decodes a JPEG or an 8-bit PNG of exactly `size`; alpha is dropped, EXIF rotation and colour profiles are ignored.
 * Rejects with `unsupported` for other formats, `input_invalid` for another size and for damaged bytes.
 */
export async function decodeCompressed(
  msg: Readonly<Record<string, unknown>>,
  size: PictureSize,
): Promise<Image> {
  const codec = codecOf(String(msg.format));
  const bytes = readBytes(msg.data, 'CompressedImage.data');
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const got = codec === 'png' ? pngSize(file) : jpegSize(file);
  if (got.some((length, i) => length !== size[i]))
    refuse(`expected ${size.join('×')} (from the robot file), got a ${codec} of ${got.join('×')}.`, { got });
  const [height, width, channels] = size;
  const load = await decoder();
  try {
    // The bound again, for a file whose second header says otherwise; a warning of the decoder is a damaged picture.
    const options = { limitInputPixels: height * width, failOn: 'warning', ignoreIcc: true } as const;
    const { data, info } = await load(file, options)
      .removeAlpha()
      .toColourspace(channels === 1 ? 'b-w' : 'srgb')
      .raw()
      .toBuffer({ resolveWithObject: true });
    if (info.height !== height || info.width !== width || info.channels !== channels)
      throw new Error(`decoded to ${info.height}×${info.width}×${info.channels}`);
    return { width, height, channels, data };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split('\n', 1)[0] : String(cause);
    return refuse(`a damaged ${codec}: ${why}.`);
  }
}

/** Works on one item at a time. Of those that come meanwhile the newest waits; the others are dropped. */
export class NewestFirst<T> {
  private busy = false;
  private waiting: T | undefined;

  constructor(
    private readonly work: (item: T) => Promise<void>,
    private readonly onDrop: () => void,
  ) {}

  take(item: T): void {
    if (this.busy) {
      if (this.waiting !== undefined) this.onDrop();
      this.waiting = item;
      return;
    }
    this.busy = true;
    void this.work(item).finally(() => {
      this.busy = false;
      const next = this.waiting;
      this.waiting = undefined;
      if (next !== undefined) this.take(next);
    });
  }

  /** Drops what waits. */
  forget(): void {
    if (this.waiting !== undefined) this.onDrop();
    this.waiting = undefined;
  }
}
