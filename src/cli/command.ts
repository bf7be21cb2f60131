// What a command is, and reading its options: the only place, with main.ts, that knows argv.

import { addon, type NativePool, type PoolPriority } from '../native/index.js';
import { readToken, TOKEN_VARIABLE } from '../net/index.js';
import type { LoadOptions } from '../policies/index.js';
import { TendonError } from '../types/index.js';
import { decimal, whole } from './numbers.js';

export interface OptionSpec {
  readonly type: 'string' | 'boolean';
  readonly default?: string | boolean;
  readonly help: string;
}

export type Values = Readonly<Record<string, string | boolean | undefined>>;

export interface Context {
  /** Option as a whole number within bounds. */
  integer(name: string, low: number, high: number): number;
  text(name: string): string;
  say(line: string): void;
  /**
   * Resolves when the process should end: on Ctrl-C, SIGTERM or SIGHUP, which end it at once before this is called, and
   * on an error that nobody caught. The command then closes what it opened.
   */
  stopped(): Promise<void>;
  readonly positionals: readonly string[];
}

export interface Command {
  readonly summary: string;
  readonly usage: string;
  /** Lines that can be typed as they are, the commonest first. */
  readonly examples?: readonly string[];
  /**
   * Words beside the options. `policy`: at most one checkpoint folder, which is the option --policy by another name.
   * Absent: none.
   */
  readonly takes?: 'policy' | { readonly least: number; readonly most: number; readonly what: string };
  /** Whether something runs meanwhile that must not wait for whoever reads what it says: then lines may be dropped. */
  readonly live?: boolean;
  /** Whether it has --json, which prints one object and nothing else. */
  readonly json?: boolean;
  readonly options: Readonly<Record<string, OptionSpec>>;
  /** Resolves with the exit code. */
  run(values: Values, context: Context): Promise<number>;
}

/** Options of every command that loads a policy. */
export const POLICY_OPTIONS = {
  sampler: { type: 'string', help: 'dpmpp_2m, euler, heun, ddim …; default: the checkpoint’s' },
  steps: { type: 'string', help: 'denoising steps; default: the checkpoint’s' },
  candidates: { type: 'string', help: 'chunks drawn at once; default 1' },
  precision: { type: 'string', help: 'auto (default), f32, bf16, int8' },
  'model-task': { type: 'string', help: 'of a tdmpc2 checkpoint for several tasks: which, by name or place' },
  raw: {
    type: 'string',
    help: 'features that the network takes and gives as they are, e.g. observation.state,action; or all',
  },
  'policy-hz': {
    type: 'string',
    help: 'rate of the data that the policy was trained on, where the checkpoint does not say it',
  },
  base: { type: 'string', help: 'of an adapter (PEFT, LoRA): the folder of the policy it was trained on' },
  tokenizer: { type: 'string', help: 'folder of tokenizer.json, for a checkpoint without its own' },
  dataset: { type: 'string', help: 'of statistics under the names of several data sets: whose' },
  'trained-with': {
    type: 'string',
    help: 'release of LeRobot that trained a VLA, 0.3 or 0.4, where it changes numbers (docs/vla.md)',
  },
  'allow-unused': { type: 'boolean', help: 'tensors that belong to nothing in the network are left out' },
  guidance: { type: 'string', help: 'λ of classifier-free guidance; default: the checkpoint’s' },
  'parallel-tolerance': {
    type: 'string',
    help: 'solve all denoising steps together to within this, e.g. 0.001; pays where weights exceed the cache',
  },
  eta: { type: 'string', help: 'η of DDIM, 0 (default, deterministic) to 1' },
  churn: { type: 'string', help: 's_churn of euler and heun; default 0' },
  rtol: {
    type: 'string',
    help: 'error that a step of dpm_adaptive may make, relative to the sample; default 0.05',
  },
  atol: { type: 'string', help: 'and at least, in normalised actions; default 0.0078' },
  threads: { type: 'string', help: 'threads of the native core; default all cores but one' },
  pin: {
    type: 'string',
    help: 'binds each thread to a core of its own: of these, e.g. 1,2 or 4-7, or `any`: the first there are',
  },
  priority: {
    type: 'string',
    help: 'of the threads beside what else runs here: nice:-10, or rr:10 (SCHED_RR, before all ordinary threads)',
  },
  device: { type: 'string', help: 'where the network runs: cpu (default) or cuda:0, cuda:1, …' },
} as const satisfies Record<string, OptionSpec>;

/** Of every command whose policy may have parts beside it (docs/parts.md). */
export const PARTS_OPTION = {
  parts: {
    type: 'string',
    help: 'manifest of parts (scorers, guardians, monitors …) beside the policy, instead of its folder’s; none: no parts',
  },
} as const satisfies Record<string, OptionSpec>;

