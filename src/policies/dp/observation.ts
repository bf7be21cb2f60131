// What diffusion_policy's policies condition on: normalised low-dimensional observations as they are, and cameras through
// MultiImageObsEncoder (cameras first, each kind in order of its names) or robomimic's encoder (in order of the config).

import type { GraphBuilder, NetworkInputs, Value } from '../../native/index.js';
import { type Observation, TendonError } from '../../types/index.js';
import type { Feature } from '../fields.js';
import { type Affine, applyForward } from '../processors/affine.js';
import { linearNormalizer } from '../processors/linear.js';
import { visualCore, visualWidth } from '../robomimic/encoder.js';
import type { Tensors } from '../tensors.js';
import { type Camera, centredCrop, framesOf, pixelTable } from '../vision/camera.js';
import type { DpConfig } from './config.js';
import { averageWidth, multiImage, preparation } from './multi-image.js';

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

/** What a camera's frames become before the network, and in it. */
interface Vision {
  prepare(key: string, frame: readonly [number, number, number], affine: Affine): Camera;
  width(camera: Camera): number;
  features(g: GraphBuilder, tensors: Tensors, name: string, camera: Camera, x: Value): Value;
}

export function dpObservation(config: DpConfig, tensors: Tensors): DpObservation {
  const encoder = config.obs_encoder;
  const entries = Object.entries(config.input_features);
  if (encoder?.kind !== 'robomimic') entries.sort(camerasFirst);
  const affines = new Map<string, Affine>();
  const dims: Record<string, number> = {};
  const cameras = new Map<string, Camera>();
  const vision = visionOf(config);
  const nameOf = (key: string): string => config.normalizer_keys[key] ?? key;
  for (const [key, { type, shape }] of entries) {
    if (type !== 'VISUAL') {
      dims[key] = shape.reduce((n, d) => n * d, 1);
      affines.set(key, linearNormalizer(tensors, 'normalizer.', nameOf(key), dims[key]));
    } else {
      if (vision === undefined || shape.length !== 3 || shape[0] !== 3)
        throw new TendonError(
          'config_invalid',
          `input_features.${key}: a camera needs shape (3, height, width) and obs_encoder; got (${shape})`,
        );
      const affine = linearNormalizer(tensors, 'normalizer.', nameOf(key), 1);
      cameras.set(key, vision.prepare(key, shape as [number, number, number], affine));
    }
  }
  const rows = config.n_obs_steps;
  const states = [...affines.keys()];
  const width = (key: string): number => (cameras.has(key) ? vision!.width(cameras.get(key)!) : dims[key]!);
  const write = (key: string, observation: Observation, out: Float32Array, at: number): void =>
    applyForward(affines.get(key)!, observation.values[key]!, out, at);
  const low = states.reduce((n, key) => n + dims[key]!, 0);

  return {
    cameras: [...cameras.values()],
    dims,
    width: entries.reduce((n, [key]) => n + width(key), 0),
    graph: (g, tensors) =>
      g.concat(
        entries.map(([key]) => {
          const camera = cameras.get(key);
          if (camera === undefined) return g.input(key, [rows, dims[key]!], 'observation');
          const frames = g.input(key, [rows, ...camera.input], 'observation');
          return vision!.features(g, tensors, nameOf(key), camera, frames);
        }),
      ),
    inputs(history) {
      const numbers = states.map((key) => {
        const out = new Float32Array(rows * dims[key]!);
        history.forEach((observation, i) => {
          write(key, observation, out, i * dims[key]!);
        });
        return [key, out] as const;
      });
      const frames = [...cameras].map(([key, camera]) => [key, framesOf(camera, history)] as const);
      return Object.fromEntries([...numbers, ...frames]);
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

/** By kind, then by name. */
function camerasFirst([a, x]: [string, Feature], [b, y]: [string, Feature]): number {
  const visual = Number(y.type === 'VISUAL') - Number(x.type === 'VISUAL');
  return visual === 0 ? (a < b ? -1 : 1) : visual;
}

function visionOf({ obs_encoder: encoder }: DpConfig): Vision | undefined {
  if (encoder?.kind === 'multi_image')
    return {
      prepare: (key, frame, affine) => preparation(encoder, key, frame, affine),
      width: () => averageWidth(encoder),
      features: (g, tensors, name, camera, x) => multiImage(g, tensors, encoder, name, camera, x),
    };
  if (encoder?.kind !== 'robomimic') return undefined;
  const { visual } = encoder;
  return {
    prepare: (key, [channels, height, width], { mul, add }) => {
      const crop = visual.crop_shape ?? undefined;
      const [rows, columns] = crop ?? [height, width];
      return {
        key,
        shape: [channels, height, width],
        input: [rows, columns, channels],
        values: pixelTable(channels, (pixel) => pixel * mul[0]! + add[0]!),
        ...(crop === undefined
          ? {}
          : { crop: centredCrop(key, [height, width], crop, visual.crop_rounding) }),
      };
    },
    width: ({ input }) => visualWidth(visual, input[0], input[1]),
    features: (g, tensors, name, _, x) => visualCore(g, tensors, `obs_encoder.obs_nets.${name}.`, visual, x),
  };
}
