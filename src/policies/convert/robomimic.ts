// robomimic's checkpoints (ARISE-Initiative/robomimic d309eae and 0.2, utils/train_utils.py, save_model): {model, config as
// JSON, algo_name, shape_metadata, env_metadata, statistics}. Behaviour cloning keeps its names; the diffusion policy is
// diffusion_policy's hybrid UNet under other ones.

import { TendonError } from '../../types/index.js';
import { type Plain, plainOf, type TorchFile } from '../../weights/index.js';
import type { Converted } from './folder.js';
import { type Dict, Hydra, isDict, wrong } from './hydra.js';
import { Intake } from './intake.js';
import { diffusionFields, headFields, networkFields, visualFields } from './robomimic-fields.js';

export const isRobomimic = (file: TorchFile): boolean =>
  file.root instanceof Map && file.root.has('algo_name') && file.root.has('shape_metadata');

export function convertRobomimic(file: TorchFile): Converted {
  const root = file.root as Map<unknown, never>;
  const plain = (key: string): Plain | undefined => plainOf(root.get(key));
  const algo = plain('algo_name');
  if (algo !== 'bc' && algo !== 'diffusion_policy')
    throw new TendonError(
      'unsupported',
      `${file.path}: robomimic's algorithm ${JSON.stringify(algo)} is not run here; those that are: bc, diffusion_policy`,
      { path: file.path, algo },
    );
  const config = new Hydra(file.path, configOf(file.path, plain('config')));
  const meta = new Hydra(file.path, {
    shape: plain('shape_metadata') ?? {},
    env: plain('env_metadata') ?? {},
  });
  if (isDict(config.find('observation.modalities.goal')) && keysOf(config, 'goal').size > 0)
    throw new TendonError('unsupported', `${file.path}: goals in robomimic's policies are not supported`);
  const diffusion = algo === 'diffusion_policy';
  const found = `robomimic ${algo}`;
  const intake = new Intake(file, found);
  takeWeights(file, intake, diffusion);

  const kinds = keysOf(config, 'obs');
  const shapes = meta.dict('shape.all_shapes');
  const input_features: Record<string, unknown> = {};
  const names: Record<string, string> = { action: 'action' };
  for (const [key, shape] of Object.entries(shapes)) {
    const kind = kinds.get(key);
    if (kind === undefined) continue;
    const feature = `observation.${kind === 'rgb' ? 'images.' : ''}${key}`;
    input_features[feature] = { type: kind === 'rgb' ? 'VISUAL' : 'STATE', shape };
    names[feature] = key;
    const length = kind === 'rgb' ? 1 : (shape as number[]).reduce((n, d) => n * d, 1);
    const stats = kind === 'rgb' ? undefined : statsOf(file.path, plain('obs_normalization_stats'), [key]);
    if (kind === 'rgb' && (plain('obs_normalization_stats') ?? null) !== null)
      throw new TendonError('unsupported', `${file.path}: normalised camera frames are not supported`);
    addNormalizer(intake, key, length, stats);
  }
  const action_dim = meta.number('shape.ac_dim');
  addNormalizer(
    intake,
    'action',
    action_dim,
    actionStats(file.path, config, plain('action_normalization_stats')),
  );
  const cameras = [...kinds.values()].includes('rgb');
  const fps = meta.find('env.env_kwargs.control_freq');
  return {
    found,
    ...intake.finish(),
    config: {
      type: diffusion ? 'diffusion_policy' : 'robomimic',
      ...(typeof fps === 'number' ? { fps } : {}),
      input_features,
      output_features: { action: { type: 'ACTION', shape: [action_dim] } },
      ...(diffusion
        ? { normalizer_keys: names, ...diffusionFields(config, cameras) }
        : {
            names,
            visual: cameras ? visualFields(config) : null,
            ...networkFields(config),
            head: headFields(config),
          }),
    },
  };
}

function configOf(path: string, text: Plain | undefined): Dict {
  try {
    const json: unknown = JSON.parse(String(text));
    if (isDict(json as Plain)) return json as Dict;
  } catch {
    // Told below.
  }
  throw wrong(path, 'config', 'a JSON object', typeof text === 'string' ? text.slice(0, 80) : text);
}

