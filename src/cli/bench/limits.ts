// The machine's own limits, measured in the run that divides by them, and the least time that they leave to a piece of
// work (the roofline: Williams, Waterman and Patterson 2009).

import { addon, type NativePool, native } from '../../native/index.js';

export interface Limits {
  /** For people: one line. */
  readonly text: string;
  least_ms(precision: string, flops: number, bytes: number): number;
}

export async function measureLimits(pool: NativePool): Promise<Limits> {
  const limits = await native(() => addon().machineLimits(pool));
  const giga = (x: number): string => (x / 1e9).toFixed(0);
  return {
    text: `at most ${giga(limits.f32)} GFLOP/s f32, ${giga(limits.bf16)} bf16, ${giga(limits.int8)} GOP/s int8; memory read at ${(limits.bytes_per_s / 1e9).toFixed(1)} GB/s`,
    least_ms(precision, flops, bytes) {
      const rate = limits[precision as 'f32' | 'bf16' | 'int8'];
      return 1e3 * Math.max(flops / rate, bytes / limits.bytes_per_s);
    },
  };
}
