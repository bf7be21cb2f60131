// LeRobot's `multi_task_dit` family: a task in words, cameras and states through CLIP, and a diffusion or a flow over the chunk.

import { timestepEmbedding } from '../../networks/index.js';
import { TendonError } from '../../types/index.js';
import type { Checkpoint } from '../checkpoint.js';
import { definePolicy } from '../define.js';
import type { DenoiserFamily } from '../denoiser-family.js';
import { actionCodec, actionMap, lowDimFeatures, statesOf } from '../features.js';
import { diffusion, flow } from '../sampling.js';
import { type Camera, cameraSpec, camerasOf, picturesOf } from '../vision/camera.js';
import { type ClipStyle, clipStyle, clipWords, endOf, textEnd } from '../vision/clip.js';
import { TextEncoder, taskOf } from '../vla/text.js';
import { MultiTaskDitConfig } from './config.js';
import { ditGraph, STATE, textPrefix, visionPrefix } from './graph.js';

const FAMILY = 'multi_task_dit';

export function openMultiTaskDit(checkpoint: Checkpoint): DenoiserFamily {
  const { dir } = checkpoint;
  const config = checkpoint.parse(MultiTaskDitConfig, FAMILY);
  const head = config.hidden_dim / config.num_heads;
  if (!Number.isInteger(head) || (config.use_rope && head % 2 !== 0))
    throw new TendonError(
      'config_invalid',
      `${dir}/config.json: num_heads: expected to divide hidden_dim (${config.hidden_dim}) into even widths, got ${config.num_heads}`,
    );
  const tensors = checkpoint.tensors(FAMILY);
  const processing = checkpoint.processing(config, tensors);
  const features = lowDimFeatures(config.input_features, processing, [STATE]);
  if (features.width === 0)
    throw new TendonError('config_invalid', `${dir}/config.json: input_features: expected ${STATE}`);
  const cameras = ditCameras(config, (crop_shape) =>
    camerasOf(config.input_features, processing, {
      resize_shape: config.image_resize_shape,
      crop_after_resize: crop_shape,
    }),
  );
  const action = actionMap(config.output_features, processing);
  const words = clipWords(tensors, textPrefix(tensors));
  const width = words.shape[1]!;
  const style = clipStyle(dir, 'text', config.text_encoder_name, width);
  const end = textEnd(dir);
  const inputs = {
    cameras,
    state: features.width,
    action: action.dim,
    vision: vision(),
    text: style,
    words: width,
  };
  const text = TextEncoder.open(
    checkpoint.places,
    checkpoint.options.tokenizer,
    config.text_encoder_name,
    words,
    {
      ...{ length: config.tokenizer_max_length, scale: 1, truncate: 'right', keep_end: true },
    },
  );
  const first_row = config.n_obs_steps - 1;

  return definePolicy({
    family: FAMILY,
    rate_hz: config.fps,
    action_dim: action.dim,
    observes: { observation_dims: features.dims, ...cameraSpec(cameras), texts: ['task'] },
    network: {
      rows: config.horizon,
      build: (groups) => ditGraph(config, inputs, tensors, groups),
      finish: () => tensors.finish(),
      schedule: (levels) => ({ timestep_embedding: timestepEmbedding(levels, config.timestep_embed_dim) }),
      condition(history) {
        const { embeddings, ids } = text.encode(taskOf(history.at(-1)!, FAMILY));
        const text_end = new Float32Array(config.tokenizer_max_length);
        text_end[endOf(ids, end)] = 1;
        return {
          text: embeddings,
          text_end,
          ...statesOf(features, history),
          ...picturesOf(cameras, history),
        };
      },
    },
    sampling:
      config.objective === 'flow_matching'
        ? flow(FAMILY, 'noise_at_zero', config.num_integration_steps, 1000)
        : diffusion(FAMILY, config, {
            sampler: config.noise_scheduler_type.toLowerCase(),
            steps: config.num_inference_steps ?? config.num_train_timesteps,
          }),
    codec: actionCodec(action),
    window: {
      n_obs_steps: config.n_obs_steps,
      first_row,
      n_action_steps: Math.min(config.n_action_steps, config.horizon - first_row),
      rename: processing.rename,
    },
  });

  function vision(): ClipStyle | undefined {
    if (cameras.length === 0) return undefined;
    const prefix = visionPrefix(tensors, config.use_separate_rgb_encoder_per_camera, 0);
    const width = tensors.ref(`${prefix}embeddings.patch_embedding.weight`, [-1, 3, -1, -1]).shape[0]!;
    return clipStyle(dir, 'vision', config.vision_encoder_name, width);
  }
}

/** All of one size; a crop that does not fit is none (the peer's validate_features). */
function ditCameras(
  { image_resize_shape: resize, image_crop_shape: crop, input_features }: MultiTaskDitConfig,
  open: (crop: readonly [number, number] | undefined) => Camera[],
): Camera[] {
  const shapes = Object.entries(input_features).filter(([, { type }]) => type === 'VISUAL');
  const fits = shapes.every(([, { shape }]) => {
    const [height, width] = resize ?? [shape[1]!, shape[2]!];
    return crop === null || (crop[0] <= height && crop[1] <= width);
  });
  const [first] = shapes;
  for (const [key, { shape }] of shapes)
    if (shape.some((n, i) => n !== first![1].shape[i]))
      throw new TendonError(
        'config_invalid',
        `input_features.${key}: expected all cameras of one size, as ${first![0]} (${first![1].shape.join('×')}), got ${shape.join('×')}`,
        { key },
      );
  return open(crop === null || !fits ? undefined : crop);
}
