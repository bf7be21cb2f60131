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
