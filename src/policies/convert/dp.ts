// diffusion_policy's checkpoints (workspace/base_workspace.py, save_checkpoint): {cfg, state_dicts, pickles}, the
// configuration as OmegaConf objects of which only the data is read.

import { TendonError } from '../../types/index.js';
import { type Plain, plainOf, type TorchFile } from '../../weights/index.js';
import type { Converted } from './folder.js';
import { Intake } from './intake.js';

type Dict = { [key: string]: Plain };

export const isDp = (file: TorchFile): boolean =>
  file.root instanceof Map && file.root.has('state_dicts') && file.root.has('cfg');

export function convertDp(file: TorchFile): Converted {
  const root = file.root as Map<unknown, never>;
  const cfg = plainOf(root.get('cfg'));
  if (!isDict(cfg)) throw wrong(file.path, 'cfg', 'a configuration', cfg);
  const reader = new Reader(file.path, cfg);
  const policy = reader.dict('policy');
  const target = String(policy._target_);
  const name = target.split('.').at(-1)!;
  const kind = KINDS[name];
  if (kind === undefined)
    throw new TendonError(
      'unsupported',
      `${file.path}: its policy is ${target}; those that can be converted are ${Object.keys(KINDS).join(', ')}`,
      { path: file.path, target },
    );
  const scheduler = reader.dict('policy.noise_scheduler');
  for (const [key, usual] of USUAL)
    if (scheduler[key] !== undefined && scheduler[key] !== null && scheduler[key] !== usual)
      throw new TendonError(
        'unsupported',
        `${reader.path}: noise_scheduler.${key} is ${JSON.stringify(scheduler[key])}; only ${JSON.stringify(usual)} is supported`,
        { key },
      );
  const trained = reader.number('policy.noise_scheduler.num_train_timesteps');
  return {
    found: `diffusion_policy ${name}`,
    ...weightsOf(file, name, reader.find('training.use_ema') !== false).finish(),
    config: {
      type: 'diffusion_policy',
      n_obs_steps: reader.number('policy.n_obs_steps'),
      horizon: reader.number('policy.horizon'),
      n_action_steps: reader.number('policy.n_action_steps'),
      oa_step_convention: kind === 'unet' ? reader.find('policy.oa_step_convention') === true : true,
      ...(kind === 'image' ? imageFields(reader) : lowDimFields(reader, kind)),
      noise_scheduler_type: /DDIM/.test(String(scheduler._target_)) ? 'DDIM' : 'DDPM',
      num_train_timesteps: trained,
      beta_schedule: scheduler.beta_schedule ?? 'linear',
      beta_start: reader.number('policy.noise_scheduler.beta_start'),
      beta_end: reader.number('policy.noise_scheduler.beta_end'),
      prediction_type: scheduler.prediction_type ?? 'epsilon',
      clip_sample: scheduler.clip_sample ?? true,
      clip_sample_range: scheduler.clip_sample_range ?? 1,
      num_inference_steps: reader.find('policy.num_inference_steps') ?? trained,
    },
  };
}

/** What diffusers' schedulers may be told besides, with the value that ours follow (that of every shipped config). */
const USUAL = [
  ['variance_type', 'fixed_small'],
  ['set_alpha_to_one', true],
  ['steps_offset', 0],
  ['thresholding', false],
  ['timestep_spacing', 'leading'],
] as const;

const KINDS: Readonly<Record<string, 'unet' | 'transformer' | 'image'>> = {
  DiffusionUnetLowdimPolicy: 'unet',
  DiffusionTransformerLowdimPolicy: 'transformer',
  DiffusionUnetImagePolicy: 'image',
};

function lowDimFields(reader: Reader, kind: 'unet' | 'transformer'): Record<string, unknown> {
  const from = 'policy.model';
  // The peer's policies paint observations into the trajectory unless they are told otherwise.
  const ways = kind === 'transformer' ? (['cond'] as const) : (['global_cond', 'local_cond'] as const);
  const obs_as = ways.find((way) => reader.find(`policy.obs_as_${way}`) === true) ?? 'inpainting';
  if (reader.find('policy.pred_action_steps_only') === true)
    throw new TendonError('unsupported', `${reader.path}: pred_action_steps_only is not supported`);
  return {
    input_features: { 'observation.state': { type: 'STATE', shape: [reader.number('policy.obs_dim')] } },
    output_features: { action: { type: 'ACTION', shape: [reader.number('policy.action_dim')] } },
    normalizer_keys: { 'observation.state': 'obs', action: 'action' },
    obs_as,
    network:
      kind === 'unet'
        ? unetFields(reader, from)
        : {
            kind,
            n_layer: reader.number(`${from}.n_layer`),
            n_head: reader.number(`${from}.n_head`),
            n_emb: reader.number(`${from}.n_emb`),
            causal_attn: reader.find(`${from}.causal_attn`) === true,
            time_as_cond: reader.find(`${from}.time_as_cond`) !== false,
            n_cond_layers: reader.find(`${from}.n_cond_layers`) ?? 0,
            // Told of no n_obs_steps, the peer makes room for as many as the horizon has.
            ...(obs_as === 'cond' && (reader.find(`${from}.n_obs_steps`) ?? null) === null
              ? { cond_positions: reader.number(`${from}.horizon`) }
              : {}),
          },
  };
}

