// What can be said when a policy is loaded, in three nouns: how it is computed, how it samples, how its chunks are joined.
// Each is checked by its owner alone: the core and the menu, the family's sampling, the family's joining.

import type { ComputeOptions } from '../native/index.js';
import type { Stochastic } from '../samplers/index.js';
import { TendonError } from '../types/index.js';
import type { OpenOptions } from './checkpoint.js';

/** What a sampler may be told beside its name and its steps. */
export interface SamplerSettings extends Stochastic {
  /** Of dpm_adaptive: the error that a step may make, relative (0.05) and at least (0.0078), as k-diffusion has them. */
  readonly rtol?: number | undefined;
  readonly atol?: number | undefined;
  /** Solves all steps together, to within this much of a normalised action; 0, the default: one after the other. */
  readonly parallel_tolerance?: number | undefined;
}

/** How chunks are drawn. What is left out is as the checkpoint says. */
export interface SamplingOptions extends SamplerSettings {
  /** A name of the policy's menu: `ddim`, `dpmpp_2m`, `euler` …; of a world model the planner. */
  readonly sampler?: string;
  /** Calls of the network; iterations of a planner. */
  readonly steps?: number;
  /** Chunks drawn at once; sequences of a planner. */
  readonly candidates?: number;
  /** λ of classifier-free guidance; 1 is the conditional network alone. */
  readonly guidance_scale?: number;
}

/** How chunks will be joined. Refused at load where the policy cannot do it. */
export interface JoiningOptions {
  /** Chunks are drawn towards the one before. */
  readonly prefix?: boolean;
  /** … through the derivative of the network, which is compiled as well; else at the first prefix that asks for it. */
  readonly derivative?: boolean;
  /** … or their beginning is given to a network that was trained with it. */
  readonly trained?: boolean;
  /** One is chosen among candidates. */
  readonly candidates?: boolean;
}

/** How a policy is loaded. */
export interface LoadOptions extends OpenOptions {
  readonly compute?: ComputeOptions;
  readonly sampling?: SamplingOptions;
  readonly joins?: JoiningOptions;
}

/** The names of T's fields, all of them: one that is missing here does not compile. */
const namesOf = <T>(names: Readonly<Record<keyof T, true>>): readonly string[] => Object.keys(names);

const NOUNS = {
  compute: namesOf<ComputeOptions>({
    ...{ precision: true, threads: true, pin: true, priority: true, pool: true, isa: true, device: true },
  }),
  sampling: namesOf<SamplingOptions>({
    ...{ sampler: true, steps: true, candidates: true, guidance_scale: true, parallel_tolerance: true },
    ...{ eta: true, churn: true, rtol: true, atol: true },
  }),
  joins: namesOf<JoiningOptions>({ prefix: true, derivative: true, trained: true, candidates: true }),
};

/** How the folder is read. */
const FOLDER = namesOf<OpenOptions>({
  ...{ task: true, raw: true, allow_unused: true, policy_hz: true, base: true, tokenizer: true },
  ...{ dataset: true, trained_with: true, scorer: true },
});

/** Every option by itself, as they were said before there were nouns. */
export type FlatLoadOptions = OpenOptions &
  ComputeOptions &
  SamplingOptions & { readonly joins?: JoiningOptions; readonly prefix_derivative?: boolean };

/**
 * Options as they may be said, in their nouns: callers and recordings of before name each by itself. Throws `config_invalid`
 * for a name that there is not, with where it belongs; what each may be, its owner checks.
 */
export function inNouns(given: LoadOptions | FlatLoadOptions): LoadOptions {
  const { prefix_derivative, ...moved }: Record<string, unknown> = { ...given };
  for (const noun of ['compute', 'sampling'] as const) {
    const found = NOUNS[noun].filter((name) => name in moved);
    if (found.length === 0) continue;
    const own = Object.fromEntries(found.map((name) => [name, moved[name]]));
    moved[noun] = { ...own, ...(moved[noun] as object | undefined) };
    for (const name of found) delete moved[name];
  }
  if (prefix_derivative !== undefined)
    moved.joins = { derivative: prefix_derivative, ...(moved.joins as object | undefined) };
  checkNames(moved);
  return moved as LoadOptions;
}

function checkNames(options: Record<string, unknown>): void {
  const check = (within: string, given: unknown, names: readonly string[]): void => {
    const wrong = Object.keys(given ?? {}).find((name) => !names.includes(name));
    if (wrong === undefined) return;
    const noun = Object.entries(NOUNS).find(([, own]) => own.includes(wrong))?.[0];
    const hint =
      noun === undefined ? `expected one of ${names.join(', ')}` : `expected ${noun}: { ${wrong}: … }`;
    throw new TendonError('config_invalid', `${within}${wrong}: no option of loading a policy; ${hint}`, {
      name: wrong,
    });
  };
  check('', options, [...Object.keys(NOUNS), ...FOLDER]);
  for (const [noun, names] of Object.entries(NOUNS)) check(`${noun}.`, options[noun], names);
}

/** `over` where it says something, else `under`, noun by noun. */
export function withOptions(under: LoadOptions, over: LoadOptions): LoadOptions {
  return {
    ...under,
    ...over,
    compute: { ...under.compute, ...over.compute },
    sampling: { ...under.sampling, ...over.sampling },
    joins: { ...under.joins, ...over.joins },
  };
}
