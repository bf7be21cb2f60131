// What says how an actor acts: flags.json of its training, or the config.json that a user puts beside a checkpoint which
// keeps less than is needed. Every field of that file is optional.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { readUserJson } from '../../base/json.js';
import { TendonError } from '../../types/index.js';
import { parseConfig } from '../checkpoint.js';
import { CountSchema } from '../fields.js';
import type { OgbenchFlags } from './ogbench.js';

const Statistics = z.object({ mean: z.array(z.number()), std: z.array(z.number()) });

export const ActorConfig = z.lazy(() =>
  z.object({
    type: z.literal('actor').optional(),
    /** File of the parameters; the last step's by itself. */
    weights: z
      .string()
      .regex(/^[\w.-]+$/)
      .optional(),
    /** Steps per second of the training's environment. */
    fps: z.number().positive().max(10_000).optional(),
    /** 0: the mean action (as every evaluation of these agents does); else how far samples spread. */
    temperature: z.number().min(0).max(10).default(0),
    /** Of pictures: (height, width, channels), stacked frames included; OGBench's are 64 × 64 × 3 unless it says so. */
    observation_shape: z.array(CountSchema).min(1).max(3).optional(),
    goal_dim: CountSchema.optional(),
    /** What stands in `goal`: a goal, or what the level above proposes (HIQL's subgoal, SAW's representation, HILP's skill z). */
    given: z.enum(['goal', 'subgoal']).default('goal'),
    /** Entries of the goal that the user sets; the rest is taken from the present observation (kitchen, mazes). */
    goal_use: z.array(z.number().int().min(0)).optional(),
    /** HIQL's own repository keeps these on the command line. */
    rep_type: z.enum(['concat', 'state', 'diff']).default('concat'),
    use_rep: z.union([z.boolean(), z.number()]).optional(),
    use_waypoints: z.union([z.boolean(), z.number()]).optional(),
    discount: z.number().min(0).max(0.999_999).optional(),
    /** Statistics of SMORe's tasks, which its files do not hold. */
    normalization: z
      .object({
        observations: Statistics.optional(),
        goals: Statistics.optional(),
        eps: z.number().min(0).default(1e-6),
      })
      .optional(),
  }),
);
export type ActorConfig = z.infer<typeof ActorConfig>;

const Flags = z.lazy(() =>
  z.object({
    agent_name: z.string(),
    discount: z.number().min(0).max(0.999_999).default(0.99),
    gc_negative: z.boolean().default(true),
    discrete: z.boolean().default(false),
    encoder: z
      .string()
      .nullish()
      .transform((v) => v ?? null),
    frame_stack: z
      .number()
      .int()
      .min(1)
      .max(64)
      .nullish()
      .transform((v) => v ?? null),
    latent_dim: CountSchema.optional(),
    quasimetric_type: z.enum(['mrn', 'iqe']).optional(),
    low_discount: z.number().min(0).max(0.999_999).optional(),
    high_discount: z.number().min(0).max(0.999_999).optional(),
    subgoal_steps: CountSchema.optional(),
    abstraction_factor: CountSchema.optional(),
  }),
);

/** The agent's options of a training folder; throws naming the field that is missing or wrong. */
export function readFlags(dir: string): OgbenchFlags {
  const path = join(dir, 'flags.json');
  if (!existsSync(path))
    throw new TendonError(
      'file_missing',
      `${path} is not there: the parameters do not say which agent they are of (field agent.agent_name) nor its options; copy flags.json from the training folder`,
      { path, field: 'agent.agent_name' },
    );
  const json = readUserJson(path, 'config');
  const result = z.object({ agent: Flags }).safeParse(json);
  if (result.success) return result.data.agent;
  throw new TendonError('config_invalid', `${path}: ${z.prettifyError(result.error)}`, {
    path,
    issues: result.error.issues,
  });
}

export const parseActorConfig = (json: Record<string, unknown>, dir: string): ActorConfig =>
  parseConfig(ActorConfig, json, dir, 'actor') as ActorConfig;
