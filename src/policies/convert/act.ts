// The checkpoints of the original ACT (tonyzhaozh/act 742c753) and of Mobile ALOHA's (MarkFzp/act-plus-plus 26bab07): a
// state dict of DETRVAE, policy_best.ckpt, with dataset_stats.pkl beside it. Under LeRobot's names its ACT computes the
// same; act-plus-plus has a ResNet for each camera, the original one for all of them.

import { TendonError } from '../../types/index.js';
import { openNumpyDict, type WeightFile } from '../../weights/index.js';
import type { Converted } from './folder.js';
import { Intake } from './intake.js';

export interface ActConversion {
  /** dataset_stats.pkl */
  readonly stats: string;
  /** Cameras in the order of training, with (height, width): the file does not say. */
  readonly cameras: Readonly<Record<string, readonly [number, number]>>;
}

const IMAGENET = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } as const;
/** Ours by theirs. */
const NAMES: readonly (readonly [RegExp, string])[] = [
  [/^model\.transformer\.encoder\./, 'model.encoder.'],
  [/^model\.transformer\.decoder\.(?=layers\.0\.|norm\.)/, 'model.decoder.'],
  [/^model\.query_embed\./, 'model.decoder_pos_embed.'],
  [/^model\.input_proj\./, 'model.encoder_img_feat_input_proj.'],
  [/^model\.input_proj_robot_state\./, 'model.encoder_robot_state_input_proj.'],
  [/^model\.latent_out_proj\./, 'model.encoder_latent_input_proj.'],
  [/^model\.additional_pos_embed\./, 'model.encoder_1d_feature_pos_embed.'],
  [/^model\.action_head\./, 'model.action_head.'],
];
const UNUSED: readonly (readonly [RegExp, string])[] = [
  [/\.num_batches_tracked$/, 'counters of batch norm'],
  [/^model\.transformer\.decoder\.layers\.[1-9]\d*\./, 'decoder layers whose output the peer never reads'],
  [
    /^model\.(encoder|encoder_action_proj|encoder_joint_proj|cls_embed|latent_proj|pos_table)(\.|$)/,
    'the encoder of training',
  ],
  [/^model\.is_pad_head\./, 'the head that guesses padding in training'],
];
const BACKBONE = /^model\.backbones\.(\d+)\.0\.body\./;

export const isOriginalAct = (file: WeightFile): boolean =>
  file.tensors.has('model.query_embed.weight') && file.tensors.has('model.additional_pos_embed.weight');

