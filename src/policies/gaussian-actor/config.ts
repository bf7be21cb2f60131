// config.json of LeRobot's gaussian_actor, and of `sac`, as it was called before 0.5 (policies/gaussian_actor/
// configuration_gaussian_actor.py, 7427f318): the actor of HIL-SERL. What matters at run time.

import * as z from 'zod';
import { CountSchema, FeaturesSchema, NormalizationSchema } from '../fields.js';

const count = CountSchema;
const hidden = z.array(count).min(1).max(32);
const activate_final = z.boolean().default(true);

export const GaussianActorConfig = z.lazy(() =>
  z.object({
    fps: z.number().positive().optional(),
    input_features: FeaturesSchema,
    output_features: FeaturesSchema,
    normalization_mapping: NormalizationSchema,
    /** A network of the hub, whose layers are not here. */
    vision_encoder_name: z
      .null(
        'null: the pretrained encoders of the hub (lerobot/resnet10) have code of their own and are not run here',
      )
      .default(null),
    image_encoder_hidden_dim: count.default(32),
    image_embedding_pooling_dim: count.default(8),
    shared_encoder: z.boolean().default(true),
    num_discrete_actions: count.max(1024).nullable().default(null),
    latent_dim: count,
    actor_network_kwargs: z.object({ hidden_dims: hidden, activate_final }),
    policy_kwargs: z.object({ std_min: z.number(), std_max: z.number() }),
    discrete_critic_network_kwargs: z
      .object({ hidden_dims: hidden, activate_final, final_activation: z.null().default(null) })
      .optional(),
  }),
);
export type GaussianActorConfig = z.infer<typeof GaussianActorConfig>;
