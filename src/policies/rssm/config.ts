// config.json of the `rssm` family: the fields of dreamerv3-torch's configs.yaml that matter when acting, under its names,
// and the planner's numbers of PlaNet (Hafner et al. 2019).

import * as z from 'zod';
import { CountSchema, FeaturesSchema, NormalizationSchema, PlannedSchema } from '../fields.js';
import { PLANNERS } from '../world-model/planners.js';

const positive = CountSchema;
const head = z.object({ layers: positive.default(2) }).prefault({});

export const RssmConfig = z.lazy(() =>
  z.object({
    type: z.literal('rssm').optional(),
    fps: z.number().positive().optional(),
    input_features: FeaturesSchema,
    output_features: FeaturesSchema,
    normalization_mapping: NormalizationSchema.default({}),
    dyn_hidden: positive.default(512),
    dyn_deter: positive.default(512),
    dyn_stoch: positive.max(1024).default(32),
    /** Classes of each categorical; 0: the latent is Gaussian. */
    dyn_discrete: z.number().int().min(0).max(1024).default(32),
    dyn_mean_act: z.enum(['none', 'tanh5']).default('none'),
    dyn_std_act: z.enum(['softplus', 'abs', 'sigmoid', 'sigmoid2']).default('sigmoid2'),
    dyn_min_std: z.number().min(0).default(0.1),
    unimix_ratio: z.number().min(0).max(1).default(0.01),
    initial: z.enum(['learned', 'zeros']).default('learned'),
    units: positive.default(512),
    encoder: z
      .object({
        mlp_layers: positive.default(5),
        mlp_units: positive.default(1024),
        symlog_inputs: z.boolean().default(true),
        cnn_depth: positive.default(32),
        minres: positive.default(4),
      })
      .prefault({}),
    actor: z
      .object({
        layers: positive.default(2),
        dist: z.enum(['normal', 'trunc_normal']).default('normal'),
        min_std: z.number().min(0).default(0.1),
        max_std: z.number().positive().default(1),
      })
      .prefault({}),
    critic: head,
    reward_head: head,
    cont_head: head,
    discount: z.number().min(0).max(1).default(0.997),
    /** Which planner acts when none is asked for; Dreamer's is its actor alone. */
    planner: z.enum(PLANNERS).default('policy'),
    horizon: positive.max(64).default(12),
    num_samples: PlannedSchema.default(1000),
    /** Of the samples' iterations, trajectories of the actor besides. */
    num_pi_trajs: PlannedSchema.or(z.literal(0)).default(0),
    iterations: PlannedSchema.default(10),
    num_elites: PlannedSchema.default(100),
    initial_std: z.number().positive().default(1),
    min_std: z.number().min(0).default(0),
    temperature: z.number().min(0).default(0.5),
  }),
);
export type RssmConfig = z.infer<typeof RssmConfig>;
