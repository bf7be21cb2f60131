// What every kind of part is, in one port each (docs/parts.md). An inference with parts goes one way:
//
//   observation → shapers → policy draws N chunks → scorers → selector → guardians → monitors → the chunk and its report
//
// A part keeps nothing between inferences. What it needs the next time it returns as `carried`, and is given it again within the
// same episode: so a hold, a reset or a replay begins where it should. Numbers that are drawn come from the moment's stream.

import type {
  ActionChunk,
  Goal,
  GuardianReading,
  Image,
  MonitorReading,
  Observation,
  PolicySpec,
} from '../types/index.js';
import type { ParticlesEntry, TermEntry } from './kinds/denoise.js';
import type { Row } from './numbers.js';

/** What parts are told of one inference. Nothing in it changes. */
export interface Moment {
  /** Oldest first; one observation where the caller gives one at a time. */
  readonly history: readonly Observation[];
  readonly newest: Observation;
  /** As the caller asked, before any part changed it. */
  readonly goal: Goal | undefined;
  readonly task: string | undefined;
  /** Conditions in force, by name. */
  readonly conditions: Readonly<Record<string, number>>;
  /** What the policy gave out of its last call, rows by name: one row, or one of each candidate. Empty before it was asked. */
  readonly features: Readonly<Record<string, readonly Row[]>>;
  readonly playing: ActionChunk | undefined;
  /** The candidates of the inference before, in this episode. */
  readonly before: Chunks | undefined;
  /** Inferences of this episode before this one. */
  readonly step: number;
  /** `count` numbers in [0, 1), of this inference and the part that asks. */
  uniforms(count: number): Float64Array;
}

/** Candidates: (n, horizon, action_dim) in physical units. */
export interface Chunks {
  readonly values: Float32Array;
  readonly n: number;
  readonly horizon: number;
  readonly action_dim: number;
  readonly stamp_ns: number;
  readonly period_ns: number;
  /** Rows first…last − 1 count: those before are committed already, those after will not be executed. */
  readonly first: number;
  readonly last: number;
}

/** For inputs that are gathered before a chunk is drawn. */
export const NO_CHUNKS: Chunks = {
  ...{ values: new Float32Array(0), n: 1, horizon: 0, action_dim: 0 },
  ...{ stamp_ns: 0, period_ns: 0, first: 0, last: 0 },
};

/** What a part leaves for the next inference of the episode; only the part looks into it. */
export interface Carrying {
  readonly carried?: unknown;
}

/** What the policy is about to be asked. */
export interface Question {
  readonly goal: Goal | undefined;
  readonly task: string | undefined;
  /** Stand before the observation's own, in every observation of the window. */
  readonly values: Readonly<Record<string, Float32Array>>;
  readonly images: Readonly<Record<string, Image>>;
  /** λ of classifier-free guidance, where the policy has any. */
  readonly guidance_scale?: number | undefined;
  /** How fast the chunk is played: 1 as it was trained. */
  readonly tempo?: number | undefined;
  /** First noise of candidates 0, 1, …: (k, model_horizon · width); those after are drawn as usual. */
  readonly noise?: readonly Float32Array[] | undefined;
  /** Chunks that compete with the policy's own: each (horizon · action_dim), physical units. */
  readonly proposals?: readonly Float32Array[] | undefined;
}

/** What a shaper makes of a question before the policy is asked. */
export interface Shaped extends Carrying {
  readonly question: Question;
  /** For the page and the recording, under the part's name. JSON. */
  readonly said?: unknown;
  /** There is nothing that the policy could be asked: the robot is held, and this says why. */
  readonly hold?: string;
}

/** Changes what the policy is asked: conditions, goals, subgoals, routes, noise sources, memories. In the manifest's order. */
export interface Shaper {
  shape(question: Question, moment: Moment, carried: unknown): Shaped | Promise<Shaped>;
}

/** What a scorer says of candidates. */
export interface Judged extends Carrying {
  /** Higher is better: (n), or one where the scorer looks at no chunk. */
  readonly scores: Row;
}

/** A part that gives candidates a number each; higher is better. */
export interface Scorer {
  /** Whether it looks at the chunks: only such a one can rank them. Any can be watched by a monitor. */
  readonly ranks: boolean;
  /** The fewest candidates that it says anything of; 1 when absent. */
  readonly least?: number;
  score(chunks: Chunks, moment: Moment, carried: unknown): Judged | Promise<Judged>;
}

/** What a guardian did with the answer before it is played. */
export interface Guarded extends Carrying {
  readonly did: GuardianReading['did'];
  /** Which candidate is played, wholly or in part. */
  readonly chosen: number;
  /** (horizon · action_dim); nothing is played where `did` is hold. */
  readonly actions: Float32Array;
  /** Of the candidate in what is played. */
  readonly share: number;
  readonly why: string;
}

/** Lets a chunk through, or puts another in its place. One that fails holds the robot. */
export interface Guardian {
  /** `order`: candidates, best first; `scores` of each scorer. */
  guard(
    order: readonly number[],
    chunks: Chunks,
    scores: Readonly<Record<string, Row>>,
    moment: Moment,
    carried: unknown,
  ): Guarded | Promise<Guarded>;
}

