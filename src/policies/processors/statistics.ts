// Where a LeRobot checkpoint keeps its statistics: processor files since 0.4, buffers among the weights before
// (normalize_inputs.buffer_<key with _>.<stat> and so on).

import { TendonError } from '../../types/index.js';
import { readTensor } from '../../weights/index.js';
import type { Tensors } from '../checkpoint.js';
import type { NormVersion, Stats } from './normalize.js';
import { readPipelines } from './pipeline.js';

export interface Statistics {
  readonly stats: Readonly<Record<string, Stats>>;
  readonly version: NormVersion;
  readonly eps: number;
  readonly norm_map?: Readonly<Record<string, string>> | undefined;
  /** The policy's observation key by the robot's. */
  readonly rename?: Readonly<Record<string, string>>;
  readonly absolute_state_key?: string | undefined;
}

/** `optional`: the config normalises nothing, so a checkpoint without statistics is whole. */
export function statisticsOf(
  dir: string,
  tensors: Tensors,
  features: readonly string[],
  optional = false,
): Statistics {
  const pipelines = readPipelines(dir);
  if (pipelines !== undefined) return { ...pipelines, version: 'current' };
  const stats: Record<string, Record<string, Float32Array>> = Object.create(null);
  for (const feature of features) {
    // Dots became underscores; going back through the config's keys keeps names that had underscores themselves.
    const flat = feature.replaceAll('.', '_');
    for (const side of ['normalize_inputs', 'normalize_targets', 'unnormalize_outputs'])
      for (const stat of ['mean', 'std', 'min', 'max']) {
        const name = `${side}.buffer_${flat}.${stat}`;
        if (!tensors.has(name)) continue;
        stats[feature] ??= Object.create(null) as Record<string, Float32Array>;
        stats[feature][stat] = readTensor(tensors.anyShape(name));
      }
  }
  if (Object.keys(stats).length === 0 && !optional)
    throw new TendonError(
      'file_missing',
      `${dir}: no normalisation statistics: neither policy_preprocessor.json and policy_postprocessor.json (LeRobot ≥ 0.4) nor normalize_inputs buffers in model.safetensors (≤ 0.3.3)`,
      { dir },
    );
  return { stats, version: 'legacy', eps: 1e-8 };
}
