// The original ACT's checkpoints (tonyzhaozh/act 742c753: policy_best.ckpt, a state dict of DETRVAE, and
// dataset_stats.pkl beside it) under LeRobot's names, whose network computes the same.

import { TendonError } from '../../types/index.js';
import { openNumpyDict, type TensorSource, type WeightFile } from '../../weights/index.js';
import type { Converted } from './folder.js';

export interface ActConversion {
  /** dataset_stats.pkl */
  readonly stats: string;
  /** Cameras in the order of training, with (height, width): the file does not say. */
  readonly cameras: Readonly<Record<string, readonly [number, number]>>;
}

const IMAGENET = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } as const;
/** Ours by theirs; the decoder's layers after the first were built and never used (its issue 25). */
const NAMES: readonly (readonly [RegExp, string])[] = [
  [/^model\.backbones\.0\.0\.body\./, 'model.backbone.'],
  [/^model\.transformer\.encoder\./, 'model.encoder.'],
  [/^model\.transformer\.decoder\.(?=layers\.0\.|norm\.)/, 'model.decoder.'],
  [/^model\.query_embed\./, 'model.decoder_pos_embed.'],
  [/^model\.input_proj\./, 'model.encoder_img_feat_input_proj.'],
  [/^model\.input_proj_robot_state\./, 'model.encoder_robot_state_input_proj.'],
  [/^model\.latent_out_proj\./, 'model.encoder_latent_input_proj.'],
  [/^model\.additional_pos_embed\./, 'model.encoder_1d_feature_pos_embed.'],
  [/^model\.action_head\./, 'model.action_head.'],
];

export const isOriginalAct = (file: WeightFile): boolean =>
  file.tensors.has('model.query_embed.weight') && file.tensors.has('model.additional_pos_embed.weight');

export function convertAct(file: WeightFile, { stats, cameras }: ActConversion): Converted {
  const tensors: Record<string, TensorSource> = {};
  for (const [name, ref] of file.tensors) {
    const rule = NAMES.find(([theirs]) => theirs.test(name));
    if (rule !== undefined && !name.endsWith('num_batches_tracked'))
      tensors[name.replace(rule[0], rule[1])] = ref;
  }
  const shape = (name: string): readonly number[] => {
    const found = tensors[name];
    if (found === undefined)
      throw new TendonError(
        'weights_mismatch',
        `${file.path}: the original ACT has ${name}, this file does not`,
      );
    return found.shape;
  };
  const [chunk_size, dim_model] = shape('model.decoder_pos_embed.weight') as [number, number];
  const [action_dim] = shape('model.action_head.weight') as [number];
  const [, state_dim] = shape('model.encoder_robot_state_input_proj.weight') as [number, number];
  const keys = Object.keys(cameras);
  if (keys.length === 0)
    throw new TendonError(
      'config_invalid',
      'the original ACT does not keep its cameras in the checkpoint: name them in the order of training, e.g. --cameras top=480x640',
    );

  const numbers = openNumpyDict(stats);
  const take = (from: string, to: string, length: number): void => {
    const found = numbers.get(from);
    if (found?.values.length !== length)
      throw new TendonError(
        'weights_mismatch',
        `${stats}: expected ${from} with ${length} values, got ${found?.values.length ?? 'none'}; it belongs to another training`,
      );
    tensors[to] = { shape: [length], values: found.values };
  };
  for (const stat of ['mean', 'std'] as const) {
    take(`qpos_${stat}`, `normalize_inputs.buffer_observation_state.${stat}`, state_dim);
    take(`action_${stat}`, `unnormalize_outputs.buffer_action.${stat}`, action_dim);
    for (const key of keys)
      tensors[`normalize_inputs.buffer_observation_images_${key}.${stat}`] = {
        shape: [3, 1, 1],
        values: Float32Array.from(IMAGENET[stat]),
      };
  }
  const visual = keys.map((key) => [
    `observation.images.${key}`,
    { type: 'VISUAL', shape: [3, ...cameras[key]!] },
  ]);
  const layers = new Set(
    Object.keys(tensors).flatMap((n) => /^model\.encoder\.layers\.(\d+)\./.exec(n)?.[1] ?? []),
  );
  return {
    found: 'original ACT',
    tensors,
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
      vision_backbone: backboneOf(shape),
      replace_final_stride_with_dilation: false,
      pre_norm: 'model.encoder.norm.weight' in tensors,
      dim_model,
      // The repository's constant: no shape tells.
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

function backboneOf(shape: (name: string) => readonly number[]): string {
  if (shape('model.encoder_img_feat_input_proj.weight')[1] === 2048) return 'resnet50';
  try {
    shape('model.backbone.layer3.5.conv1.weight');
    return 'resnet34';
  } catch {
    return 'resnet18';
  }
}
