// What a planner is asked for and does not do: said in words, where passing over it would look like an answer. A value that
// asks for nothing (guidance 1, η 0) is no such question.

import { type Goal, type InferOptions, type PolicySpec, TendonError } from '../../types/index.js';
import type { LoadOptions, SamplingOptions } from '../load-options.js';
import { TREE_SEARCH } from './planners.js';

const NO_PREFIX = 'is not drawn towards a prefix; choose chunks mode receding, async or ensemble';

/** Options of a denoiser, with what each is when it asks for nothing, and why a planner has none. */
const DENOISERS = {
  guidance_scale: [1, 'has no half without a goal to guide by'],
  eta: [0, 'adds no noise on the way; its spread is the planner’s (min_std, max_std of config.json)'],
  churn: [0, 'adds no noise on the way; its spread is the planner’s (min_std, max_std of config.json)'],
  rtol: [undefined, 'takes no steps whose error could be bounded; its effort is steps and candidates'],
  atol: [undefined, 'takes no steps whose error could be bounded; its effort is steps and candidates'],
  parallel_tolerance: [0, 'has iterations that each follow from the one before; leave it out'],
} as const satisfies Partial<Record<keyof SamplingOptions, readonly [unknown, string]>>;

/** Throws `config_invalid` for options of loading that would change nothing. */
export function refuseLoadOptions(
  family: string,
  sampler: string,
  { sampling = {}, joins = {} }: LoadOptions,
): void {
  for (const [name, [nothing, why]] of Object.entries(DENOISERS)) {
    const given = sampling[name as keyof typeof DENOISERS];
    const asked = typeof given === 'object' ? given.s_churn : given;
    if (asked !== undefined && asked !== nothing)
      refuse(name, `${family} plans with ${sampler}, which ${why}; got ${asked}`);
  }
  const { steps, candidates } = sampling;
  if (joins.prefix || joins.derivative)
    refuse('chunks', `${family} plans with ${sampler}, which ${NO_PREFIX}, and another share than steer`);
  if (joins.candidates)
    refuse(
      'chunks',
      `${family} plans with ${sampler}, whose candidates are its own search’s and none to choose among; choose chunks mode receding, async or ensemble`,
    );
  if (sampler === 'policy' && (steps ?? candidates) !== undefined)
    refuse(
      steps === undefined ? 'candidates' : 'steps',
      `${family}: "policy" is the prior acting alone, in one step; leave it out, or choose mppi, cem or icem`,
    );
  if (sampler === 'random-shooting' && steps !== undefined && steps !== 1)
    refuse('steps', `${family}: random-shooting draws once; expected 1, or cem, got ${steps}`);
}

/** Throws for options of an inference that a plan by `sampler` would pass over. */
export function refuseInferOptions(
  { family, goal_dims }: PolicySpec,
  sampler: string,
  options: InferOptions & {
    readonly tape?: unknown;
    readonly explore?: boolean;
    readonly root_noise?: unknown;
  },
): void {
  const no = (name: string, why: string): never => {
    throw new TendonError('unsupported', `${name}: ${family} plans with ${sampler}, which ${why}`, { name });
  };
  if (options.prefix !== undefined) no('prefix', NO_PREFIX);
  if (options.noise !== undefined || options.step_noise !== undefined)
    no(
      options.noise === undefined ? 'step_noise' : 'noise',
      'starts from no noise; its draws are those of reset(seed), or of a tape',
    );
  if (options.candidates !== undefined)
    no('candidates', 'draws as many as it was loaded with; choose({ candidates }) changes that');
  const searches = sampler !== TREE_SEARCH && sampler !== 'policy';
  if (options.tape !== undefined && !searches) no('tape', 'has no draws of sequences to be taped');
  if (options.explore === true && !searches) no('explore', 'has no spread to explore with');
  if (options.root_noise !== undefined && sampler !== TREE_SEARCH)
    no('root_noise', `has no tree; choose ${TREE_SEARCH}`);
  refuseGoal(options.goal, family, goal_dims);
}

function refuseGoal(goal: Goal | undefined, family: string, goal_dims: PolicySpec['goal_dims']): void {
  const unknown = Object.keys(goal ?? {}).find((key) => !Object.hasOwn(goal_dims, key));
  if (unknown !== undefined)
    throw new TendonError(
      'input_invalid',
      `goal: ${family} plans for the reward it was trained on and expected ${Object.keys(goal_dims).join(', ') || 'none'}, got ${unknown}; where to go stands in its observations`,
      { key: unknown },
    );
}

function refuse(name: string, why: string): never {
  throw new TendonError('config_invalid', `${name}: ${why}`, { name });
}
