// config.json of LeRobot's reward_classifier (rewards/classifier/configuration_classifier.py, 7427f318): what matters when it
// judges.

import * as z from 'zod';
import { CountSchema, FeaturesSchema, NormalizationSchema } from '../fields.js';

export const RewardClassifierConfig = z.lazy(() =>
  z.object({
    fps: z.number().positive().optional(),
    input_features: FeaturesSchema,
    output_features: FeaturesSchema.default({}),
    normalization_mapping: NormalizationSchema,
    num_classes: CountSchema.min(2).max(1024),
    hidden_dim: CountSchema,
    latent_dim: CountSchema.default(256),
    image_embedding_pooling_dim: CountSchema.default(8),
    model_name: z.string(),
    model_type: z.enum(['cnn', 'transformer']),
    num_cameras: CountSchema.max(64),
  }),
);
export type RewardClassifierConfig = z.infer<typeof RewardClassifierConfig>;
