// The machine's own limits, measured in the run that divides by them, and the least time that they leave to a piece of
// work (the roofline: Williams, Waterman and Patterson 2009). Weights that fit a cache are read at that cache's speed.

import { addon, type NativePool, native } from '../native/index.js';

const FORMATS = ['f32', 'bf16', 'int8'] as const;

export class MachineLimits {
  private readonly reading = new Map<number, number>();

  private constructor(
    private readonly pool: NativePool,
    private readonly arithmetic: Readonly<Record<string, number>>,
  ) {}

  static async measure(pool: NativePool): Promise<MachineLimits> {
    const arithmetic: Record<string, number> = {};
    for (const format of FORMATS)
      arithmetic[format] = await native(() => addon().measureArithmetic(pool, format));
    return new MachineLimits(pool, arithmetic);
  }

  /** For people: one line. */
  async text(): Promise<string> {
    const giga = (x: number | undefined): string => ((x ?? 0) / 1e9).toFixed(0);
    const { f32, bf16, int8 } = this.arithmetic;
    const memory = await this.readRate(256e6);
    return `at most ${giga(f32)} GFLOP/s f32, ${giga(bf16)} bf16, ${giga(int8)} GOP/s int8; memory read at ${(memory / 1e9).toFixed(1)} GB/s`;
  }

  /** `flops` with weights of `precision`, reading weights of `size` bytes `reads` times. */
  async least_ms(precision: string, flops: number, size: number, reads: number): Promise<number> {
    const seconds = size === 0 ? 0 : (size * reads) / (await this.readRate(size));
    return 1e3 * Math.max(flops / this.arithmetic[precision]!, seconds);
  }

  private async readRate(bytes: number): Promise<number> {
    const size = 2 ** Math.round(Math.log2(Math.min(bytes, 512e6)));
    let rate = this.reading.get(size);
    if (rate === undefined) {
      rate = await native(() => addon().measureReading(this.pool, size));
      this.reading.set(size, rate);
    }
    return rate;
  }
}