/** Modality of each key of a group. */
function keysOf(config: Hydra, group: 'obs' | 'goal'): Map<string, string> {
  const found = new Map<string, string>();
  for (const [modality, keys] of Object.entries(config.dict(`observation.modalities.${group}`))) {
    if (!Array.isArray(keys) || keys.length === 0) continue;
    if (modality !== 'low_dim' && modality !== 'rgb')
      throw new TendonError(
        'unsupported',
        `${config.path}: observations of modality ${modality} (${keys.join(', ')}) are not supported; only low_dim and rgb are`,
      );
    for (const key of keys) found.set(String(key), modality);
  }
  return found;
}

/** The averaged weights of the diffusion policy where it kept them; the networks of behaviour cloning. */
function takeWeights(file: TorchFile, intake: Intake, diffusion: boolean): void {
  const has = (part: string): boolean =>
    [...file.tensors.keys()].some((name) => name.startsWith(`model.${part}.`));
  // 0.2 kept the networks alone.
  const part = diffusion && has('ema') ? 'model.ema' : has('nets') ? 'model.nets' : 'model';
  const at = part.replaceAll('.', '\\.');
  if (part !== 'model') {
    intake.drop(/^model\.(optimizers|lr_schedulers)\./, 'the optimisers');
    if (part === 'model.ema') intake.drop(/^model\.nets\./, 'the weights that were not averaged');
    else intake.drop(/^model\.ema\./, 'averaged weights');
  }
  intake.drop(/^variable_state\./, 'the state of training');
  intake.dropShared(new RegExp(`^${at}\\..*(obs_nets\\.[^.]+\\.(backbone|pool)|rnn\\.per_step_net)\\.`));
  if (diffusion) {
    intake.take(new RegExp(`^${at}\\.policy\\.obs_encoder\\.nets\\.obs\\.`), 'obs_encoder.');
    intake.take(new RegExp(`^${at}\\.policy\\.noise_pred_net\\.`), 'model.');
  } else intake.take(new RegExp(`^${at}\\.(?=policy\\.)`), '');
}

interface Stats {
  readonly offset: readonly number[];
  readonly scale: readonly number[];
}

/** The statistics of keys, one after the other; undefined when there are none. */
function statsOf(path: string, all: Plain | undefined, keys: readonly string[]): Stats | undefined {
  if (all === null || all === undefined) return undefined;
  const read = (stat: string): number[] =>
    keys.flatMap((key) => {
      const of = isDict(all) && Object.hasOwn(all, key) ? all[key] : undefined;
      const row = isDict(of) ? of[stat] : undefined;
      const values = Array.isArray(row) ? row.flat(4) : [];
      if (values.length === 0 || !values.every((v) => typeof v === 'number' && Number.isFinite(v)))
        throw wrong(path, `statistics of ${key}`, `numbers named ${stat}`, row);
      return values as number[];
    });
  return { offset: read('offset'), scale: read('scale') };
}

function actionStats(path: string, config: Hydra, all: Plain | undefined): Stats | undefined {
  if (all === null || all === undefined) return undefined;
  const keys = config.find('train.action_keys');
  if (!Array.isArray(keys)) throw wrong(path, 'train.action_keys', 'names', keys);
  for (const key of keys)
    if (config.find(`train.action_config.${key}.format`) === 'rot_6d')
      throw new TendonError(
        'unsupported',
        `${path}: action ${key} is a rotation of six numbers that the peer turns into an angle when it runs, which is not done here`,
      );
  return statsOf(path, all, keys.map(String));
}

/** y = (x − offset)/scale, as diffusion_policy's normaliser keeps it; without statistics y = x. */
function addNormalizer(intake: Intake, key: string, length: number, stats: Stats | undefined): void {
  const { offset, scale } = stats ?? {
    offset: new Array<number>(length).fill(0),
    scale: new Array<number>(length).fill(1),
  };
  if (offset.length !== length || scale.length !== length)
    throw new TendonError(
      'weights_mismatch',
      `statistics of ${key}: expected ${length} numbers, got ${offset.length} and ${scale.length}`,
      { key },
    );
  const at = `normalizer.params_dict.${key}.`;
  intake.add(
    `${at}scale`,
    Float32Array.from(scale, (s) => 1 / s),
  );
  intake.add(
    `${at}offset`,
    Float32Array.from(scale, (s, i) => -offset[i]! / s),
  );
}