function imageFields(reader: Reader): Record<string, unknown> {
  const encoder = 'policy.obs_encoder';
  const resize = reader.find(`${encoder}.resize_shape`) ?? undefined;
  if (reader.find('policy.obs_as_global_cond') === false)
    throw new TendonError(
      'unsupported',
      `${reader.path}: cameras with obs_as_global_cond false are not supported`,
    );
  const features: Record<string, unknown> = {};
  const normalizer_keys: Record<string, string> = { action: 'action' };
  for (const [key, attr] of Object.entries(reader.dict('policy.shape_meta.obs'))) {
    const { shape, type } = attr as Dict;
    const visual = type === 'rgb';
    // The real robot's configuration resizes to the size that its frames have.
    if (visual && resize !== undefined && String(resize) !== String((shape as Plain[]).slice(1)))
      throw new TendonError(
        'unsupported',
        `${reader.path}: obs_encoder.resize_shape ${JSON.stringify(resize)} of ${key}, whose shape is [${shape}], is not supported; resize before`,
      );
    const feature = `observation.${visual ? 'images.' : ''}${key}`;
    features[feature] = { type: visual ? 'VISUAL' : 'STATE', shape };
    normalizer_keys[feature] = key;
  }
  return {
    input_features: features,
    output_features: { action: { type: 'ACTION', shape: reader.find('policy.shape_meta.action.shape') } },
    normalizer_keys,
    obs_as: 'global_cond',
    network: unetFields(reader, 'policy'),
    obs_encoder: {
      backbone: reader.find(`${encoder}.rgb_model.name`) ?? 'resnet18',
      // The peer changes norms in the copies that it makes of the network, and makes none of a shared one.
      group_norm:
        reader.find(`${encoder}.use_group_norm`) === true &&
        reader.find(`${encoder}.share_rgb_model`) !== true,
      shared: reader.find(`${encoder}.share_rgb_model`) === true,
      // A crop that is not random is never applied: the peer's ImageNet step takes its place.
      crop_shape:
        reader.find(`${encoder}.random_crop`) === false
          ? null
          : (reader.find(`${encoder}.crop_shape`) ?? null),
      imagenet_norm: reader.find(`${encoder}.imagenet_norm`) === true,
    },
  };
}

const unetFields = (reader: Reader, at: string): Record<string, unknown> => ({
  kind: 'unet',
  down_dims: reader.find(`${at}.down_dims`),
  kernel_size: reader.number(`${at}.kernel_size`),
  n_groups: reader.number(`${at}.n_groups`),
  diffusion_step_embed_dim: reader.number(`${at}.diffusion_step_embed_dim`),
  cond_predict_scale: reader.find(`${at}.cond_predict_scale`) === true,
});

/** The averaged weights where training kept them, else the others. */
function weightsOf(file: TorchFile, name: string, averaged: boolean): Intake {
  const has = (part: string): boolean =>
    [...file.tensors.keys()].some((key) => key.startsWith(`state_dicts.${part}.`));
  const part = averaged && has('ema_model') ? 'ema_model' : 'model';
  if (!has(part))
    throw new TendonError('weights_mismatch', `${file.path}: state_dicts has neither model nor ema_model`);
  const intake = new Intake(file, `diffusion_policy's ${name}`);
  intake.take(new RegExp(`^state_dicts\\.${part}\\.`), '');
  intake.drop(/^state_dicts\.(ema_)?model\./, 'the weights that training did not average, or averaged');
  intake.drop(/^state_dicts\.\w*optimizer\./, 'the optimiser');
  return intake;
}

/** A configuration by dotted paths; a value that is `${path}` stands for the one there, and nothing is evaluated. */
class Reader {
  constructor(
    readonly path: string,
    private readonly root: Dict,
  ) {}

  find(path: string, depth = 0): Plain | undefined {
    let at: Plain | undefined = this.root;
    for (const part of path.split('.')) at = isDict(at) && Object.hasOwn(at, part) ? at[part] : undefined;
    const reference = typeof at === 'string' ? /^\$\{([\w.]+)\}$/.exec(at) : null;
    return reference !== null && depth < 16 ? this.find(reference[1]!, depth + 1) : at;
  }

  number(path: string): number {
    const value = this.find(path);
    if (typeof value !== 'number') throw wrong(this.path, path, 'a number', value);
    return value;
  }

  dict(path: string): Dict {
    const value = this.find(path);
    if (!isDict(value)) throw wrong(this.path, path, 'a section', value);
    return value;
  }
}

const isDict = (value: Plain | undefined): value is Dict =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const wrong = (path: string, field: string, expected: string, got: unknown): TendonError =>
  new TendonError(
    'config_invalid',
    `${path}: its configuration should have ${expected} at ${field}, got ${JSON.stringify(got)}`,
    { path, field },
  );