/** What an alarm does: warn, hold the robot, ask a person to take over, or switch on other parts. */
export const MONITOR_ACTS = ['warn', 'hold', 'takeover', 'arm'] as const;
export type MonitorAct = (typeof MONITOR_ACTS)[number];

/** What a monitor says of one inference. */
export interface Watched extends Carrying, Omit<MonitorReading, 'name' | 'step'> {
  readonly act: MonitorAct;
  /** Parts that an alarm switches on for the rest of the episode. */
  readonly arms: readonly string[];
  readonly why: string;
}

/** Looks on. One that fails, or whose score is not finite, holds the robot. */
export interface Monitor {
  /** `scores` of each scorer, of the candidate that is played. */
  watch(scores: Readonly<Record<string, number>>, moment: Moment, carried: unknown): Watched;
}

/** Acts while a chunk is denoised. */
export interface Denoiser {
  readonly entry: TermEntry | ParticlesEntry;
  readonly scorer: Scorer;
}

/** A part that is open. One that can be switched off is not asked then. */
export type Part =
  | { readonly kind: 'shaper'; readonly part: Shaper }
  | { readonly kind: 'scorer'; readonly part: Scorer }
  | { readonly kind: 'guardian'; readonly part: Guardian }
  | { readonly kind: 'monitor'; readonly part: Monitor }
  | { readonly kind: 'denoise'; readonly part: Denoiser };

/** A score that a program computes by itself. */
export type ScoreFunction = (chunks: Chunks, moment: Moment) => Row | Promise<Row>;

/** A network whose rows are computed together: (rows, width of its inputs) → (rows, width). */
export interface RowNetwork {
  /** What one row is, by input name, in order; a network of one input has one. */
  readonly inputs: Readonly<Record<string, number>>;
  readonly width: number;
  /** The numbers of a chunk count within ± this, where the training had it so (qc). */
  readonly chunk_limit?: number | undefined;
  run(inputs: Readonly<Record<string, Float32Array>>, rows: number): Promise<Float32Array>;
}

/** What a goal-conditioned agent says of states and goals, rows together. Distances are steps of its training. */
export interface GoalNetworks {
  readonly agent: string;
  /** value, distance, subgoal, proposal, goal_rep, phi, skill …, as far as it has them. */
  readonly names: readonly string[];
  readonly widths: { readonly observation: number; readonly goal: number; readonly subgoal: number };
  readonly rate_hz: number | undefined;
  /** Entries of a goal that count; undefined: all. */
  readonly goal_use: readonly number[] | undefined;
  score(
    name: string,
    rows: {
      readonly observations: Float32Array;
      readonly goals: Float32Array;
      readonly actions?: Float32Array;
    },
  ): Promise<Float32Array>;
}

/** What a part is opened with. File names are relative to the manifest's folder. */
export interface PartHost {
  /** The policy's. */
  readonly spec: PolicySpec;
  /** Rows and columns of the noise that a chunk begins as; undefined of a policy that does not denoise. */
  readonly noise: readonly [number, number] | undefined;
  /** Where an action, (action_dim), leads the tip, metres; undefined where no robot is known. */
  readonly tip: ((action: Row) => Row) | undefined;
  /** Of the policy's weights: what was calibrated belongs to it. */
  readonly fingerprint: string;
  /** Files of numbers: tensors by name, rows of their last dimension. */
  tensors(
    file: string,
  ): Readonly<Record<string, { readonly shape: readonly number[]; readonly values: Float32Array }>>;
  json(file: string): unknown;
  /** Unit normal numbers by a seed. */
  normal(seed: number, count: number): Float32Array;
  /** A network that judges, by the form its author saved it in. */
  network(model: string, form: string): Promise<RowNetwork>;
  /** Another policy, asked beside this one. */
  policy(model: string): Promise<PartPolicy>;
  /** A goal-conditioned agent of the family `actor`, asked about states and goals. */
  goals(model: string): Promise<GoalNetworks>;
  /** Observations of a recording, oldest first, as far as `key` was seen in them. */
  recorded(
    file: string,
    key: string,
  ): Promise<readonly { readonly at_s: number; readonly row: Float32Array }[]>;
  /** A model of the world that can be rolled along a chunk. */
  world(model: string): Promise<WorldReturns>;
  readonly functions: Readonly<Record<string, ScoreFunction>>;
  /** Monitors are opened to collect scores: they need no band and never alarm. */
  readonly calibrating: boolean;
}

/** A policy as a part asks it: the same inference, without a memory of its own. */
export interface PartPolicy {
  readonly spec: PolicySpec;
  ask(moment: Moment, carried: unknown): Promise<{ readonly chunk: ActionChunk } & Carrying>;
}

/** Predicted return of each candidate, rolled along its rows first…last − 1 from the newest observation: (n). */
export interface WorldReturns {
  of(chunks: Chunks, moment: Moment): Promise<Row>;
}
