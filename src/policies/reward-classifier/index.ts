// LeRobot's `reward_classifier`: how likely what the cameras see is a success (or each of several classes). Its numbers are
// scores, never commands: it is loaded as a scorer alone.

import { isHubResnet } from '../../networks/index.js';
import { TendonError } from '../../types/index.js';
import type { Checkpoint } from '../checkpoint.js';
import { definePolicy } from '../define.js';
import type { DenoiserFamily } from '../denoiser-family.js';
import { direct } from '../sampling.js';
import type { Tensors } from '../tensors.js';
import { cameraSpec, camerasOf, picturesOf } from '../vision/camera.js';
import { clipStyle, towerPrefix } from '../vision/clip.js';
import { RewardClassifierConfig } from './config.js';
import { classifierGraph, type Judged, scoresOf } from './graph.js';

const FAMILY = 'reward_classifier';

export function openRewardClassifier(checkpoint: Checkpoint): DenoiserFamily {
  const { dir } = checkpoint;
  const config = checkpoint.parse(RewardClassifierConfig, FAMILY);
  const tensors = checkpoint.tensors(FAMILY);
  const processing = checkpoint.processing(config, tensors, { kind: 'classifier' });
  // The peer's OBS_IMAGE is where the name of each of its cameras begins.
  const cameras = camerasOf(config.input_features, processing).filter(({ key }) =>
    key.startsWith('observation.image'),
  );
  if (cameras.length === 0 || cameras.length !== config.num_cameras)
    throw new TendonError(
      'config_invalid',
      `${dir}/config.json: num_cameras: expected ${cameras.length}, as input_features has cameras, got ${config.num_cameras}`,
    );
  const judged: Judged = { cameras, ...encoderOf(dir, config, tensors, cameras[0]!.key) };
  const scores = scoresOf(config);

  return definePolicy({
    family: FAMILY,
    rate_hz: config.fps,
    action_dim: scores.length,
    observes: { scores, observation_dims: {}, ...cameraSpec(cameras) },
    network: {
      rows: 1,
      build(groups) {
        const g = classifierGraph(config, judged, tensors);
        // The loop's sample, which nothing reads.
        g.input('x', [groups, 1, scores.length], 'step');
        return g;
      },
      finish: () => tensors.finish(),
      condition: (history) => picturesOf(cameras, history),
    },
    sampling: direct(FAMILY, 0),
    codec: { decode: () => undefined },
    window: { rename: processing.rename },
  });
}

/**
 * Where the encoder lies and what it is. All cameras' modules hold the same one, and safetensors keeps the first name by the
 * alphabet; the others, where they are kept, are the same numbers.
 */
function encoderOf(
  dir: string,
  { model_name, model_type }: RewardClassifierConfig,
  tensors: Tensors,
  camera: string,
): Pick<Judged, 'prefix' | 'style'> {
  const own = camera.replaceAll('.', '_');
  const inside = `encoders.${own}.0.`;
  const prefix = tensors.names().some((name) => name.startsWith('encoder.')) ? 'encoder.' : inside;
  tensors.ignore(new RegExp(`^encoders\\.${prefix === inside ? `(?!${own}\\.)` : ''}[^.]+\\.0\\.`));
  if (model_type === 'cnn') {
    if (isHubResnet(tensors, prefix)) return { prefix };
  } else {
    const tower = towerPrefix(tensors, prefix, 'vision_model');
    const patches = `${tower}embeddings.patch_embedding.weight`;
    if (tensors.has(`${tower}embeddings.class_embedding`) && tensors.has(patches)) {
      const width = tensors.ref(patches, [-1, 3, -1, -1]).shape[0]!;
      return { prefix: tower, style: clipStyle(dir, 'vision', model_name, width) };
    }
  }
  throw new TendonError(
    'unsupported',
    `${dir}/config.json: model_name: the layers of ${model_name} are code of the Hub, or of another kind than is built here; expected a ResNet of transformers (microsoft/resnet-18 …) with model_type cnn, or a CLIP (openai/clip-vit-…) with model_type transformer. Train the classifier on one of these`,
    { dir, model_name },
  );
}
