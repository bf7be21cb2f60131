// Pictures as LeRobot's VLA policies take them: sized to fit (bilinear, half-pixel centres, no antialiasing), padded with black,
// from bytes to [−1, 1].

import type { Image } from '../../types/index.js';

export type Padding = 'left_top' | 'centred';

/** Writes (size, size, 3) at `at` of `out`. A picture of the right size is not resampled. */
export function writePicture(
  image: Image,
  size: number,
  padding: Padding,
  out: Float32Array,
  at: number,
  /** A padding pixel; black. */
  pad = -1,
): void {
  const { width, height, channels, data } = image;
  const ratio = Math.max(width / size, height / size);
  const rows = width === size && height === size ? size : Math.trunc(height / ratio);
  const columns = width === size && height === size ? size : Math.trunc(width / ratio);
  const free = [size - rows, size - columns] as const;
  const [top, left] = padding === 'left_top' ? free : ([free[0] >> 1, free[1] >> 1] as const);
  out.fill(pad, at, at + size * size * 3);
  const vertical = taps(height, rows);
  const horizontal = taps(width, columns);
  for (let y = 0; y < rows; y++) {
    const [y0, y1, fy] = vertical[y]!;
    for (let x = 0; x < columns; x++) {
      const [x0, x1, fx] = horizontal[x]!;
      const to = at + ((top + y) * size + left + x) * 3;
      for (let c = 0; c < 3; c++) {
        const channel = channels === 1 ? 0 : c;
        const pixel = (row: number, column: number): number =>
          data[(row * width + column) * channels + channel]!;
        const upper = pixel(y0, x0) * (1 - fx) + pixel(y0, x1) * fx;
        const lower = pixel(y1, x0) * (1 - fx) + pixel(y1, x1) * fx;
        out[to + c] = ((upper * (1 - fy) + lower * fy) / 255) * 2 - 1;
      }
    }
  }
}

/** For each output pixel the two it lies between and how far towards the second (torch's align_corners=False). */
function taps(from: number, to: number): (readonly [number, number, number])[] {
  const scale = from / to;
  return Array.from({ length: to }, (_, i) => {
    const at = Math.max((i + 0.5) * scale - 0.5, 0);
    const low = Math.min(Math.floor(at), from - 1);
    return [low, Math.min(low + 1, from - 1), at - low] as const;
  });
}

/**
 * The picture scaled to fit `size` × `size`, as PIL's resize does it with BILINEAR: a triangle over all pixels that fall into one,
 * first along rows and then along columns, each rounded to bytes, with weights of 22 bits (Pillow Resample.c).
 */
export function sizedLikePil(image: Image, size: number): Image {
  const { width, height } = image;
  const ratio = Math.max(width / size, height / size);
  const [columns, rows] = [Math.trunc(width / ratio), Math.trunc(height / ratio)];
  if (columns === width && rows === height) return image;
  const across = width === columns ? image : resampled(image, columns, false);
  return height === rows ? across : resampled(across, rows, true);
}

const BITS = 2 ** 22;

function resampled(image: Image, to: number, vertical: boolean): Image {
  const { width, height, channels, data } = image;
  const from = vertical ? height : width;
  const lines = vertical ? width : height;
  const [step, stride] = vertical ? [width * channels, channels] : [channels, width * channels];
  const made = { width: vertical ? width : to, height: vertical ? to : height };
  const [out_step, out_stride] = vertical ? [width * channels, channels] : [channels, to * channels];
  const out = new Uint8Array(made.width * made.height * channels);
  const scale = from / to;
  const reach = Math.max(scale, 1);
  for (let i = 0; i < to; i++) {
    const centre = (i + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - reach + 0.5), 0);
    const last = Math.min(Math.trunc(centre + reach + 0.5), from);
    const raw = Array.from({ length: last - first }, (_, k) =>
      Math.max(1 - Math.abs((k + first - centre + 0.5) / reach), 0),
    );
    const sum = raw.reduce((a, b) => a + b, 0);
    const weights = raw.map((w) => Math.trunc(0.5 + (w / sum) * BITS));
    for (let line = 0; line < lines; line++)
      for (let c = 0; c < channels; c++) {
        let value = BITS / 2;
        for (let k = 0; k < weights.length; k++)
          value += data[line * stride + (first + k) * step + c]! * weights[k]!;
        out[line * out_stride + i * out_step + c] = Math.min(Math.max(Math.floor(value / BITS), 0), 255);
      }
  }
  return { ...made, channels, data: out };
}
