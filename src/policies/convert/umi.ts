// UMI's image policies (real-stanford/universal_manipulation_interface d095ba9, policy/diffusion_unet_timm_policy.py):
// diffusion_policy's UNet over timm's encoders. Poses come and go as the peer's robot code makes them: positions and
// rotations of six numbers, relative to the newest pose where shape_meta's pose_repr says so.

import { TendonError } from '../../types/index.js';
import type { Plain } from '../../weights/index.js';
import { type Dict, type Hydra, isDict, wrong } from './hydra.js';
import type { Intake } from './intake.js';

const AT = 'policy.obs_encoder';

/** `tokens`: of the transformer policy, whose encoder keeps every token and ignores no key. */
export function umiFields(hydra: Hydra, intake: Intake, tokens: boolean): Record<string, unknown> {
  if (!hydra.flag('policy.obs_as_global_cond', true))
    throw new TendonError('unsupported', `${hydra.path}: obs_as_global_cond false is not supported`);
  const input_features: Record<string, unknown> = {};
  const normalizer_keys: Record<string, string> = { action: 'action' };
  const horizons: Record<string, number> = {};
  const cameras: string[] = [];
  // The peer's order: cameras first, each kind by name.
  const all = Object.entries(hydra.dict('policy.shape_meta.obs')).sort(([a, x], [b, y]) => {
    const rgb = Number(isRgb(y)) - Number(isRgb(x));
    return rgb === 0 ? (a < b ? -1 : 1) : rgb;
  });
  for (const [key, attr] of all) {
    const { shape, horizon, ignore_by_policy } = attr as Dict;
    if (!tokens && !isRgb(attr) && ignore_by_policy === true) {
      intake.drop(new RegExp(`^normalizer\\.params_dict\\.${key}\\.`), 'of a key that the policy ignores');
      continue;
    }
    const feature = `observation.${isRgb(attr) ? 'images.' : ''}${key}`;
    if (typeof horizon !== 'number')
      throw wrong(hydra.path, `shape_meta.obs.${key}.horizon`, 'a number', horizon);
    input_features[feature] = { type: isRgb(attr) ? 'VISUAL' : 'STATE', shape: shape ?? null };
    normalizer_keys[feature] = key;
    horizons[feature] = horizon;
    if (isRgb(attr)) cameras.push(key);
  }
  const horizon = hydra.number('policy.shape_meta.action.horizon');
  return {
    n_obs_steps: Math.max(...Object.values(horizons)),
    horizon,
    n_action_steps: Math.min(hydra.number('n_action_steps', horizon), horizon),
    first_row: 0,
    input_features,
    output_features: { action: { type: 'ACTION', shape: hydra.find('policy.shape_meta.action.shape') } },
    normalizer_keys,
    obs_as: tokens ? 'cond' : 'global_cond',
    obs_encoder: encoderFields(hydra, intake, cameras, horizons, tokens),
  };
}

const isRgb = (attr: Plain): boolean => isDict(attr) && attr.type === 'rgb';

function encoderFields(
  hydra: Hydra,
  intake: Intake,
  cameras: readonly string[],
  horizons: Readonly<Record<string, number>>,
  tokens: boolean,
): Record<string, unknown> {
  const name = String(hydra.find(`${AT}.model_name`));
  const fields = { kind: 'timm', crop_ratio: cropRatio(hydra), horizons };
  if (/^vit_\w+_patch\d+_(clip_)?(quickgelu_)?\d+(\.|$)/.test(name)) {
    const chosen = hydra.find(`${AT}.feature_aggregation`) ?? null;
    if (chosen === 'all_tokens' && !tokens)
      throw new TendonError('unsupported', `${hydra.path}: feature_aggregation all_tokens is not supported`);
    const vit = vitFields(hydra, intake, name, cameras[0]!);
    return { ...fields, model: 'vit', vit, all_tokens: tokens && chosen === null };
  }
  const model = name.split('.')[0]!;
  if (model !== 'resnet18' && model !== 'resnet34')
    throw new TendonError(
      'unsupported',
      `${hydra.path}: the encoder ${name} is not supported; those that are: vit_…_patch…, resnet18, resnet34`,
      { name },
    );
  const aggregation = hydra.find(`${AT}.feature_aggregation`) ?? (tokens ? 'none' : null);
  // The transformer's encoder cannot be built with the others.
  const known = tokens
    ? ['none', 'avg', 'max', 'soft_attention']
    : ['avg', 'max', 'soft_attention', 'spatial_embedding', 'attention_pool_2d'];
  if (!known.includes(String(aggregation)))
    throw new TendonError(
      'unsupported',
      `${hydra.path}: feature_aggregation ${JSON.stringify(aggregation)} of ${name} is not supported`,
    );
  return {
    ...fields,
    model,
    // A pretrained network keeps its batch norm.
    group_norm: hydra.flag(`${AT}.use_group_norm`, false) && !hydra.flag(`${AT}.pretrained`, false),
    downsample_ratio: hydra.number(`${AT}.downsample_ratio`, 32),
    aggregation,
  };
}

/** Sizes by the tensors of the first camera; every timm ViT of patches here has heads of 64. */
function vitFields(hydra: Hydra, intake: Intake, name: string, camera: string): Record<string, unknown> {
  const at = `obs_encoder.key_model_map.${camera}.`;
  const shape = (part: string): readonly number[] => intake.shape(at + part) ?? [];
  const [width = 0, , patch] = shape('patch_embed.proj.weight');
  const blocks = intake
    .names()
    .flatMap((n) => (n.startsWith(`${at}blocks.`) ? n.slice(at.length).split('.')[1]! : []));
  if (width % 64 !== 0 || shape('cls_token').length === 0)
    throw new TendonError(
      'unsupported',
      `${hydra.path}: ${name} is not a ViT with a class token and heads of 64 numbers`,
    );
  const clip = name.includes('_clip_');
  return {
    ...{ width, depth: new Set(blocks).size, heads: width / 64, patch },
    mlp: shape('blocks.0.mlp.fc1.weight')[0],
    eps: clip ? 1e-5 : 1e-6,
    activation: name.includes('quickgelu') ? 'quick_gelu' : 'gelu',
    class_token: true,
    pre_norm: shape('norm_pre.weight').length > 0,
    patch_bias: shape('patch_embed.proj.bias').length > 0,
  };
}

/** The first of transforms is a crop by its ratio, or there are none; what follows changes colours at random. */
function cropRatio(hydra: Hydra): number | null {
  const transforms = hydra.find(`${AT}.transforms`) ?? null;
  if (transforms === null) return null;
  const first = Array.isArray(transforms) ? transforms[0] : undefined;
  if (isDict(first) && first.type === 'RandomCrop' && typeof first.ratio === 'number') return first.ratio;
  throw new TendonError(
    'unsupported',
    `${hydra.path}: obs_encoder.transforms should begin with RandomCrop and a ratio, got ${JSON.stringify(first)}`,
  );
}
