// diffusion_policy's checkpoints (real-stanford/diffusion_policy 5ba07ac, workspace/base_workspace.py, save_checkpoint):
// {cfg, state_dicts, pickles}, the configuration as OmegaConf objects of which only the data is read.

import { VARIANCES } from '../../samplers/index.js';
import { TendonError } from '../../types/index.js';
import { plainOf, type TorchFile } from '../../weights/index.js';
import { hybridFields, imageFields } from './dp-cameras.js';
import type { Converted } from './folder.js';
import { Hydra, isDict, wrong } from './hydra.js';
import { Intake } from './intake.js';
import { umiFields } from './umi.js';

export const isDp = (file: TorchFile): boolean =>
  file.root instanceof Map && file.root.has('state_dicts') && file.root.has('cfg');

type Kind = {
  readonly network: 'unet' | 'transformer' | 'action_transformer';
  readonly cameras?: 'multi_image' | 'robomimic' | 'timm';
};

const KINDS: Readonly<Record<string, Kind>> = {
  DiffusionUnetLowdimPolicy: { network: 'unet' },
  DiffusionTransformerLowdimPolicy: { network: 'transformer' },
  DiffusionUnetImagePolicy: { network: 'unet', cameras: 'multi_image' },
  DiffusionUnetHybridImagePolicy: { network: 'unet', cameras: 'robomimic' },
  DiffusionUnetTimmPolicy: { network: 'unet', cameras: 'timm' },
  DiffusionTransformerTimmPolicy: { network: 'action_transformer', cameras: 'timm' },
  DiffusionTransformerHybridImagePolicy: { network: 'transformer', cameras: 'robomimic' },
};

export function convertDp(file: TorchFile): Converted {
  const root = file.root as Map<unknown, never>;
  const cfg = plainOf(root.get('cfg'));
  if (!isDict(cfg)) throw wrong(file.path, 'cfg', 'a configuration', cfg);
  const hydra = new Hydra(file.path, cfg);
  const target = String(hydra.dict('policy')._target_);
  const name = target.split('.').at(-1)!;
  const kind = Object.hasOwn(KINDS, name) ? KINDS[name] : undefined;
  if (kind === undefined)
    throw new TendonError(
      'unsupported',
      `${file.path}: its policy is ${target}; those that can be converted are ${Object.keys(KINDS).join(', ')}`,
      { path: file.path, target },
    );
  if (hydra.flag('policy.pred_action_steps_only', false) && kind.network === 'transformer')
    throw new TendonError(
      'unsupported',
      `${file.path}: pred_action_steps_only is supported for UNets, not for ${name}, whose table of positions is longer than what it would predict`,
    );
  const weights = weightsOf(file, name, hydra.find('training.use_ema') !== false);
  const fields =
    kind.cameras === 'timm'
      ? umiFields(hydra, weights, kind.network === 'action_transformer')
      : fieldsOf(hydra, name, kind);
  return {
    found: `${kind.cameras === 'timm' ? 'UMI' : 'diffusion_policy'} ${name}`,
    ...weights.finish(),
    config: {
      type: 'diffusion_policy',
      ...fields,
      network: networkFields(hydra, kind),
      ...schedulerFields(hydra),
    },
  };
}

function fieldsOf(hydra: Hydra, name: string, { network, cameras }: Kind): Record<string, unknown> {
  const visual = cameras === 'robomimic' ? hybridFields : imageFields;
  // The network predicts the rows that are executed and no others.
  const only = hydra.flag('policy.pred_action_steps_only', false);
  return {
    n_obs_steps: hydra.number('policy.n_obs_steps'),
    horizon: hydra.number(only ? 'policy.n_action_steps' : 'policy.horizon'),
    n_action_steps: hydra.number('policy.n_action_steps'),
    ...(only ? { first_row: 0 } : {}),
    // Of the steps that were observed the newest is executed first, but by the low-dimensional UNet when it is not told to.
    oa_step_convention:
      name !== 'DiffusionUnetLowdimPolicy' || hydra.flag('policy.oa_step_convention', false),
    ...(cameras === undefined ? lowDimFields(hydra, network) : visual(hydra)),
  };
}

/** What diffusers' schedulers may be told besides, with the value that ours follow (that of every shipped config). */
const USUAL = [
  ['set_alpha_to_one', true],
  ['steps_offset', 0],
  ['thresholding', false],
  ['timestep_spacing', 'leading'],
  ['rescale_betas_zero_snr', false],
] as const;

