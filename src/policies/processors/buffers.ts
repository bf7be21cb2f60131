// Statistics among the weights (LeRobot 0.1 … 0.3.3, policies/normalize.py):
// normalize_inputs.buffer_<key with _>.<stat>, unnormalize_outputs.buffer_action.<stat>.

import { TendonError } from '../../types/index.js';
import { readTensor } from '../../weights/index.js';
import type { FeatureConfig } from '../checkpoint.js';
import type { Tensors } from '../tensors.js';
import { identity } from './affine.js';
import { normalizer, type Stats } from './normalize.js';
import type { Processing } from './processing.js';
import { noteStill } from './still.js';

/** undefined when there are none at all. */
export function buffersOf(
  dir: string,
  { input_features, output_features, normalization_mapping }: FeatureConfig,
  tensors: Tensors,
  isRaw: (key: string) => boolean,
): Processing | undefined {
  const features = { ...input_features, ...output_features };
  const stats: Record<string, Record<string, Float32Array>> = Object.create(null);
  for (const feature of Object.keys(features))
    for (const side of ['normalize_inputs', 'normalize_targets', 'unnormalize_outputs'])
      for (const stat of ['mean', 'std', 'min', 'max']) {
        const name = `${side}.buffer_${flat(feature)}.${stat}`;
        if (!tensors.has(name)) continue;
        stats[feature] ??= Object.create(null) as Record<string, Float32Array>;
        stats[feature][stat] = readTensor(tensors.anyShape(name));
      }
  if (Object.keys(stats).length === 0) return undefined;
  const map = (key: string, length: number, side: string) => {
    const { type } = features[key] ?? { type: '' };
    const mode = isRaw(key) ? 'IDENTITY' : (normalization_mapping[type] ?? 'IDENTITY');
    if (mode === 'IDENTITY') return identity(length);
    if (stats[key] === undefined)
      throw new TendonError(
        'weights_mismatch',
        `${dir}: ${key} is normalised by ${mode} (config.json), and its statistics are not among the weights: looked for ${side}.buffer_${flat(key)}.*, found those of ${Object.keys(stats).join(', ')}; if its numbers are raw, say so with raw (--raw ${key})`,
        { key, mode },
      );
    const affine = normalizer(key, mode, stats[key], length, 'legacy');
    if (side === 'normalize_inputs') noteStill(dir, key, type, mode, stats[key]);
    return affine;
  };
  return {
    rename: {},
    input: (key, length) => map(key, length, 'normalize_inputs'),
    action: (dim) => ({ affine: map('action', dim, 'unnormalize_outputs') }),
    stats: (key): Stats | undefined => stats[key],
  };
}

/** Dots became underscores; going back through the config's keys keeps names that had underscores themselves. */
const flat = (feature: string): string => feature.replaceAll('.', '_');
