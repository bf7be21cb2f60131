// The fields of robomimic's configuration (config/bc_config.py, diffusion_policy_config.py, base_config.py) that change what a
// policy computes. What is not run is refused by its name.

import { TendonError } from '../../types/index.js';
import type { Plain } from '../../weights/index.js';
import { type Hydra, isDict } from './hydra.js';

const refuse = (config: Hydra, what: string): TendonError =>
  new TendonError('unsupported', `${config.path}: ${what} is not supported`, { path: config.path });

/** Some options are only there since a later version. */
const enabled = (config: Hydra, path: string): boolean => config.flag(`${path}.enabled`, false);

const BACKBONES: Readonly<Record<string, string>> = { ResNet18Conv: 'resnet18', ResNet50Conv: 'resnet50' };

/** The one encoder that all cameras have a copy of. */
export function visualFields(config: Hydra): Record<string, unknown> {
  const at = 'observation.encoder.rgb';
  const kwargs = `${at}.core_kwargs`;
  if (config.find(`${at}.core_class`) !== 'VisualCore')
    throw refuse(config, `encoder.rgb.core_class ${JSON.stringify(config.find(`${at}.core_class`))}`);
  const name = String(config.find(`${kwargs}.backbone_class`));
  const backbone = Object.hasOwn(BACKBONES, name) ? BACKBONES[name] : undefined;
  if (backbone === undefined) throw refuse(config, `the backbone ${name}`);
  if (config.flag(`${kwargs}.backbone_kwargs.input_coord_conv`, false))
    throw refuse(config, 'input_coord_conv');
  const pool = config.find(`${kwargs}.pool_class`) ?? null;
  if (pool !== null && pool !== 'SpatialSoftmax' && pool !== 'SpatialMeanPool')
    throw refuse(config, `the pooling ${JSON.stringify(pool)}`);
  if (config.flag(`${kwargs}.pool_kwargs.output_variance`, false)) throw refuse(config, 'output_variance');
  if (!config.flag(`${kwargs}.flatten`, true)) throw refuse(config, 'flatten false');
  const points = config.find(`${kwargs}.pool_kwargs.num_kp`);
  const width = config.find(`${kwargs}.feature_dimension`);
  return {
    backbone,
    group_norm: false,
    pool,
    // Absent is the class's default; null is none.
    num_kp: points === undefined ? 32 : points,
    feature_dimension: width === undefined ? 64 : width,
    crop_shape: cropOf(config, at),
    crop_rounding: 'down',
    relu: !enabled(config, 'algo.transformer'),
  };
}

/** Randomizers that change nothing when the policy runs. */
const STILL = new Set(['ColorRandomizer', 'GaussianNoiseRandomizer']);

/** The crop of CropRandomizer, which is the centre's when the policy runs (before 0.3 it was random even then). */
function cropOf(config: Hydra, at: string): Plain {
  const list = (value: Plain | undefined): Plain[] => (Array.isArray(value) ? value : [value ?? null]);
  const classes = list(config.find(`${at}.obs_randomizer_class`));
  const kwargs = list(config.find(`${at}.obs_randomizer_kwargs`));
  let crop: Plain = null;
  classes.forEach((name, i) => {
    if (name === null || STILL.has(String(name))) return;
    const options = kwargs[i] ?? null;
    if (name !== 'CropRandomizer' || !isDict(options) || crop !== null)
      throw refuse(config, `the randomizer ${classes.join(', ')}`);
    if (options.pos_enc === true) throw refuse(config, 'CropRandomizer with pos_enc');
    crop = [options.crop_height ?? 76, options.crop_width ?? 76];
  });
  return crop;
}

