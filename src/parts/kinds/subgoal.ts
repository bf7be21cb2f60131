// The subgoal part: from the state and the goal to something nearer, for the level below. Proposed by an agent's high level, by
// another policy (a generator: its candidates are the proposals), or by states that were seen; N proposals are scored and one is
// kept for k inferences, or until it is reached. A proposer that fails or is late leaves the present subgoal in force.
//
// Where the agent's own high level is asked at every step with one proposal, leave this part out: both levels are then one
// compiled program (family `actor`).

import * as z from 'zod';
import { asTendonError, TendonError } from '../../types/index.js';
import type { Row } from '../numbers.js';
import type { GoalNetworks, Moment, Part, PartHost, PartPolicy, Shaped } from '../ports.js';
import { argmax } from '../select.js';
import {
  aimed,
  type Distance,
  DistanceEntry,
  flat,
  goalIn,
  nowhere,
  openDistance,
  repeated,
  sameGoal,
  stateIn,
  statesOf,
  whereEntries,
} from './goal-inputs.js';

export const SubgoalEntry = z.lazy(() =>
  z
    .strictObject({
      kind: z.literal('subgoal'),
      ...whereEntries,
      /**
       * network: the agent's high level. policy: what another policy of the folder `model` draws. states: states of a file, with
       * the one chosen that lies best between here and the goal.
       */
      by: z.enum(['network', 'policy', 'states']).default('network'),
      model: z.string().default('.'),
      /** Of states: safetensors with `states`, or a recording. */
      states: z.string().optional(),
      /** The goal that the policy is given; the same key when absent. */
      feeds: z.string().optional(),
      proposals: z.number().int().min(1).max(1024).default(1),
      /** How far an agent's proposals spread; 0: its mean alone. */
      temperature: z.number().min(0).max(10).default(0),
      /** A subgoal is added to the state (a policy that predicts differences). */
      residual: z.boolean().default(false),
      /**
       * Which proposal: the first; near: least distance from here; through: least distance from here to it and from it to the
       * goal; between: least of the greater of the two. All but first need proposals that are states.
       */
      select: z.enum(['first', 'near', 'through', 'between']).default('first'),
      distance: DistanceEntry.default({ by: 'network', model: '.', score: 'distance' }),
      /** Inferences for which a subgoal is kept. */
      every: z.number().int().min(1).default(1),
      /** A new one as soon as the present one is nearer than this, steps. */
      until_steps: z.number().min(0).optional(),
    })
    .refine(({ by, states }) => (by === 'states') === (states !== undefined), {
      error: 'states names a file of states, and belongs to by: "states"',
    })
    .refine(({ by, select }) => by !== 'states' || select !== 'first', {
      error: 'by: "states" needs select: near, through or between',
    }),
);
export type SubgoalEntry = z.infer<typeof SubgoalEntry>;

/** What is said under the part's name. */
export interface SubgoalSaid {
  readonly subgoal: readonly number[];
  /** Inferences since it was proposed. */
  readonly age: number;
  readonly by: string;
  /** Steps that each proposal was chosen by; empty where none was asked. */
  readonly proposals: number;
  readonly costs: readonly number[];
  readonly chosen: number;
  /** Why there is no newer one. */
  readonly failed?: string;
}

interface Kept {
  readonly goal: Float32Array;
  readonly subgoal: Float32Array;
  readonly said: SubgoalSaid;
  readonly inner: unknown;
}

interface Proposed {
  readonly rows: readonly Row[];
  readonly inner?: unknown;
}
type Propose = (state: Row, goal: Row, moment: Moment, inner: unknown) => Promise<Proposed>;

