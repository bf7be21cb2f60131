// The condition of a policy with cameras, made in the graph: state, each camera's keypoints and environment state of
// every observation side by side, the observations one after the other (DiffusionModel._prepare_global_conditioning).

import type { GraphBuilder, Value } from '../../native/index.js';
import { TendonError } from '../../types/index.js';
import type { FeatureMap } from '../features.js';
import type { Tensors } from '../tensors.js';
import type { Camera } from '../vision/camera.js';
import { rgbEncoder, rgbEncoderConfig } from '../vision/rgb-encoder.js';
import type { DiffusionConfig } from './config.js';

/** (1, n_obs_steps · width); inputs under their feature keys, a row per observation. */
export function cameraCondition(
  g: GraphBuilder,
  tensors: Tensors,
  config: DiffusionConfig,
  cameras: readonly Camera[],
  states: FeatureMap,
): Value {
  const rows = config.n_obs_steps;
  const encoder = rgbEncoderConfig(config);
  const separate = config.use_separate_rgb_encoder_per_camera;
  const [first] = cameras;
  for (const { key, input } of cameras)
    if (input.some((n, i) => n !== first!.input[i]))
      throw new TendonError(
        'config_invalid',
        `input_features.${key}: expected all cameras of one size, as ${first!.key} (${first!.input.join('×')}), got ${input.join('×')}`,
        { key },
      );
  const state = (key: string): Value[] =>
    key in states.dims ? [g.input(key, [rows, states.dims[key]!], 'observation')] : [];
  const pictures = cameras.map(({ key, input }, i) => {
    const prefix = `diffusion.rgb_encoder.${separate ? `${i}.` : ''}`;
    return rgbEncoder(g, tensors, prefix, encoder, g.input(key, [rows, ...input], 'observation'));
  });
  const row = g.concat([
    ...state('observation.state'),
    ...pictures,
    ...state('observation.environment_state'),
  ]);
  return g.reshape(row, [1, rows * row.shape[1]!]);
}