export function convertAct(file: WeightFile, { stats, cameras }: ActConversion): Converted {
  const backbones = new Set([...file.tensors.keys()].flatMap((name) => BACKBONE.exec(name)?.[1] ?? []));
  const separate = backbones.size > 1;
  const found = separate ? 'act-plus-plus' : 'original ACT';
  refuseCodes(file);
  const intake = new Intake(file, found);
  for (const [pattern, why] of UNUSED) intake.drop(pattern, why);
  if (separate) intake.take(BACKBONE, 'model.backbones.$1.');
  else intake.take(BACKBONE, 'model.backbone.');
  for (const [theirs, ours] of NAMES) intake.take(theirs, ours);

  const shape = (name: string): readonly number[] => {
    const dims = intake.shape(name);
    if (dims === undefined)
      throw new TendonError('weights_mismatch', `${file.path}: ${found} has ${name}, this file does not`);
    return dims;
  };
  const [chunk_size, dim_model] = shape('model.decoder_pos_embed.weight') as [number, number];
  const [action_dim] = shape('model.action_head.weight') as [number];
  const [, state_dim] = shape('model.encoder_robot_state_input_proj.weight') as [number, number];
  const keys = Object.keys(cameras);
  checkCameras(file.path, keys, backbones.size, separate || action_dim !== state_dim);

  const numbers = openNumpyDict(stats);
  const take = (from: string, to: string, length: number): void => {
    const given = numbers.get(from);
    if (given?.values.length !== length)
      throw new TendonError(
        'weights_mismatch',
        `${stats}: expected ${from} with ${length} values, got ${given?.values.length ?? 'none'}; it belongs to another training`,
      );
    intake.add(to, given.values);
  };
  for (const stat of ['mean', 'std'] as const) {
    take(`qpos_${stat}`, `normalize_inputs.buffer_observation_state.${stat}`, state_dim);
    take(`action_${stat}`, `unnormalize_outputs.buffer_action.${stat}`, action_dim);
    for (const key of keys)
      intake.add(
        `normalize_inputs.buffer_observation_images_${key}.${stat}`,
        Float32Array.from(IMAGENET[stat]),
        [3, 1, 1],
      );
  }
  const visual = keys.map((key) => [
    `observation.images.${key}`,
    { type: 'VISUAL', shape: [3, ...cameras[key]!] },
  ]);
  const layers = new Set(
    intake.names().flatMap((name) => /^model\.encoder\.layers\.(\d+)\./.exec(name)?.[1] ?? []),
  );
  return {
    found,
    ...intake.finish(),
    config: {
      type: 'act',
      n_obs_steps: 1,
      chunk_size,
      n_action_steps: chunk_size,
      input_features: {
        'observation.state': { type: 'STATE', shape: [state_dim] },
        ...Object.fromEntries(visual),
      },
      output_features: { action: { type: 'ACTION', shape: [action_dim] } },
      normalization_mapping: { VISUAL: 'MEAN_STD', STATE: 'MEAN_STD', ACTION: 'MEAN_STD' },
      vision_backbone: backboneOf(intake, separate ? 'model.backbones.0.' : 'model.backbone.'),
      backbone_per_camera: separate,
      replace_final_stride_with_dilation: false,
      pre_norm: intake.shape('model.encoder.norm.weight') !== undefined,
      dim_model,
      // The repositories' constant: no shape tells.
      n_heads: 8,
      dim_feedforward: shape('model.encoder.layers.0.linear1.weight')[0],
      feedforward_activation: 'relu',
      n_encoder_layers: layers.size,
      n_decoder_layers: 1,
      use_vae: true,
      latent_dim: shape('model.encoder_latent_input_proj.weight')[1],
      temporal_ensemble_coeff: null,
    },
  };
}

/** act-plus-plus with --use_vq: its latent is a row of codes that a second network draws. */
function refuseCodes(file: WeightFile): void {
  const codes = file.tensors.get('model.latent_proj.weight')?.shape[0];
  if (codes !== undefined && codes === file.tensors.get('model.latent_out_proj.weight')?.shape[1])
    throw new TendonError(
      'unsupported',
      `${file.path}: this act-plus-plus was trained with --use_vq: its ${codes} latent numbers are codes that another network (latent_model_last.ckpt) draws, which is not run here; expected one trained without --use_vq`,
      { path: file.path },
    );
}

/** `exact`: each camera has a backbone of its own, so the file knows how many there are. */
function checkCameras(path: string, keys: readonly string[], backbones: number, exact: boolean): void {
  if (keys.length === 0)
    throw new TendonError(
      'config_invalid',
      `ACT does not keep the names of its cameras in the checkpoint: name ${exact ? `its ${backbones}` : 'them'} in the order of training, e.g. --cameras top=480x640`,
      { path },
    );
  if (exact && keys.length !== backbones)
    throw new TendonError(
      'config_invalid',
      `--cameras: ${path} has ${backbones} backbones, one for each camera, and ${keys.length} cameras are named (${keys.join(', ')}); name ${backbones} in the order of training`,
      { path, expected: backbones, got: keys.length },
    );
}

function backboneOf(intake: Intake, prefix: string): string {
  if (intake.shape('model.encoder_img_feat_input_proj.weight')?.[1] === 2048) return 'resnet50';
  return intake.shape(`${prefix}layer3.5.conv1.weight`) === undefined ? 'resnet18' : 'resnet34';
}