export async function openSubgoal(name: string, entry: SubgoalEntry, host: PartHost): Promise<Part> {
  const propose = await proposerOf(name, entry, host);
  const needs = entry.select !== 'first' || entry.until_steps !== undefined;
  const distance = needs ? await openDistance(entry.distance, host, name) : undefined;
  return {
    kind: 'shaper',
    part: {
      async shape(question, moment, carried): Promise<Shaped> {
        const state = stateIn(moment, entry, name);
        const goal = goalIn(moment, entry, state);
        if (goal === undefined) return { question };
        const feeds = entry.feeds ?? entry.goal;
        const before = carried as Kept | undefined;
        const kept = sameGoal(before?.goal, goal, entry.use) ? before : undefined;
        const answer = (held: Kept): Shaped => ({
          question: aimed(question, feeds, held.subgoal),
          carried: held,
          said: held.said,
        });
        const older = kept && { ...kept, said: { ...kept.said, age: kept.said.age + 1 } };
        if (older !== undefined && !(await isDue(older, state, entry, distance))) return answer(older);
        try {
          const { rows, inner } = await propose(state, goal, moment, kept?.inner);
          const costs = await costsOf(rows, state, goal, entry, distance);
          const chosen = costs === undefined ? 0 : argmax(costs.map((c) => -c));
          const subgoal = Float32Array.from(rows[chosen]!);
          if (!subgoal.every(Number.isFinite)) throw new Error('it gave numbers that are not finite');
          const said: SubgoalSaid = {
            subgoal: [...subgoal],
            age: 0,
            by: entry.by,
            proposals: rows.length,
            costs: [...(costs ?? [])],
            chosen,
          };
          return answer({ goal, subgoal, said, inner });
        } catch (caught) {
          const failed = asTendonError(caught, name).message;
          if (older !== undefined) return answer({ ...older, said: { ...older.said, failed } });
          // Without any subgoal the goal itself, where the level below takes one.
          if (host.spec.goal_dims[feeds] === goal.length)
            return { question: aimed(question, feeds, goal), said: { failed } };
          return {
            question: aimed(question, feeds, nowhere(host, feeds)),
            hold: `${name}: no subgoal, and the level below takes no goal: ${failed}`,
          };
        }
      },
    },
  };
}

async function isDue(
  { said, subgoal }: Kept,
  state: Row,
  entry: SubgoalEntry,
  distance: Distance | undefined,
): Promise<boolean> {
  if (said.age >= entry.every) return true;
  if (entry.until_steps === undefined) return false;
  const [left] = await distance!([state], [subgoal]);
  return left! <= entry.until_steps;
}

/** Lower is better; undefined where the first is taken. */
async function costsOf(
  rows: readonly Row[],
  state: Row,
  goal: Row,
  { select }: SubgoalEntry,
  distance: Distance | undefined,
): Promise<Float64Array | undefined> {
  if (select === 'first') return undefined;
  const there = await distance!(repeated(state, rows.length), rows);
  if (select === 'near') return Float64Array.from(there);
  const on = await distance!(rows, repeated(goal, rows.length));
  return Float64Array.from(there, (d, i) => (select === 'through' ? d + on[i]! : Math.max(d, on[i]!)));
}

async function proposerOf(name: string, entry: SubgoalEntry, host: PartHost): Promise<Propose> {
  if (entry.by === 'states') {
    const states = await statesOf(entry.states!, entry.state, host, name);
    return async () => ({ rows: states });
  }
  if (entry.by === 'policy') return fromPolicy(await host.policy(entry.model), entry);
  return fromNetwork(name, await host.goals(entry.model), entry);
}

function fromNetwork(name: string, networks: GoalNetworks, entry: SubgoalEntry): Propose {
  const { proposals, temperature, residual } = entry;
  if (!networks.names.includes('subgoal'))
    throw new TendonError(
      'config_invalid',
      `parts.${name}: ${entry.model} is ${networks.agent}, which has one level and proposes no subgoal`,
      { agent: networks.agent },
    );
  const width = networks.widths.subgoal;
  return async (state, goal, moment) => {
    const rows = { observations: flat(repeated(state, proposals)), goals: flat(repeated(goal, proposals)) };
    const given = await (temperature === 0
      ? networks.score('subgoal', rows)
      : networks.score('proposal', { ...rows, actions: normals(moment, proposals * width, temperature) }));
    return {
      rows: Array.from({ length: proposals }, (_, i) =>
        moved(
          given.subarray((i * given.length) / proposals, ((i + 1) * given.length) / proposals),
          state,
          residual,
        ),
      ),
    };
  };
}

/** A generator: each candidate of its chunk is a proposal. */
const fromPolicy =
  (policy: PartPolicy, { residual }: SubgoalEntry): Propose =>
  async (state, _, moment, inner) => {
    const { chunk, carried } = await policy.ask(moment, inner);
    const all = chunk.candidates ?? chunk.actions;
    const size = all.length / chunk.n_candidates;
    return {
      rows: Array.from({ length: chunk.n_candidates }, (_, i) =>
        moved(all.subarray(i * size, (i + 1) * size), state, residual),
      ),
      inner: carried,
    };
  };

const moved = (row: Row, state: Row, residual: boolean): Row =>
  residual ? Float32Array.from(row, (v, i) => v + state[i]!) : row;

/** Normal draws of this inference, spread by the temperature (Box–Muller on its uniform numbers). */
function normals(moment: Moment, count: number, temperature: number): Float32Array {
  const u = moment.uniforms(2 * count);
  return Float32Array.from(
    { length: count },
    (_, i) => temperature * Math.sqrt(-2 * Math.log(1 - u[2 * i]!)) * Math.cos(2 * Math.PI * u[2 * i + 1]!),
  );
}
