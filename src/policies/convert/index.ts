// From a training's own file to a folder that loads: what the file is, is found by what it holds.

import { readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { TendonError } from '../../types/index.js';
import { openTorch, type TorchFile } from '../../weights/index.js';
import { convertAct, isOriginalAct } from './act.js';
import { configBeside } from './beside.js';
import { besoConfig, isBeso } from './beso.js';
import { convertDp, isDp } from './dp.js';
import type { Converted } from './folder.js';
import { Intake } from './intake.js';
import { convertRobomimic, isRobomimic } from './robomimic.js';
import { noteEpisodes, tdmpc2Config } from './tdmpc2.js';

export { writeCheckpoint } from './folder.js';

export interface ConvertOptions {
  /** The original ACT's dataset_stats.pkl; beside the checkpoint when absent. */
  readonly stats?: string;
  readonly cameras?: Readonly<Record<string, readonly [number, number]>>;
  /** Fields that the file does not hold, or that are to replace what was found. */
  readonly config?: Readonly<Record<string, unknown>>;
}

/** Where a training wraps its weights. */
const WRAPPERS = ['model.', 'state_dict.', ''];
/** Copies that only training needs. */
const TRAINING = /(^|\.)(_detach_Qs_params|_target_Qs_params|__batch_size|__device|optimizer)(\.|$)/;

export function convert(path: string, options: ConvertOptions = {}): Converted {
  const file = openTorch(path);
  const converted = recognise(file, options);
  return { ...converted, config: { ...converted.config, ...options.config } };
}

function recognise(file: TorchFile, options: ConvertOptions): Converted {
  if (isDp(file)) return convertDp(file);
  if (isRobomimic(file)) return convertRobomimic(file);
  if (isOriginalAct(file))
    return convertAct(file, {
      stats: options.stats ?? join(dirname(file.path), 'dataset_stats.pkl'),
      cameras: options.cameras ?? {},
    });
  const has = (part: string): string | undefined =>
    WRAPPERS.find((prefix) => [...file.tensors.keys()].some((name) => name.startsWith(prefix + part)));
  const tdmpc2 = has('_dynamics.0.');
  if (tdmpc2 !== undefined) {
    const beside = options.config?.latent_dim === undefined ? configBeside(file.path) : undefined;
    const config =
      beside === undefined ? options.config : { ...tdmpc2Config(beside, file, tdmpc2), ...options.config };
    if (beside !== undefined && config?.episode_length === undefined && config?.discount === undefined)
      noteEpisodes(beside.path);
    return {
      ...bare('TD-MPC2', file, tdmpc2, { ...options, ...(config && { config }) }),
      config: config ?? {},
    };
  }
  const beso = has('inner_model.');
  if (beso !== undefined) {
    const beside = options.config?.embed_dim === undefined ? configBeside(file.path) : undefined;
    if (beside === undefined || !isBeso(beside)) return bare('BESO', file, beso, options, 'beso');
    const config = besoConfig(beside, dirname(file.path));
    return { ...bare('BESO', file, beso, { ...options, config }), config };
  }
  throw new TendonError(
    'unsupported',
    `${file.path}: its ${file.tensors.size} tensors (${[...file.tensors.keys()].slice(0, 3).join(', ')} …) are none of diffusion_policy's, robomimic's, ACT's, TD-MPC2's or BESO's; a LeRobot checkpoint is a folder and needs no conversion`,
    { path: file.path },
  );
}

/** A state dict without its configuration, which the user gives. */
function bare(
  found: string,
  file: TorchFile,
  prefix: string,
  options: ConvertOptions,
  type?: string,
): Converted {
  if (options.config === undefined)
    throw new TendonError(
      'config_invalid',
      `${file.path} holds ${found}'s weights and not its configuration: give it with --config FILE (JSON or YAML)${neighbours(file.path)}`,
      { path: file.path },
    );
  const intake = new Intake(file, found);
  intake.drop(TRAINING, 'copies that only training needs');
  intake.take(new RegExp(`^${prefix.replace('.', '\\.')}`), '');
  return { found, ...intake.finish(), config: type === undefined ? {} : { type } };
}

/** Configuration files beside the checkpoint, as a hint. */
function neighbours(path: string): string {
  const dir = dirname(path);
  const found = readdirSync(dir).filter((name) => /\.(json|ya?ml)$/.test(name) && name !== basename(path));
  return found.length === 0 ? '' : `; beside it there is ${found.map((name) => join(dir, name)).join(', ')}`;
}
