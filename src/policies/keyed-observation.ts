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
  /** Floats of one observation in the condition; with horizons, of the whole condition. */
  readonly width: number;
  /** One row per observation, (n_obs_steps, width), from inputs under their feature keys; with horizons (1, width). */
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
  /**
   * Observations of each key (UMI): the newest as many of them are side by side, then those of the next key. Absent: one
   * observation of all keys, then the next.
   */
  readonly horizons?: Readonly<Record<string, number>> | undefined;
  /** Absent without cameras. */
  readonly vision: Vision | undefined;
}

export function keyedObservation(keyed: Keyed, tensors: Tensors): KeyedObservation {
  const { entries, names, rows, horizons, vision } = keyed;
  const steps = (key: string): number => (horizons === undefined ? rows : (horizons[key] ?? rows));

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
    width: entries.reduce((n, [key]) => n + width(key) * (horizons === undefined ? 1 : steps(key)), 0),
    graph: (g, tensors) =>
      g.concat(
        entries.map(([key]) => {
          const camera = cameras.get(key);
          const count = steps(key);
          const seen =
            camera === undefined
              ? g.input(key, [count, dims[key]!], 'observation')
              : vision!.features(
                  g,
                  tensors,
                  nameOf(key),
                  camera,
                  g.input(key, [count, ...camera.input], 'observation'),
                );
          return horizons === undefined ? seen : g.reshape(seen, [1, count * seen.shape[1]!]);
        }),
      ),
    inputs(history) {
      const numbers = states.map((key) => {
        const out = new Float32Array(steps(key) * dims[key]!);
        history.slice(-steps(key)).forEach((observation, i) => {
          write(key, observation, out, i * dims[key]!);
        });
        return [key, out] as const;
      });
      const frames = [...cameras].map(
        ([key, camera]) => [key, framesOf(camera, history.slice(-steps(key)))] as const,
      );
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
