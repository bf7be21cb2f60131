// What diffusion_policy's policies condition on: normalised low-dimensional observations as they are, or cameras through
// MultiImageObsEncoder (model/vision/multi_image_obs_encoder.py) beside them, cameras first, each in order of its name.

import type { GraphBuilder, NetworkInputs, Value } from '../../native/index.js';
import { resnet } from '../../networks/index.js';
import { type Observation, TendonError } from '../../types/index.js';
import type { Feature } from '../fields.js';
import { type Affine, applyForward } from '../processors/affine.js';
import { linearNormalizer } from '../processors/linear.js';
import type { Tensors } from '../tensors.js';
import { type Camera, centredCrop, framesOf, pixelTable } from '../vision/camera.js';
import type { DpConfig } from './config.js';

const IMAGENET_MEAN = [0.485, 0.456, 0.406];
const IMAGENET_STD = [0.229, 0.224, 0.225];

export interface DpObservation {
  readonly cameras: readonly Camera[];
  readonly dims: Readonly<Record<string, number>>;
  /** Floats of one observation in the condition. */
  readonly width: number;
  /** One row per observation, (n_obs_steps, width), from inputs under their feature keys. */
  graph(g: GraphBuilder, tensors: Tensors): Value;
  inputs(history: readonly Observation[]): NetworkInputs;
  /** (history · width), without cameras. */
  vector(history: readonly Observation[]): Float32Array;
}

export function dpObservation(config: DpConfig, tensors: Tensors): DpObservation {
  const of = (visual: boolean): [string, Feature][] =>
    Object.entries(config.input_features)
      .filter(([, { type }]) => (type === 'VISUAL') === visual)
      .sort(([a], [b]) => (a < b ? -1 : 1));
  const affines = new Map<string, Affine>();
  const dims: Record<string, number> = {};
  for (const [key, { shape }] of of(false)) {
    dims[key] = shape[0]!;
    affines.set(key, linearNormalizer(tensors, 'normalizer.', config.normalizer_keys[key] ?? key, shape[0]!));
  }
  const states = [...affines.keys()];
  const encoder = config.obs_encoder;
  const cameras = of(true).map(([key, { shape }]): Camera => {
    if (encoder === undefined || shape.length !== 3 || shape[0] !== 3)
      throw new TendonError(
        'config_invalid',
        `input_features.${key}: a camera needs shape (3, height, width) and obs_encoder; got (${shape})`,
      );
    const name = config.normalizer_keys[key] ?? key;
    const { mul, add } = linearNormalizer(tensors, 'normalizer.', name, 1);
    const crop = encoder.crop_shape ?? undefined;
    return {
      key,
      shape: shape as [number, number, number],
      input: [crop?.[0] ?? shape[1]!, crop?.[1] ?? shape[2]!, 3],
      // Its normaliser first ([0, 1] to [−1, 1]), then ImageNet's, as the peer does.
      values: pixelTable(3, (pixel, c) => {
        const y = pixel * mul[0]! + add[0]!;
        return encoder.imagenet_norm ? (y - IMAGENET_MEAN[c]!) / IMAGENET_STD[c]! : y;
      }),
      ...(crop === undefined ? {} : { crop: centredCrop(key, [shape[1]!, shape[2]!], crop) }),
    };
  });
  const rows = config.n_obs_steps;
  const low = states.reduce((n, key) => n + dims[key]!, 0);
  const write = (key: string, observation: Observation, out: Float32Array, at: number): void =>
    applyForward(affines.get(key)!, observation.values[key]!, out, at);

  return {
    cameras,
    dims,
    width: low + cameras.length * (encoder?.backbone === 'resnet50' ? 2048 : 512),
    graph(g, tensors) {
      const pictures = cameras.map(({ key, input }) => {
        const name = encoder!.shared ? 'rgb' : (config.normalizer_keys[key] ?? key);
        const map = resnet(
          g,
          tensors,
          {
            backbone: encoder!.backbone,
            prefix: `obs_encoder.key_model_map.${name}.`,
            naming: 'torchvision',
            group_norm: encoder!.group_norm,
          },
          g.input(key, [rows, ...input], 'observation'),
        );
        const [, h, w, c] = map.shape as [number, number, number, number];
        return g.reshape(g.reduce('mean', g.reshape(map, [rows, h * w, c]), 1), [rows, c]);
      });
      return g.concat([...pictures, ...states.map((key) => g.input(key, [rows, dims[key]!], 'observation'))]);
    },
    inputs(history) {
      const numbers = states.map((key) => {
        const out = new Float32Array(rows * dims[key]!);
        history.forEach((observation, i) => {
          write(key, observation, out, i * dims[key]!);
        });
        return [key, out] as const;
      });
      return Object.fromEntries([...numbers, ...cameras.map((c) => [c.key, framesOf(c, history)] as const)]);
    },
    vector(history) {
      const out = new Float32Array(history.length * low);
      let at = 0;
      for (const observation of history)
        for (const key of states) {
          write(key, observation, out, at);
          at += dims[key]!;
        }
      return out;
    },
  };
}
