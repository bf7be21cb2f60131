// Statistics as LeRobot keeps them (compute_stats.py, v3.0): over the rows of a feature, in double precision; standard
// deviations of the population. Quantiles are exact, between neighbouring rows, where LeRobot approximates them.

export type Stats = Readonly<Record<string, readonly number[]>>;

const QUANTILES = { q01: 0.01, q10: 0.1, q50: 0.5, q90: 0.9, q99: 0.99 } as const;

/** `rows` are (n, dim), n ≥ 1. */
export function statsOf(rows: readonly ArrayLike<number>[]): Stats {
  const dim = rows[0]!.length;
  const columns = Array.from({ length: dim }, (_, i) => Float64Array.from(rows, (row) => row[i]!).sort());
  const mean = columns.map((c) => c.reduce((sum, v) => sum + v, 0) / c.length);
  return {
    min: columns.map((c) => c[0]!),
    max: columns.map((c) => c.at(-1)!),
    mean,
    std: columns.map((c, i) => Math.sqrt(c.reduce((sum, v) => sum + (v - mean[i]!) ** 2, 0) / c.length)),
    count: [rows.length],
    ...Object.fromEntries(
      Object.entries(QUANTILES).map(([name, q]) => [name, columns.map((c) => quantile(c, q))]),
    ),
  };
}

function quantile(sorted: Float64Array, q: number): number {
  const at = q * (sorted.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below]! + (at - below) * (sorted[above]! - sorted[below]!);
}

/** Rows and columns of a frame that its statistics skip: LeRobot looks at about 150 pixels a side too. */
const SIDE = 150;

/** Statistics of a camera's pixels by channel, as shares of 255, shape (channels, 1, 1). */
export class PixelStats {
  private readonly min: number[];
  private readonly max: number[];
  private readonly sum: number[];
  private readonly squares: number[];
  private frames = 0;
  private pixels = 0;

  constructor(private readonly channels: number) {
    this.min = Array<number>(channels).fill(1);
    this.max = Array<number>(channels).fill(0);
    this.sum = Array<number>(channels).fill(0);
    this.squares = Array<number>(channels).fill(0);
  }

  add(data: Uint8Array, width: number, height: number): void {
    const step = Math.max(1, Math.floor(Math.max(width, height) / SIDE));
    this.frames++;
    for (let y = 0; y < height; y += step)
      for (let x = 0; x < width; x += step) {
        this.pixels++;
        for (let c = 0; c < this.channels; c++) {
          const v = data[(y * width + x) * this.channels + c]! / 255;
          this.min[c] = Math.min(this.min[c]!, v);
          this.max[c] = Math.max(this.max[c]!, v);
          this.sum[c]! += v;
          this.squares[c]! += v * v;
        }
      }
  }

  get stats(): Readonly<Record<string, unknown>> {
    const mean = this.sum.map((s) => s / this.pixels);
    const std = this.squares.map((s, c) => Math.sqrt(Math.max(0, s / this.pixels - mean[c]! ** 2)));
    const shaped = (values: readonly number[]) => values.map((v) => [[v]]);
    return {
      min: shaped(this.min),
      max: shaped(this.max),
      mean: shaped(mean),
      std: shaped(std),
      count: [this.frames],
    };
  }
}
