// The cameras of diffusion_policy's image policies: MultiImageObsEncoder, which the configuration describes, and
// robomimic's encoder of the hybrid policies, which they take from robomimic's own configuration of bc_rnn for images
// (common/robomimic_config_util.py): ResNet18, a spatial softmax of 32 keypoints, a linear layer of 64.

import { TendonError } from '../../types/index.js';
import type { Plain } from '../../weights/index.js';
import { type Dict, type Hydra, isDict } from './hydra.js';

interface Shared {
  readonly features: Record<string, { readonly type: string; readonly shape: Plain }>;
  readonly fields: Record<string, unknown>;
}

/** Features, in the order of the configuration, and the action. */
function shared(hydra: Hydra, obs_as: string): Shared {
  const features: Shared['features'] = {};
  const normalizer_keys: Record<string, string> = { action: 'action' };
  for (const [key, attr] of Object.entries(hydra.dict('policy.shape_meta.obs'))) {
    const { shape, type = 'low_dim' } = attr as Dict;
    if (type !== 'rgb' && type !== 'low_dim')
      throw new TendonError(
        'unsupported',
        `${hydra.path}: observation ${key} is of type ${JSON.stringify(type)}; only rgb and low_dim are supported`,
        { key },
      );
    const feature = `observation.${type === 'rgb' ? 'images.' : ''}${key}`;
    features[feature] = { type: type === 'rgb' ? 'VISUAL' : 'STATE', shape: shape ?? null };
    normalizer_keys[feature] = key;
  }
  return {
    features,
    fields: {
      input_features: features,
      output_features: { action: { type: 'ACTION', shape: hydra.find('policy.shape_meta.action.shape') } },
      normalizer_keys,
      obs_as,
    },
  };
}

export function imageFields(hydra: Hydra): Record<string, unknown> {
  const at = 'policy.obs_encoder';
  const painted = !hydra.flag('policy.obs_as_global_cond', true);
  const { fields } = shared(hydra, painted ? 'inpainting' : 'global_cond');
  const sharing = hydra.flag(`${at}.share_rgb_model`, false);
  return {
    ...fields,
    obs_encoder: {
      kind: 'multi_image',
      backbone: backboneOf(hydra, `${at}.rgb_model`),
      // The peer changes norms in the copies that it makes of the network, and makes none of a shared one.
      group_norm: hydra.flag(`${at}.use_group_norm`, false) && !sharing,
      shared: sharing,
      resize_shape: sizes(hydra.find(`${at}.resize_shape`)),
      // A crop that is not random is never applied: the peer's ImageNet step takes its place.
      crop_shape: hydra.flag(`${at}.random_crop`, true) ? sizes(hydra.find(`${at}.crop_shape`)) : null,
      imagenet_norm: hydra.flag(`${at}.imagenet_norm`, false),
    },
  };
}

/** One ResNet's name for all cameras, or that of each where they are the same. */
function backboneOf(hydra: Hydra, at: string): Plain {
  const model = hydra.find(at);
  const each = isDict(model) && model._target_ === undefined ? Object.values(model) : [model];
  const names = new Set(each.map((one) => (isDict(one) ? (one.name ?? 'resnet18') : 'resnet18')));
  if (names.size !== 1)
    throw new TendonError(
      'unsupported',
      `${hydra.path}: obs_encoder.rgb_model has ${[...names].join(' and ')}; only one kind for all cameras is supported`,
    );
  return [...names][0]!;
}

/** A size, or a size by camera; as a folder's config has it, by the feature's key. */
function sizes(value: Plain | undefined): Plain {
  if (!isDict(value)) return value ?? null;
  return Object.fromEntries(Object.entries(value).map(([key, size]) => [`observation.images.${key}`, size]));
}

export function hybridFields(hydra: Hydra): Record<string, unknown> {
  const transformer = hydra.find('policy.obs_as_cond') !== undefined || hydra.has('policy.n_layer');
  const conditioned = transformer
    ? hydra.flag('policy.obs_as_cond', true) && 'cond'
    : hydra.flag('policy.obs_as_global_cond', true) && 'global_cond';
  const { fields } = shared(hydra, conditioned || 'inpainting');
  const crop = hydra.find('policy.crop_shape');
  // Absent is the peer's default; null is none.
  const crop_shape = crop === undefined ? [76, 76] : crop;
  const fixed = hydra.flag('policy.eval_fixed_crop', false);
  return {
    ...fields,
    obs_encoder: {
      kind: 'robomimic',
      visual: {
        backbone: 'resnet18',
        group_norm: hydra.flag('policy.obs_encoder_group_norm', false),
        pool: 'SpatialSoftmax',
        num_kp: 32,
        feature_dimension: 64,
        crop_shape,
        // Without eval_fixed_crop robomimic's own crop runs, which since 0.3 is the centre's too.
        crop_rounding: fixed ? 'even' : 'down',
      },
    },
  };
}
