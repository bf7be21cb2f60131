// What stands between the robot's numbers and the network's. A folder says it in one of two ways: LeRobot ≥ 0.4 in two
// processor files, each run as it stands (pipelines.ts); before that in statistics among the weights (buffers.ts).

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { TendonError } from '../../types/index.js';
import type { FeatureConfig, OpenOptions } from '../checkpoint.js';
import type { Tensors } from '../tensors.js';
import { type Affine, identity } from './affine.js';
import { buffersOf } from './buffers.js';
import { normalizer, type Stats } from './normalize.js';
import { Pipelines, POSTPROCESSOR, PREPROCESSOR } from './pipelines.js';
import type { PictureStep } from './steps.js';
import { noteStill } from './still.js';

/** From the network's action to the robot's: back through `affine`, plus a state, back through `after`. */
export interface ActionMap {
  readonly affine: Affine;
  /** What a relative action is relative to, when it is. */
  readonly relative?: Relative;
  /** Between the relative action's sum and the robot, where anything is. */
  readonly after?: Affine;
}

export interface Relative {
  /** The observation. */
  readonly key: string;
  /** What has become of it by the step that keeps it; the robot's own numbers when absent. */
  readonly state?: Affine;
  /** How much of it is in each action: 1, or 0 for joints that stay absolute; all of it when absent. */
  readonly share?: Float64Array;
}

export interface Processing {
  /** The policy's observation key by another under which the robot may give it. */
  readonly rename: Readonly<Record<string, string>>;
  /** Of the feature `key` with `length` numbers (or channels), on its way into the network. */
  input(key: string, length: number): Affine;
  /** Of an action of `dim` numbers, on its way out. */
  action(dim: number): ActionMap;
  /** Cuts and sizes of pictures before they are normalised. */
  readonly pictures?: PictureStep;
  /** The data's statistics of a feature, where there are any. */
  stats(key: string): Stats | undefined;
}

/** How a family that is none of LeRobot's keeps its statistics. */
export interface Scaler {
  /** By feature, where the checkpoint has them. */
  readonly stats?: Readonly<Record<string, Stats>> | undefined;
  readonly eps: number;
  /** Where they are to be written, for the error when there are none. */
  readonly advice: string;
}

export interface ProcessingWays {
  /** What LeRobot calls the two files, whose names begin with it; policy when absent. */
  readonly kind?: 'policy' | 'classifier';
  readonly scaler?: Scaler;
}

/**
 * Throws `file_missing` when neither way is there and the config needs one, `weights_mismatch` when the statistics of a
 * feature that is normalised are missing. `raw`: features, or all of them, that are not normalised whatever is said.
 */
export function processingOf(
  dir: string,
  config: FeatureConfig,
  tensors: Tensors | undefined,
  { raw = [], dataset }: Pick<OpenOptions, 'raw' | 'dataset'> = {},
  { kind = 'policy', scaler }: ProcessingWays = {},
): Processing {
  const features = { ...config.input_features, ...config.output_features };
  for (const key of raw === 'all' ? [] : raw)
    if (!Object.hasOwn(features, key))
      throw new TendonError(
        'config_invalid',
        `raw: expected "all" or features of ${dir} (${Object.keys(features).join(', ')}), got ${key}`,
        { key },
      );
  const isRaw = (key: string): boolean => raw === 'all' || raw.includes(key);
  const names = [PREPROCESSOR, POSTPROCESSOR].map((name) => name.replace('policy', kind)) as [string, string];
  const [pre, post] = names.map((name) => existsSync(join(dir, name)));
  if (pre !== post)
    throw new TendonError(
      'file_missing',
      `${dir} has ${names[pre ? 0 : 1]} and no ${names[pre ? 1 : 0]}; copy it from the training's folder`,
      { dir },
    );
  if (pre && scaler?.stats !== undefined)
    throw new TendonError(
      'config_invalid',
      `${dir} has statistics of its own and ${names[0]} as well; leave the one that its training used`,
      { dir },
    );
  if (scaler?.stats !== undefined) return scaledBy(dir, config, scaler.stats, scaler.eps, isRaw);
  if (pre) return new Pipelines(dir, config, isRaw, names);
  const found = tensors === undefined ? undefined : buffersOf(dir, config, tensors, isRaw, dataset);
  if (found !== undefined) return found;
  const needs = Object.entries(features).find(
    ([key, { type }]) => !isRaw(key) && (config.normalization_mapping[type] ?? 'IDENTITY') !== 'IDENTITY',
  );
  if (needs !== undefined)
    throw new TendonError(
      'file_missing',
      `${dir}: no normalisation statistics, and ${needs[0]} is normalised: neither ${names.join(' and ')} (LeRobot ≥ 0.4) nor normalize_inputs buffers in the weights (≤ 0.3.3); if its numbers are raw, say so with raw (--raw ${needs[0]}, or --raw all)${scaler === undefined ? '' : `. ${scaler.advice}`}`,
      { dir, key: needs[0] },
    );
  return UNCHANGED;
}

function scaledBy(
  dir: string,
  { input_features, output_features, normalization_mapping }: FeatureConfig,
  stats: Readonly<Record<string, Stats>>,
  eps: number,
  isRaw: (key: string) => boolean,
): Processing {
  const map = (key: string, length: number): Affine => {
    const { type } = { ...input_features, ...output_features }[key] ?? { type: '' };
    const mode = isRaw(key) ? 'IDENTITY' : (normalization_mapping[type] ?? 'IDENTITY');
    const of = Object.hasOwn(stats, key) ? stats[key] : undefined;
    const affine = normalizer(key, mode, of, length, 'current', eps);
    if (mode !== 'IDENTITY') noteStill(dir, key, type, mode, of!);
    return affine;
  };
  return {
    rename: {},
    input: map,
    action: (dim) => ({ affine: map('action', dim) }),
    stats: (key) => (Object.hasOwn(stats, key) ? stats[key] : undefined),
  };
}

const UNCHANGED: Processing = {
  rename: {},
  input: (_key, length) => identity(length),
  action: (dim) => ({ affine: identity(dim) }),
  stats: () => undefined,
};
