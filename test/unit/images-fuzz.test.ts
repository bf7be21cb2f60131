// 10⁵ damaged JPEG and PNG files: each ends in a picture of the size that was asked for or in a refusal in words.

import { crc32 } from 'node:zlib';
import sharp, { type Sharp } from 'sharp';
import { expect, test } from 'vitest';
import { decodeCompressed } from '../../src/rosbridge/robot/compressed.js';
import { cases, drawer, mutate } from './mutations.js';

// Small, so that a decoder spends its time on structure and not on pixels.
const [H, W] = [8, 9];
/** libuv has four threads to decode on. */
const AT_ONCE = 4;

const picture = (channels: 1 | 3): Sharp => {
  const data = Buffer.from(Array.from({ length: H * W * channels }, (_, i) => (i * 37) % 251));
  const raw = sharp(data, { raw: { width: W, height: H, channels } });
  return channels === 1 ? raw.toColourspace('b-w') : raw;
};

/** The chunks' checksums made right again, as far as chunks go: damage that gets past the first thing a decoder checks. */
function mended(png: Buffer): Buffer {
  for (let at = 8; at + 12 <= png.length; ) {
    const end = at + 8 + png.readUInt32BE(at);
    if (end + 4 > png.length) break;
    png.writeUInt32BE(crc32(png.subarray(at + 4, end)), end);
    at = end + 4;
  }
  return png;
}

test.each([
  ['png', 3, 'plain', (p: Sharp) => p.png(), 25_000],
  ['png', 3, 'a palette', (p: Sharp) => p.png({ palette: true }), 10_000],
  ['png', 3, 'interlaced', (p: Sharp) => p.png({ progressive: true }), 10_000],
  ['png', 1, 'grey', (p: Sharp) => p.png(), 5_000],
  ['jpeg', 3, 'plain', (p: Sharp) => p.jpeg(), 25_000],
  ['jpeg', 3, 'progressive', (p: Sharp) => p.jpeg({ progressive: true }), 15_000],
  ['jpeg', 1, 'grey', (p: Sharp) => p.jpeg(), 10_000],
] as const)('%s of %i channels, %s', async (format, channels, _, encode, full) => {
  const count = cases(full);
  const file = await encode(picture(channels)).toBuffer();
  const random = drawer(7);
  const seen = { pictures: 0, refusals: 0, others: [] as string[] };
  let left = count;
  const worker = async (): Promise<void> => {
    while (left-- > 0) {
      const damaged = mutate(file, random, 2);
      const data = format === 'png' && left % 2 === 0 ? mended(damaged) : damaged;
      try {
        const decoded = await decodeCompressed({ format, data }, [H, W, channels]);
        if (decoded.data.length === H * W * channels) seen.pictures++;
        else seen.others.push(`${decoded.data.length} bytes`);
      } catch (caught) {
        if ((caught as { code?: string }).code === 'input_invalid') seen.refusals++;
        else seen.others.push(String(caught));
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  expect(seen.others.slice(0, 5)).toEqual([]);
  expect(seen.pictures + seen.refusals).toBe(count);
  expect(seen.pictures).toBeGreaterThan(count / 50);
  expect(seen.refusals).toBeGreaterThan(count / 4);
});
