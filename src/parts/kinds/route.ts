// The route part: an ordered or graph-shaped memory of goals. Milestones of one demonstration (UVD), places of a drive that are
// localised within a window (GNM, ViNT, NoMaD), or a graph of recorded states that is searched for each goal (TTGS). The present
// place on the route is the goal that the policy is given.

import * as z from 'zod';
import { TendonError } from '../../types/index.js';
import { type Row, smallest } from '../numbers.js';
import { locate, placesOf } from '../place-map.js';
import type { Part, PartHost, Shaped } from '../ports.js';
import { AT_FIRST, type MilestoneState, milestones, nextMilestone } from '../route.js';
import { edgeWeights, followPath, type GraphOptions, shortestPath } from '../state-graph.js';
import {
  aimed,
  completed,
  type Distance,
  DistanceEntry,
  goalIn,
  openDistance,
  repeated,
  sameGoal,
  secondsOf,
  stateIn,
  statesOf,
  whereEntries,
} from './goal-inputs.js';

export const RouteEntry = z.lazy(() =>
  z.strictObject({
    kind: z.literal('route'),
    ...whereEntries,
    by: z.enum(['milestones', 'map', 'graph']),
    /** Safetensors with `states` (rows, width), in order; or a recording. */
    states: z.string(),
    distance: DistanceEntry.default({ by: 'network', model: '.', score: 'distance' }),
    feeds: z.string().optional(),
    /** Of milestones (UVD): steps between two at least, smoothing, share of the first distance that counts as reached, steps. */
    min_interval: z.number().int().min(1).default(18),
    gamma: z.number().positive().default(0.08),
    ratio: z.number().positive().default(0.2),
    delay: z.number().int().min(0).default(0),
    /** Of map: steps between places, places looked at to either side, steps at which the next one is the goal. */
    spacing: z.number().positive().default(5),
    window: z.number().int().min(1).default(4),
    close: z.number().positive().default(3),
    /** Of graph (TTGS): longest edge without a penalty, its factor, steps within which a node is near. */
    tau: z.number().positive().default(12),
    penalty: z.number().min(1).default(1000),
    near: z.number().positive().default(24),
    /** Lost beyond this, steps: the route is searched anew; twice `near` of a graph, else 25, when absent. */
    lost: z.number().positive().optional(),
    on_lost: z.enum(['say', 'hold']).default('say'),
  }),
);
export type RouteEntry = z.infer<typeof RouteEntry>;

/** What is said under the part's name. */
export interface RouteSaid {
  /** Place that is gone to, from 0, of how many; equal to `of`: the goal itself. */
  readonly index: number;
  readonly of: number;
  readonly subgoal: readonly number[];
  /** Steps to it. */
  readonly steps: number;
  readonly seconds?: number;
  readonly lost: boolean;
  readonly done: boolean;
  /** Times the route was searched anew since the goal was set. */
  readonly replanned: number;
  /** Places from here on. */
  readonly ahead: readonly (readonly number[])[];
}

/** One way to follow a route; its state is a value. */
interface Follower<State> {
  step(
    state: Row,
    goal: Row | undefined,
    kept: State | undefined,
  ): Promise<{ readonly said: Omit<RouteSaid, 'seconds'>; readonly kept: State } | undefined>;
}

/** Places ahead that are told, so that a recording does not grow with the route. */
const TOLD = 32;

const told = (places: readonly Row[]): number[][] => places.slice(0, TOLD).map((row) => Array.from(row));

export async function openRoute(name: string, entry: RouteEntry, host: PartHost): Promise<Part> {
  const states = await statesOf(entry.states, entry.state, host, name);
  const distance = await openDistance(entry.distance, host, name);
  const follower: Follower<unknown> =
    entry.by === 'milestones'
      ? milestoneFollower(states, entry, distance)
      : entry.by === 'map'
        ? await mapFollower(states, entry, distance)
        : await graphFollower(states, entry, distance);
  return {
    kind: 'shaper',
    part: {
      async shape(question, moment, carried): Promise<Shaped> {
        const state = stateIn(moment, entry, name);
        const goal = goalIn(moment, entry, state);
        const found = await follower.step(state, goal, carried);
        if (found === undefined) return { question };
        const seconds = secondsOf(found.said.steps, host);
        const said: RouteSaid = { ...found.said, ...(seconds === undefined ? {} : { seconds }) };
        const held = said.lost && entry.on_lost === 'hold';
        return {
          question: aimed(question, entry.feeds ?? entry.goal, completed(said.subgoal, entry.use, state)),
          carried: found.kept,
          said,
          ...(held ? { hold: `${name}: off the route, ${said.steps.toPrecision(3)} steps from it` } : {}),
        };
      },
    },
  };
}

/** The entries that count, by which states are told apart without a network. */
const seenOf = (row: Row, use: readonly number[] | undefined): Row =>
  use === undefined ? row : use.map((i) => row[i]!);