export const partsOf = ({ parts }: Values): string | false | undefined =>
  parts === 'none' ? false : typeof parts === 'string' ? parts : undefined;

/** Of every command that may listen beyond this machine. A token as an argument could be read by every user of it. */
export const TOKEN_OPTION = {
  'token-file': {
    type: 'string',
    help: `file with the token that clients must show; default: the variable ${TOKEN_VARIABLE}`,
  },
} as const satisfies Record<string, OptionSpec>;

export const tokenOf = (values: Values): string | undefined =>
  readToken(typeof values['token-file'] === 'string' ? values['token-file'] : undefined);

/** Of every command with a page. */
export const PAGE_NAME_OPTION = {
  'page-name': {
    type: 'string',
    help: 'names under which browsers may ask for the page, such as robot.local; several with commas',
  },
} as const satisfies Record<string, OptionSpec>;

export const pageNames = (values: Values): string[] =>
  typeof values['page-name'] === 'string' ? values['page-name'].split(',').map((name) => name.trim()) : [];

export function loadOptions(values: Values): LoadOptions {
  const number = (name: string): number | undefined => {
    const value = values[name];
    if (typeof value !== 'string') return undefined;
    return decimal(`--${name}`, value);
  };
  const count = (name: string, most: number): number | undefined => {
    const value = values[name];
    return typeof value === 'string' ? whole(`--${name}`, value, 1, most) : undefined;
  };
  const said = (name: string, as: string = name): Record<string, string> =>
    typeof values[name] === 'string' ? { [as]: values[name] } : {};
  const { raw, 'model-task': task } = values;
  const pin = typeof values.pin === 'string' ? coresOf(values.pin) : undefined;
  const churn = number('churn');
  return {
    ...said('base'),
    ...(typeof raw === 'string' ? { raw: raw === 'all' ? raw : raw.split(',') } : {}),
    ...said('tokenizer'),
    ...said('dataset'),
    ...trainedWith(values),
    ...(values['allow-unused'] === true ? { allow_unused: true } : {}),
    ...(typeof task === 'string' ? { task: /^\d+$/.test(task) ? Number(task) : task } : {}),
    ...given('policy_hz', number('policy-hz')),
    compute: {
      ...said('precision'),
      ...said('device'),
      ...(pin === undefined ? {} : { pin }),
      ...(typeof values.priority === 'string' ? { priority: priorityOf(values.priority) } : {}),
      // One core stays free for the control loop and the bridge.
      threads:
        count('threads', 1024) ?? (Array.isArray(pin) ? pin.length : Math.max(1, addon().threadCount() - 1)),
    },
    sampling: {
      ...said('sampler'),
      ...given('steps', count('steps', 1024)),
      ...given('candidates', count('candidates', 4096)),
      ...given('guidance_scale', number('guidance')),
      ...given('eta', number('eta')),
      ...given('rtol', number('rtol')),
      ...given('atol', number('atol')),
      ...(churn === undefined ? {} : { churn: { s_churn: churn } }),
      ...given('parallel_tolerance', number('parallel-tolerance')),
    },
  };
}

function trainedWith(values: Values): Pick<LoadOptions, 'trained_with'> {
  const release = values['trained-with'];
  if (release === undefined) return {};
  if (release === '0.3' || release === '0.4') return { trained_with: release };
  throw new TendonError('config_invalid', `--trained-with: expected 0.3 or 0.4, got "${release}"`);
}

/** `any`, or cores and ranges of them as taskset has them. */
function coresOf(text: string): true | number[] {
  if (text === 'any') return true;
  return text.split(',').flatMap((part) => {
    const [, first, last] = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(part) ?? [];
    const from = Number(first);
    const count = Number(last ?? first) - from + 1;
    if (!(count >= 1))
      throw new TendonError(
        'config_invalid',
        `--pin: expected any, or cores such as 1,2 or 4-7, got "${text}"`,
      );
    return Array.from({ length: count }, (_, i) => from + i);
  });
}

/** `nice:-20` to `nice:19`, or `rr:1` to `rr:99`. */
function priorityOf(text: string): PoolPriority {
  const [, kind, level] = /^(nice|rr):(-?\d{1,2})$/.exec(text) ?? [];
  const value = Number(level);
  if (kind === 'nice' && value >= -20 && value <= 19) return { nice: value };
  if (kind === 'rr' && value >= 1) return { round_robin: value };
  throw new TendonError(
    'config_invalid',
    `--priority: expected nice:-20 to nice:19, or rr:1 to rr:99, got "${text}"`,
  );
}

/** How many threads compute, and where they are bound. */
export const describePool = ({ size, cores }: Pick<NativePool, 'size' | 'cores'>): string =>
  `${size}${cores.length === 0 ? '' : `, on cores ${cores.join(', ')}`}`;

function given(name: string, value: number | undefined): Record<string, number> {
  return value === undefined ? {} : { [name]: value };
}
