// Rolling windows behind the plots: a fixed number of samples, the oldest overwritten. No DOM.

/** Columns of numbers over time: x first, as uPlot takes them. */
export class Series {
  readonly data: (number | null)[][];

  constructor(
    readonly n_columns: number,
    readonly capacity: number,
  ) {
    this.data = Array.from({ length: n_columns + 1 }, () => []);
  }

  /** Appends one row; a column that is missing or not a number becomes a gap. */
  push(x: number, columns: readonly (number | undefined)[]): void {
    this.data[0]!.push(x);
    for (let c = 0; c < this.n_columns; c++) {
      const value = columns[c];
      this.data[c + 1]!.push(value !== undefined && Number.isFinite(value) ? value : null);
    }
    if (this.data[0]!.length > this.capacity) for (const column of this.data) column.shift();
  }
}

/** The last `capacity` samples of one quantity. */
export class Window {
  private readonly samples: number[] = [];

  constructor(readonly capacity: number) {}

  push(values: readonly number[]): void {
    this.samples.push(...values);
    if (this.samples.length > this.capacity) this.samples.splice(0, this.samples.length - this.capacity);
  }

  get size(): number {
    return this.samples.length;
  }

  /** Nearest-rank quantile, `q` in 0…1; NaN when there are no samples. */
  quantile(q: number): number {
    if (this.samples.length === 0) return Number.NaN;
    const sorted = [...this.samples].sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))]!;
  }

  /** Counts in equal bins from 0; the last bin holds all beyond, so that one stray sample does not flatten the rest. */
  histogram(n_bins: number): {
    readonly centres: number[];
    readonly counts: number[];
    readonly width: number;
  } {
    const width = roundUp(Math.max(Math.min(this.quantile(1), 2 * this.quantile(0.95)) || 0, 1e-3) / n_bins);
    const counts = new Array<number>(n_bins).fill(0);
    for (const sample of this.samples)
      counts[Math.min(n_bins - 1, Math.max(0, Math.floor(sample / width)))]!++;
    return { centres: counts.map((_, bin) => (bin + 0.5) * width), counts, width };
  }
}

/** The next larger of 1, 2, 5 times a power of ten, so that bins do not jitter with every sample. */
export function roundUp(value: number): number {
  const decade = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5, 10].find((step) => step * decade >= value * (1 - 1e-9)) ?? 10) * decade;
}