function milestoneFollower(
  states: readonly Row[],
  { min_interval, gamma, ratio, delay, use }: RouteEntry,
  distance: Distance,
): Follower<MilestoneState> {
  const embeddings = states.map((row) => seenOf(row, use));
  const at = milestones(embeddings, { min_interval, gamma });
  const goals = at.map((i) => embeddings[i]!);
  return {
    async step(state, _, kept = AT_FIRST) {
      const now = nextMilestone(kept, seenOf(state, use), goals, { threshold: ratio, delay_steps: delay });
      const subgoal = states[at[now.index]!]!;
      const [steps] = await distance([state], [completed(subgoal, use, state)]);
      return {
        said: {
          index: now.index,
          of: goals.length,
          subgoal: Array.from(subgoal),
          steps: steps!,
          lost: false,
          done: now.done,
          replanned: 0,
          ahead: told(at.slice(now.index).map((i) => states[i]!)),
        },
        kept: { index: now.index, first: now.first, held: now.held, done: now.done },
      };
    },
  };
}

async function mapFollower(
  states: readonly Row[],
  { spacing, window, close, lost = 25, use }: RouteEntry,
  distance: Distance,
): Promise<Follower<{ readonly at: number }>> {
  const apart = states.length < 2 ? [] : await distance(states.slice(0, -1), states.slice(1));
  // Length of the drive so far: places are spread along it.
  const along = [0];
  for (const step of apart) along.push(along.at(-1)! + Math.max(0, step));
  const places = placesOf(states.length, spacing, (a, b) => along[b]! - along[a]!).map((i) => states[i]!);
  return {
    async step(state, _, kept) {
      const there = places.map((place) => completed(place, use, state));
      const steps = await distance(repeated(state, places.length), there);
      const { at, subgoal, lost: isLost, done } = locate(steps, kept?.at, { window, close, lost });
      return {
        said: {
          index: subgoal,
          of: places.length,
          subgoal: Array.from(places[subgoal]!),
          steps: steps[isLost ? at : subgoal]!,
          lost: isLost,
          done,
          replanned: 0,
          ahead: told(places.slice(subgoal)),
        },
        kept: { at },
      };
    },
  };
}

interface GraphKept {
  readonly goal: Float32Array;
  readonly path: readonly number[];
  readonly closest: number;
  readonly replanned: number;
}

async function graphFollower(
  nodes: readonly Row[],
  { tau, penalty, near, lost = 2 * near, use }: RouteEntry,
  distance: Distance,
): Promise<Follower<GraphKept>> {
  const n = nodes.length;
  const options: GraphOptions = {
    tau,
    penalty_factor: penalty,
    threshold: near,
    replan_factor: lost / near,
  };
  const weights = edgeWeights(await allDistances(nodes, use, distance), n, options);
  const towards = (row: Row, goals: readonly Row[]): Promise<Float32Array> =>
    distance(
      repeated(row, goals.length),
      goals.map((goal) => completed(goal, use, row)),
    );

  const plan = async (state: Row, goal: Row): Promise<readonly number[]> => {
    const out = await towards(state, nodes);
    const to = await distance(
      nodes,
      nodes.map((node) => completed(goal, use, node)),
    );
    const path = shortestPath(weights, n, smallest(out, 1)[0]!, smallest(to, 1)[0]!);
    if (path === undefined)
      throw new TendonError('policy_failed', 'route: the graph has no way to this goal');
    return path;
  };

  return {
    async step(state, goal, kept) {
      if (goal === undefined) return undefined;
      let now = sameGoal(kept?.goal, goal, use)
        ? kept!
        : { goal: Float32Array.from(goal), path: await plan(state, goal), closest: 0, replanned: 0 };
      for (;;) {
        const path = now.path.map((node) => nodes[node]!);
        const to_nodes = await towards(state, path);
        const [to_goal, end_to_goal] = await distance(
          [state, path.at(-1)!],
          [completed(goal, use, state), completed(goal, use, path.at(-1)!)],
        );
        const found = followPath(now.closest, to_nodes, to_goal!, end_to_goal!, options);
        // Once for each observation: what is lost after that is off every known way.
        if (found.lost && now.closest > 0) {
          now = { ...now, path: await plan(state, goal), closest: 0, replanned: now.replanned + 1 };
          continue;
        }
        const index = found.subgoal < 0 ? path.length : found.subgoal;
        const subgoal = found.subgoal < 0 ? goal : path[found.subgoal]!;
        return {
          said: {
            index,
            of: path.length,
            subgoal: Array.from(subgoal),
            steps: found.subgoal < 0 ? to_goal! : to_nodes[found.subgoal]!,
            lost: found.lost,
            done: found.subgoal < 0,
            replanned: now.replanned,
            ahead: told([...path.slice(index), goal]),
          },
          kept: { ...now, closest: found.closest },
        };
      }
    },
  };
}

/** Rows of pairs that are asked about at once. */
const PAIRS = 4096;

/** Steps between all pairs, row by row; goals completed by the state they are asked from. */
async function allDistances(
  nodes: readonly Row[],
  use: readonly number[] | undefined,
  distance: Distance,
): Promise<Float64Array> {
  const n = nodes.length;
  const out = new Float64Array(n * n);
  const together = Math.max(1, Math.floor(PAIRS / n));
  for (let from = 0; from < n; from += together) {
    // Always as many rows, so that one program serves: the last block begins earlier.
    const first = Math.max(0, Math.min(from, n - together));
    const some = nodes.slice(first, first + together);
    const states = some.flatMap((row) => repeated(row, n));
    const goals = some.flatMap((row) => nodes.map((node) => completed(node, use, row)));
    out.set(await distance(states, goals), first * n);
  }
  return out;
}