function schedulerFields(hydra: Hydra): Record<string, unknown> {
  const at = 'policy.noise_scheduler';
  const scheduler = hydra.dict(at);
  const refuse = (key: string, expected: string): never => {
    throw new TendonError(
      'unsupported',
      `${hydra.path}: noise_scheduler.${key} is ${JSON.stringify(scheduler[key])}; only ${expected} is supported`,
      { key },
    );
  };
  for (const [key, usual] of USUAL)
    if ((scheduler[key] ?? usual) !== usual) refuse(key, JSON.stringify(usual));
  if ((scheduler.trained_betas ?? null) !== null) refuse('trained_betas', 'null');
  const ddim = /DDIM/.test(String(scheduler._target_));
  if (!ddim && !/DDPM/.test(String(scheduler._target_))) refuse('_target_', 'DDPMScheduler or DDIMScheduler');
  const variance = scheduler.variance_type ?? 'fixed_small';
  if (!ddim && !(VARIANCES as readonly unknown[]).includes(variance))
    refuse(
      'variance_type',
      `${VARIANCES.join(', ')} (fixed_large_log gives NaN in diffusers itself, learned ones need a network that predicts them)`,
    );
  const trained = hydra.number(`${at}.num_train_timesteps`, 1000);
  return {
    noise_scheduler_type: ddim ? 'DDIM' : 'DDPM',
    num_train_timesteps: trained,
    beta_schedule: scheduler.beta_schedule ?? 'linear',
    beta_start: hydra.number(`${at}.beta_start`, 0.0001),
    beta_end: hydra.number(`${at}.beta_end`, 0.02),
    prediction_type: scheduler.prediction_type ?? 'epsilon',
    clip_sample: scheduler.clip_sample ?? true,
    clip_sample_range: scheduler.clip_sample_range ?? 1,
    num_inference_steps: hydra.number('policy.num_inference_steps', trained),
    ...(ddim ? {} : { variance_type: variance }),
  };
}

function lowDimFields(hydra: Hydra, network: Kind['network']): Record<string, unknown> {
  // The peer's policies paint observations into the trajectory unless they are told otherwise.
  const ways = network === 'transformer' ? (['cond'] as const) : (['global_cond', 'local_cond'] as const);
  return {
    input_features: { 'observation.state': { type: 'STATE', shape: [hydra.number('policy.obs_dim')] } },
    output_features: { action: { type: 'ACTION', shape: [hydra.number('policy.action_dim')] } },
    normalizer_keys: { 'observation.state': 'obs', action: 'action' },
    obs_as: ways.find((way) => hydra.flag(`policy.obs_as_${way}`, false)) ?? 'inpainting',
  };
}

/** The network is a section of its own in low-dimensional policies; those with cameras have defaults of their own. */
function networkFields(hydra: Hydra, { network, cameras }: Kind): Record<string, unknown> {
  const at = cameras === undefined ? 'policy.model' : 'policy';
  const own = <T>(value: T): T | undefined => (cameras === undefined ? undefined : value);
  if (network === 'unet')
    return {
      kind: 'unet',
      down_dims: hydra.find(`${at}.down_dims`) ?? [256, 512, 1024],
      kernel_size: hydra.number(`${at}.kernel_size`, own(5)),
      n_groups: hydra.number(`${at}.n_groups`, own(8)),
      diffusion_step_embed_dim: hydra.number(`${at}.diffusion_step_embed_dim`, own(256)),
      cond_predict_scale: hydra.flag(`${at}.cond_predict_scale`, cameras !== undefined),
    };
  if (network === 'action_transformer')
    return {
      kind: network,
      n_layer: hydra.number(`${at}.n_layer`, 7),
      n_head: hydra.number(`${at}.n_head`, 8),
      n_emb: hydra.number(`${at}.n_emb`, 768),
    };
  // Told of no n_obs_steps, the low-dimensional peer makes room for as many as the horizon has.
  const conditioned = cameras === undefined && hydra.flag('policy.obs_as_cond', false);
  const room = conditioned && !hydra.has(`${at}.n_obs_steps`);
  return {
    kind: 'transformer',
    n_layer: hydra.number(`${at}.n_layer`, own(8)),
    n_head: hydra.number(`${at}.n_head`, own(4)),
    n_emb: hydra.number(`${at}.n_emb`, own(256)),
    causal_attn: hydra.flag(`${at}.causal_attn`, cameras !== undefined),
    time_as_cond: hydra.flag(`${at}.time_as_cond`, true),
    n_cond_layers: hydra.number(`${at}.n_cond_layers`, 0),
    ...(room ? { cond_positions: hydra.number(`${at}.horizon`) } : {}),
  };
}

/** The averaged weights where training kept them, else the others. */
function weightsOf(file: TorchFile, name: string, averaged: boolean): Intake {
  const has = (part: string): boolean =>
    [...file.tensors.keys()].some((key) => key.startsWith(`state_dicts.${part}.`));
  const part = averaged && has('ema_model') ? 'ema_model' : 'model';
  if (!has(part))
    throw new TendonError('weights_mismatch', `${file.path}: state_dicts has neither model nor ema_model`);
  const intake = new Intake(file, `diffusion_policy's ${name}`);
  intake.drop(/^state_dicts\.\w*optimizer\./, 'the optimiser');
  const other = part === 'model' ? 'ema_model' : 'model';
  intake.drop(new RegExp(`^state_dicts\\.${other}\\.`), `the weights of ${other}, where ${part}'s are run`);
  // robomimic keeps backbone and pool beside the sequence that they are the beginning of.
  intake.dropShared(
    new RegExp(`^state_dicts\\.${part}\\.obs_encoder\\.obs_nets\\.[^.]+\\.(backbone|pool)\\.`),
  );
  intake.take(new RegExp(`^state_dicts\\.${part}\\.`), '');
  return intake;
}
