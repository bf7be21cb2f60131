// The image encoder that LeRobot's diffusion and VQ-BeT share (DiffusionRgbEncoder, VQBeTRgbEncoder): a ResNet, a 1×1
// convolution to keypoint maps, the expected position of each (spatial soft-argmax, Finn et al. 2016), a linear layer.

import * as z from 'zod';
import type { GraphBuilder, Value } from '../../native/index.js';
import { resnet, spatialSoftmax } from '../../networks/index.js';
import { TendonError } from '../../types/index.js';
import { CountSchema } from '../fields.js';
import type { Tensors } from '../tensors.js';

const size = z.tuple([CountSchema, CountSchema]).nullable();

/** The fields of config.json that describe it; crop_ratio and resize_shape came with 0.5. */
export const RGB_ENCODER_FIELDS = {
  vision_backbone: z.string().optional(),
  use_group_norm: z.boolean().optional(),
  spatial_softmax_num_keypoints: CountSchema.optional(),
  resize_shape: size.optional(),
  crop_ratio: z.number().positive().max(1).optional(),
  crop_shape: size.optional(),
};
const Encoder = z.lazy(() =>
  z.object({
    vision_backbone: z.string(),
    use_group_norm: z.boolean(),
    spatial_softmax_num_keypoints: CountSchema,
  }),
);
export type RgbEncoderConfig = z.infer<typeof Encoder>;

/** The fields that an encoder must have; throws `config_invalid` naming what is missing. */
export function rgbEncoderConfig(config: object): RgbEncoderConfig {
  const result = Encoder.safeParse(config);
  if (result.success) return result.data;
  throw new TendonError('config_invalid', `config.json has cameras, so: ${z.prettifyError(result.error)}`);
}

/** x (frames, height, width, channels) → (frames, 2·keypoints) */
export function rgbEncoder(
  g: GraphBuilder,
  tensors: Tensors,
  prefix: string,
  config: RgbEncoderConfig,
  x: Value,
): Value {
  const map = resnet(
    g,
    tensors,
    {
      backbone: config.vision_backbone,
      prefix: `${prefix}backbone.`,
      naming: 'sequential',
      group_norm: config.use_group_norm,
      // A softmax over positions follows (docs/numerics.md).
      exact: true,
    },
    x,
  );
  const k = config.spatial_softmax_num_keypoints;
  const keypoints = spatialSoftmax(g, tensors, { prefix: `${prefix}pool.`, keypoints: k }, map);
  return g.unary('relu', tensors.linear(g, keypoints, `${prefix}out`, 2 * k));
}
