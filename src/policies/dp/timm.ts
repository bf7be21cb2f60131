// UMI's observation encoder (real-stanford/universal_manipulation_interface d095ba9, model/vision/timm_obs_encoder.py): a ViT's
// class token, or a ResNet's map aggregated, of each camera's frames. The peer's random crop and colours run even when the
// policy acts; here it is the centre of the crop, resized as the peer does, and no colours.

import type { GraphBuilder, Value } from '../../native/index.js';
import { bilinear, resnet, vit } from '../../networks/index.js';
import type { Vision } from '../keyed-observation.js';
import type { Tensors } from '../tensors.js';
import { type Camera, centredCrop, pixelTable } from '../vision/camera.js';
import type { TimmConfig } from './config.js';

const PREFIX = 'obs_encoder.';

export const timmVision = (encoder: TimmConfig): Vision => ({
  prepare(key, [channels, height, width], { mul, add }) {
    const side = cropSide(encoder, height);
    const crop = side === undefined ? undefined : centredCrop(key, [height, width], [side, side]);
    return {
      key,
      shape: [channels, height, width],
      input: [crop?.[2] ?? height, crop?.[3] ?? width, channels],
      values: pixelTable(channels, (pixel) => pixel * mul[0]! + add[0]!),
      ...(crop === undefined ? {} : { crop }),
    };
  },
  width: () => widthOf(encoder),
  features(g, tensors, name, camera, frames) {
    const tokens = timmTokens(g, tensors, encoder, name, camera, frames);
    return g.reshape(tokens, [tokens.shape[0]!, widthOf(encoder)]);
  },
});

/** Of a camera's frames (n, height, width, 3), (n, tokens, width): one for each unless the encoder keeps all. */
export function timmTokens(
  g: GraphBuilder,
  tensors: Tensors,
  encoder: TimmConfig,
  name: string,
  { shape: [, height] }: Camera,
  frames: Value,
): Value {
  const model = `${PREFIX}key_model_map.${name}.`;
  // A size of one number is that of a square, as the crop is.
  const x = encoder.crop_ratio === null ? frames : bilinear(g, frames, height, height);
  if (encoder.model === 'vit') {
    const final_norm = encoder.all_tokens ? 'all' : 'class';
    return vit(g, tensors, { ...encoder.vit, prefix: model, naming: 'timm', final_norm }, x);
  }
  const net = {
    ...{ backbone: encoder.model, prefix: model, naming: 'sequential' as const },
    ...{ group_norm: encoder.group_norm, stages: encoder.downsample_ratio === 16 ? 3 : 4 },
  };
  return aggregated(g, tensors, encoder, resnet(g, tensors, net, x));
}

function widthOf(encoder: TimmConfig): number {
  if (encoder.model === 'vit') return encoder.vit.width;
  return encoder.downsample_ratio === 16 ? 256 : 512;
}

const cropSide = ({ crop_ratio }: TimmConfig, height: number): number | undefined =>
  crop_ratio === null ? undefined : Math.trunc(height * crop_ratio);

/** A map (frames, h, w, channels) → (frames, 1, channels), or (frames, h·w, channels) of `none`. */
function aggregated(
  g: GraphBuilder,
  tensors: Tensors,
  encoder: Extract<TimmConfig, { model: 'resnet18' | 'resnet34' }>,
  map: Value,
): Value {
  const [n, h, w, c] = map.shape as [number, number, number, number];
  const tokens = g.reshape(map, [n, h * w, c]);
  const flat = (v: Value): Value => g.reshape(v, [n, 1, c]);
  switch (encoder.aggregation) {
    case 'none':
      return tokens;
    case 'avg':
      return flat(g.reduce('mean', tokens, 1));
    case 'max':
      return flat(g.reduce('max', tokens, 1));
    case 'soft_attention': {
      const score = tensors.linear(g, tokens, `${PREFIX}attention.0`, 1, false);
      const share = g.softmax(g.permute(score, [0, 2, 1]));
      return flat(g.matmul(share, tokens));
    }
    case 'spatial_embedding': {
      const places = tensors.weight(g, `${PREFIX}spatial_embedding`, [h * w, c]);
      return flat(g.reduce('mean', g.mul(tokens, g.reshape(places, [1, h * w, c])), 1));
    }
    case 'attention_pool_2d':
      return flat(attentionPool(g, tensors, `${PREFIX}attention_pool_2d.`, tokens));
  }
}

/** CLIP's: the mean of all tokens asks them and itself. (frames, tokens, channels) → (frames, 1, channels) */
function attentionPool(g: GraphBuilder, tensors: Tensors, prefix: string, tokens: Value): Value {
  const [, count, c] = tokens.shape as [number, number, number];
  const places = tensors.weight(g, `${prefix}positional_embedding`, [count + 1, c]);
  const all = g.concat([g.reduce('mean', tokens, 1), tokens], 1);
  const x = g.add(all, g.reshape(places, [1, count + 1, c]));
  const project = (name: string, v: Value): Value => tensors.linear(g, v, prefix + name, c);
  const asked = g.attention(
    project('q_proj', g.slice(x, 1, 0, 1)),
    project('k_proj', x),
    project('v_proj', x),
    c / 64,
  );
  return project('c_proj', asked);
}
