// Statistics among the weights (LeRobot 0.1 … 0.3.3, policies/normalize.py):
// normalize_inputs.buffer_<key with _>.<stat>, unnormalize_outputs.buffer_action.<stat>. Policies of many data sets have theirs by
// name: normalize_inputs.so100-red_buffer_<key>.<stat>.

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
  dataset?: string,
): Processing | undefined {
  const features = { ...input_features, ...output_features };
  const whose = dataSetOf(dir, tensors, dataset);
  const stats: Record<string, Record<string, Float32Array>> = Object.create(null);
  for (const feature of Object.keys(features))
    for (const side of ['normalize_inputs', 'normalize_targets', 'unnormalize_outputs'])
      for (const stat of ['mean', 'std', 'min', 'max']) {
        const name = `${side}.${whose}buffer_${flat(feature)}.${stat}`;
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

/** What stands before `buffer_`: nothing, or the one data set there is, or the one that was chosen. */
function dataSetOf(dir: string, tensors: Tensors, chosen: string | undefined): string {
  const names = tensors
    .names()
    .flatMap((name) => /^(?:un)?normalize_(?:inputs|targets|outputs)\.(.*?)buffer_/.exec(name)?.[1] ?? []);
  const found = [...new Set(names)].sort();
  if (found.length === 0 || (found.includes('') && chosen === undefined)) return '';
  const wanted = chosen === undefined && found.length === 1 ? found[0]! : `${chosen}_`;
  if (found.includes(wanted)) return wanted;
  const sets = found.map((name) => name.replace(/_$/, '')).filter((name) => name !== '');
  throw new TendonError(
    'config_invalid',
    `${dir}: the weights have statistics of ${sets.join(', ')}, got ${chosen === undefined ? 'no choice among them' : `"${chosen}"`}; say whose robot this is with dataset (--dataset ${sets[0]})`,
    { dir, sets },
  );
}

/** Dots became underscores; going back through the config's keys keeps names that had underscores themselves. */
const flat = (feature: string): string => feature.replaceAll('.', '_');
