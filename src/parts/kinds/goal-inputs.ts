// What goals, subgoals, routes and progress have in common: where states and goals stand, how far apart they are, and states that
// were recorded.

import * as z from 'zod';
import { TendonError } from '../../types/index.js';
import { type Row, rowsOf } from '../numbers.js';
import type { Moment, PartHost, Question } from '../ports.js';

const entries = z.lazy(() => z.array(z.number().int().min(0)).min(1).max(4096));

/** Steps between two states: by an agent's own judgement, or straight, over the entries that count. */
export const DistanceEntry = z.lazy(() =>
  z.discriminatedUnion('by', [
    z.strictObject({
      by: z.literal('network'),
      /** A folder of the family `actor`, relative to the manifest. */
      model: z.string().default('.'),
      /** Which of its distances; `distance` is the whole of it. */
      score: z.string().default('distance'),
    }),
    z.strictObject({
      by: z.literal('straight'),
      use: entries.optional(),
      /** How far one step goes, in units of the state. */
      per_step: z.number().positive().default(1),
    }),
  ]),
);
export type DistanceEntry = z.infer<typeof DistanceEntry>;

/** Where states and goals stand. */
export const whereEntries = {
  /** The observation that is a state. */
  state: z.string().default('observation.state'),
  /** The goal, in the question or in the observation. */
  goal: z.string().default('goal'),
  /** Entries of a goal that count; the rest is the present state's. All when absent. */
  use: entries.optional(),
};

export interface Where {
  readonly state: string;
  readonly goal: string;
  readonly use?: readonly number[] | undefined;
}

/** Steps from each state to each goal, row by row: both (rows, width). */
export type Distance = (states: readonly Row[], goals: readonly Row[]) => Promise<Float32Array>;

export async function openDistance(entry: DistanceEntry, host: PartHost, where: string): Promise<Distance> {
  if (entry.by === 'straight') {
    const { use, per_step } = entry;
    return async (states, goals) =>
      Float32Array.from(states, (state, i) => {
        const at = use ?? Array.from({ length: state.length }, (_, j) => j);
        const squares = at.reduce((sum, j) => sum + (state[j]! - goals[i]![j]!) ** 2, 0);
        return Math.sqrt(squares) / per_step;
      });
  }
  const networks = await host.goals(entry.model);
  const { score } = entry;
  if (!networks.names.includes(score))
    throw new TendonError(
      'config_invalid',
      `parts.${where}.distance.score: ${networks.agent} has ${networks.names.join(', ') || 'nothing to ask'}; got "${score}". Where it has no distance, use { "by": "straight" }`,
      { score },
    );
  return (states, goals) => networks.score(score, { observations: flat(states), goals: flat(goals) });
}

/** Rows one after another. */
export function flat(rows: readonly Row[]): Float32Array {
  const width = rows[0]?.length ?? 0;
  const out = new Float32Array(rows.length * width);
  rows.forEach((row, i) => {
    out.set(row, i * width);
  });
  return out;
}

export const repeated = (row: Row, count: number): Row[] => Array.from({ length: count }, () => row);

/** The state of a moment; throws `input_invalid` where it is not there. */
export function stateIn(moment: Moment, { state }: Where, part: string): Float32Array {
  const row = moment.newest.values[state];
  if (row === undefined)
    throw new TendonError(
      'input_invalid',
      `parts.${part}.state: the observation has no "${state}"; it has ${Object.keys(moment.newest.values).join(', ')}`,
      { state },
    );
  return row;
}

/** The goal as the user set it, with the present state where an entry does not count; undefined: none was set. */
export function goalIn(moment: Moment, { goal, use }: Where, state: Row): Float32Array | undefined {
  const given = moment.goal?.[goal] ?? moment.newest.values[goal];
  return given && completed(given, use, state);
}

/** A whole goal from one that is whole, or from the entries that count alone. */
export function completed(given: Row, use: readonly number[] | undefined, state: Row): Float32Array {
  if (use === undefined) return Float32Array.from(given);
  const out = Float32Array.from(state);
  const some = given.length === use.length;
  use.forEach((entry, i) => {
    out[entry] = given[some ? i : entry]!;
  });
  return out;
}

/** The question with another goal. */
export const aimed = (question: Question, key: string, goal: Row): Question => ({
  ...question,
  goal: { ...question.goal, [key]: Float32Array.from(goal) },
});

/** What a policy is asked with while it is held: nothing of it is played. */
export const nowhere = ({ spec }: PartHost, key: string): Float32Array =>
  new Float32Array(spec.goal_dims[key] ?? 0);

/** Whether two goals are the same as far as they count. */
export const sameGoal = (a: Row | undefined, b: Row, use: readonly number[] | undefined): boolean =>
  a !== undefined &&
  a.length === b.length &&
  (use ?? Array.from({ length: b.length }, (_, i) => i)).every((i) => a[i] === b[i]);

/** States of a safetensors file (tensor `states`, (rows, width)) or of a recording (every observation's `key`). */
export async function statesOf(
  file: string,
  key: string,
  host: PartHost,
  part: string,
): Promise<readonly Row[]> {
  if (file.endsWith('.mcap')) return (await host.recorded(file, key)).map(({ row }) => row);
  const tensors = host.tensors(file);
  const states = tensors.states;
  if (states === undefined || states.shape.length !== 2 || states.shape[0] === 0)
    throw new TendonError(
      'weights_mismatch',
      `parts.${part}: ${file}: expected a tensor "states" (rows, width) with at least one row; it has ${Object.entries(
        tensors,
      )
        .map(([name, { shape }]) => `${name} (${shape.join(', ')})`)
        .join(', ')}`,
    );
  return rowsOf(states.values, states.shape[1]!);
}

/** Where the rate is known: seconds that so many steps take. */
export const secondsOf = (steps: number, { spec }: PartHost): number | undefined =>
  spec.rate_hz === undefined ? undefined : steps / spec.rate_hz;
