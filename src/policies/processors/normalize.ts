// Normalisation as LeRobot's processors do it (processor/normalize_processor.py; ≤ 0.3.3 policies/normalize.py):
// y = (x − offset)·scale and back, with each version's epsilon.

import { TendonError } from '../../types/index.js';
import { type Affine, identity } from './affine.js';

export type NormMode = 'IDENTITY' | 'MEAN_STD' | 'MIN_MAX' | 'QUANTILES' | 'QUANTILE10';

/** Statistics of one feature by name, each of the feature's length. */
export type Stats = Readonly<Record<string, Float32Array>>;

/** Which release's arithmetic: before 0.4 MIN_MAX added its epsilon to any range, on the way in alone. */
export type NormVersion = 'current' | 'legacy';

const RANGES: Readonly<Record<string, readonly [string, string]>> = {
  MIN_MAX: ['min', 'max'],
  QUANTILES: ['q01', 'q99'],
  QUANTILE10: ['q10', 'q90'],
};

/** The map for one feature; IDENTITY passes through. Throws `weights_mismatch` without the mode's statistics. */
export function normalizer(
  feature: string,
  mode: string,
  stats: Stats | undefined,
  length: number,
  version: NormVersion = 'current',
  eps = 1e-8,
): Affine {
  const affine: Affine = identity(length);
  if (mode === 'IDENTITY') return affine;
  const get = (name: string): Float32Array => {
    const values = stats?.[name];
    if (values === undefined || values.length !== length)
      throw new TendonError(
        'weights_mismatch',
        `normalisation ${mode} of ${feature}: expected "${name}" of length ${length}, got ${values?.length ?? 'none'}; the checkpoint's statistics do not belong to its config`,
        { feature, mode, name },
      );
    const bad = values.findIndex((v) => !Number.isFinite(v));
    if (bad >= 0)
      throw new TendonError(
        'weights_mismatch',
        `normalisation ${mode} of ${feature}: "${name}"[${bad}] is ${values[bad]}; the checkpoint was saved before it had the statistics of its dataset`,
        { feature, mode, name },
      );
    return values;
  };
  if (mode === 'MEAN_STD') {
    const mean = get('mean');
    const std = get('std');
    for (let i = 0; i < length; i++) {
      affine.mul[i] = 1 / (std[i]! + eps);
      affine.add[i] = -mean[i]! * affine.mul[i]!;
      affine.back_mul[i] = std[i]!;
      affine.back_add[i] = mean[i]!;
    }
    return affine;
  }
  const names = Object.hasOwn(RANGES, mode) ? RANGES[mode] : undefined;
  if (names === undefined)
    throw new TendonError(
      'config_invalid',
      `normalization_mapping: expected IDENTITY, MEAN_STD, MIN_MAX, QUANTILES or QUANTILE10, got "${mode}"`,
      { feature, mode },
    );
  const low = get(names[0]);
  const high = get(names[1]);
  for (let i = 0; i < length; i++) {
    const range = high[i]! - low[i]!;
    const filled = range === 0 ? eps : range;
    const [there, back] = version === 'legacy' ? [range + eps, range] : [filled, filled];
    affine.mul[i] = 2 / there;
    affine.add[i] = -low[i]! * affine.mul[i]! - 1;
    affine.back_mul[i] = back / 2;
    affine.back_add[i] = low[i]! + back / 2;
  }
  return affine;
}