export function networkFields(config: Hydra): Record<string, unknown> {
  const dims = config.find('algo.actor_layer_dims') ?? [];
  if (!isDict(config.find('observation.encoder'))) throw refuse(config, 'a configuration without encoders');
  if ((config.find('observation.encoder.low_dim.core_class') ?? null) !== null)
    throw refuse(config, 'an encoder of low-dimensional observations');
  if (enabled(config, 'algo.rnn')) {
    const at = 'algo.rnn';
    if (config.flag(`${at}.open_loop`, false)) throw refuse(config, 'rnn.open_loop');
    if (config.flag(`${at}.kwargs.bidirectional`, false)) throw refuse(config, 'a bidirectional RNN');
    return {
      n_obs_steps: 1,
      network: {
        kind: 'rnn',
        rnn_type: config.find(`${at}.rnn_type`),
        hidden_dim: config.number(`${at}.hidden_dim`),
        num_layers: config.number(`${at}.num_layers`),
        horizon: config.number(`${at}.horizon`),
        layer_dims: dims,
      },
    };
  }
  if (!enabled(config, 'algo.transformer'))
    return { n_obs_steps: 1, network: { kind: 'mlp', layer_dims: dims } };
  const at = 'algo.transformer';
  const parameter = config.flag(`${at}.nn_parameter_for_timesteps`, false);
  const future =
    config.flag(`${at}.supervise_all_steps`, false) && config.flag(`${at}.pred_future_acs`, false);
  return {
    n_obs_steps: config.number(`${at}.context_length`),
    network: {
      kind: 'transformer',
      embed_dim: config.number(`${at}.embed_dim`),
      num_layers: config.number(`${at}.num_layers`),
      num_heads: config.number(`${at}.num_heads`),
      activation: config.find(`${at}.activation`) ?? 'gelu',
      embedding: config.flag(`${at}.sinusoidal_embedding`, false)
        ? 'sinusoidal'
        : parameter
          ? 'parameter'
          : 'learned',
      acts: future ? 'first' : 'last',
    },
  };
}

export function headFields(config: Hydra): Record<string, unknown> {
  if (enabled(config, 'algo.vae'))
    throw refuse(config, 'BC-VAE, whose latent is drawn from a learned prior,');
  if (enabled(config, 'algo.gaussian')) {
    const at = 'algo.gaussian';
    return {
      kind: 'gaussian',
      low_noise_eval: config.flag(`${at}.low_noise_eval`, true),
      fixed_std: config.flag(`${at}.fixed_std`, false),
      init_std: config.number(`${at}.init_std`, 0.3),
      std_activation: config.find(`${at}.std_activation`) ?? null,
      mean_limits: [-9, 9],
      std_limits: [config.number(`${at}.min_std`, 0.007), 7.5],
      use_tanh: config.flag(`${at}.use_tanh`, false),
    };
  }
  if (!enabled(config, 'algo.gmm')) return { kind: 'deterministic' };
  const at = 'algo.gmm';
  return {
    kind: 'gmm',
    num_modes: config.number(`${at}.num_modes`),
    low_noise_eval: config.flag(`${at}.low_noise_eval`, true),
    min_std: config.number(`${at}.min_std`),
    std_activation: config.find(`${at}.std_activation`) ?? 'softplus',
  };
}

/** As diffusion_policy's folders have it; the UNet is built at its defaults, whatever algo.unet says. */
export function diffusionFields(config: Hydra, cameras: boolean): Record<string, unknown> {
  const ddpm = enabled(config, 'algo.ddpm');
  const at = ddpm ? 'algo.ddpm' : 'algo.ddim';
  const network = {
    ...{ kind: 'unet', down_dims: [256, 512, 1024], kernel_size: 5, n_groups: 8 },
    ...{ diffusion_step_embed_dim: 256, cond_predict_scale: true },
  };
  return {
    n_obs_steps: config.number('algo.horizon.observation_horizon'),
    n_action_steps: config.number('algo.horizon.action_horizon'),
    horizon: config.number('algo.horizon.prediction_horizon'),
    obs_as: 'global_cond',
    network,
    // Batch norm is replaced in every encoder.
    ...(cameras
      ? { obs_encoder: { kind: 'robomimic', visual: { ...visualFields(config), group_norm: true } } }
      : {}),
    noise_scheduler_type: ddpm ? 'DDPM' : 'DDIM',
    num_train_timesteps: config.number(`${at}.num_train_timesteps`),
    num_inference_steps: config.number(`${at}.num_inference_timesteps`),
    beta_schedule: config.find(`${at}.beta_schedule`),
    beta_start: 0.0001,
    beta_end: 0.02,
    clip_sample: config.flag(`${at}.clip_sample`, true),
    prediction_type: config.find(`${at}.prediction_type`),
  };
}
