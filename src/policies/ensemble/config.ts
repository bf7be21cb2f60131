// config.json of the `ensemble` family: an ensemble of probabilistic networks of the dynamics, with mbrl-lib's names where
// it has them (Pineda et al. 2021, GaussianMLP), and the planner's numbers of its PETS on cartpole (Chua et al. 2018).

import * as z from 'zod';
import { CountSchema, FeaturesSchema, NormalizationSchema, PlannedSchema } from '../fields.js';
import { FollowsSchema } from './follows.js';

const positive = CountSchema;

export const EnsembleConfig = z.lazy(() =>
  z
    .object({
      type: z.literal('ensemble').optional(),
      fps: z.number().positive().optional(),
      input_features: FeaturesSchema,
      output_features: FeaturesSchema,
      normalization_mapping: NormalizationSchema.default({}),
      n_action_steps: positive.default(1),
      /** Actions are targets less this feature, where it will be by then; absent: they are what they are. */
      action_relative_to: z.string().optional(),
      /** Share of such an action that one step covers, by which later rows of a chunk are put where they will be. */
      action_travel: z.number().min(0).max(1).default(0),
      ensemble_size: positive.default(5),
      /** Members that predict (mbrl-lib's elite_models); absent: all. */
      elites: z.array(z.number().int().min(0)).min(1).optional(),
      num_layers: positive.default(4),
      hid_size: positive.default(200),
      activation: z.enum(['silu', 'relu', 'leaky_relu']).default('silu'),
      /** Features whose next value is predicted itself, and not its change. */
      no_delta_list: z.array(z.number().int().min(0)).default([]),
      /** Places of the state that members predict, in order; absent: all. The others follow from them, or stay. */
      predicted: z.array(z.number().int().min(0)).min(1).optional(),
      follows: FollowsSchema.default([]),
      /** Predicted features that are 0 or 1: their value is predicted and cut at one half. */
      switches: z.array(z.number().int().min(0)).default([]),
      /** A network of its own for the reward, of (state, action, state after); absent: members predict it. */
      reward: z.object({ num_layers: positive, hid_size: positive }).optional(),
      /** TS1: a member for each particle, drawn anew at every step; TS∞: drawn once; expectation: the mean of all. */
      propagation: z.enum(['ts1', 'ts_inf', 'expectation']).default('ts_inf'),
      num_particles: PlannedSchema.default(20),
      /** MOPO's penalty: the largest ‖σ‖ of a member (its paper), or distance of a member's mean from the members' mean. */
      penalty: z.enum(['learned_var', 'disagreement']).default('learned_var'),
      penalty_coeff: z.number().min(0).default(0),
      discount: z.number().min(0).max(1).default(1),
      horizon: positive.max(64).default(15),
      population_size: PlannedSchema.default(350),
      num_iterations: PlannedSchema.default(5),
      elite_ratio: z.number().positive().max(1).default(0.1),
      /** Of the mean between iterations. */
      alpha: z.number().min(0).max(0.999).default(0.1),
      initial_std: z.number().positive().default(0.5),
      min_std: z.number().min(0).default(0),
      /** Of MPPI's weights, when that planner is chosen. */
      temperature: z.number().min(0).default(0.5),
      planner: z
        .enum(['mppi', 'cem', 'icem', 'information-theoretic-mppi', 'random-shooting'])
        .default('cem'),
    })
    .refine((c) => c.action_relative_to === undefined || c.action_relative_to in c.input_features, {
      path: ['action_relative_to'],
      message: 'one of input_features',
    })
    .refine((c) => (c.elites ?? []).every((i) => i < c.ensemble_size), {
      path: ['elites'],
      message: 'members from 0 to ensemble_size − 1',
    })
    .refine(
      (c) => c.propagation === 'expectation' || c.num_particles % (c.elites?.length ?? c.ensemble_size) === 0,
      {
        path: ['num_particles'],
        message: 'a multiple of the members that predict, so that each has as many',
      },
    ),
);
export type EnsembleConfig = z.infer<typeof EnsembleConfig>;
