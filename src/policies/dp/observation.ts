// What diffusion_policy's policies condition on: MultiImageObsEncoder's cameras first, each kind in order of its names, or
// robomimic's encoder in order of the configuration.

import type { Feature } from '../fields.js';
import { type KeyedObservation, keyedObservation, type Vision } from '../keyed-observation.js';
import { robomimicVision } from '../robomimic/encoder.js';
import type { Tensors } from '../tensors.js';
import type { DpConfig } from './config.js';
import { averageWidth, multiImage, preparation } from './multi-image.js';
import { timmVision } from './timm.js';

export function dpObservation(config: DpConfig, tensors: Tensors): KeyedObservation {
  const entries = entriesOf(config);
  const { normalizer_keys: names, n_obs_steps: rows } = config;
  const horizons = config.obs_encoder?.kind === 'timm' ? config.obs_encoder.horizons : undefined;
  return keyedObservation({ entries, names, rows, horizons, vision: visionOf(config) }, tensors);
}

/** In the order of the encoder. */
export function entriesOf({ input_features, obs_encoder }: DpConfig): [string, Feature][] {
  const entries = Object.entries(input_features);
  return obs_encoder?.kind === 'robomimic' ? entries : entries.sort(camerasFirst);
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
  if (encoder?.kind === 'timm') return timmVision(encoder);
  if (encoder?.kind !== 'robomimic') return undefined;
  return robomimicVision(encoder.visual, 'obs_encoder.obs_nets.');
}
