// Observations under the names that a training gave them (diffusion_policy, robomimic): each key normalised by the
// checkpoint's scale and offset, cameras through the network's own encoder, all side by side in the order given.

import type { GraphBuilder, NetworkInputs, Value } from '../native/index.js';
import { type Observation, TendonError } from '../types/index.js';
import type { Feature } from './fields.js';
import { type Affine, applyForward } from './processors/affine.js';
import { linearNormalizer } from './processors/linear.js';
import type { Tensors } from './tensors.js';
import { type Camera, framesOf } from './vision/camera.js';

export interface KeyedObservation {
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
export interface Vision {
  prepare(key: string, frame: readonly [number, number, number], affine: Affine): Camera;
  width(camera: Camera): number;
  features(g: GraphBuilder, tensors: Tensors, name: string, camera: Camera, x: Value): Value;
}

export interface Keyed {
  /** In the order of the condition. */
  readonly entries: readonly (readonly [key: string, feature: Feature])[];
  /** The name that a key has in the encoder and the normaliser. */
  readonly names: Readonly<Record<string, string>>;
  /** n_obs_steps */
  readonly rows: number;
  /** Absent without cameras. */
  readonly vision: Vision | undefined;
}

export function keyedObservation(
  { entries, names, rows, vision }: Keyed,
  tensors: Tensors,
): KeyedObservation {
  const affines = new Map<string, Affine>();
  const dims: Record<string, number> = {};
  const cameras = new Map<string, Camera>();
  const nameOf = (key: string): string => (Object.hasOwn(names, key) ? names[key]! : key);
  for (const [key, { type, shape }] of entries) {
    if (type !== 'VISUAL') {
      dims[key] = shape.reduce((n, d) => n * d, 1);
      affines.set(key, linearNormalizer(tensors, 'normalizer.', nameOf(key), dims[key]));
    } else {
      if (vision === undefined || shape.length !== 3 || shape[0] !== 3)
        throw new TendonError(
          'config_invalid',
          `input_features.${key}: a camera needs shape (3, height, width) and an encoder in config.json; got (${shape})`,
        );
      const affine = linearNormalizer(tensors, 'normalizer.', nameOf(key), 1);
      cameras.set(key, vision.prepare(key, shape as [number, number, number], affine));
    }
  }
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
