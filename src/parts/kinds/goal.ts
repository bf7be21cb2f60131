// The goal part: from what the user wants to what the policy is given. A goal is values, a moment of a recording, a row of a file,
// or what the caller and the observation say; an encoder turns it into a representation once (set), with the first state of an
// episode (start) or with the present one (step); a prompt turns it into a direction (HILP, Park et al. 2024).

import * as z from 'zod';
import { TendonError } from '../../types/index.js';
import { norm, type Row, rowsOf } from '../numbers.js';
import type { GoalNetworks, Part, PartHost, Shaped } from '../ports.js';
import { midpoint, rewardPrompt } from '../prompt.js';
import {
  aimed,
  completed,
  flat,
  goalIn,
  nowhere,
  repeated,
  sameGoal,
  stateIn,
  statesOf,
  whereEntries,
} from './goal-inputs.js';

const Source = z.lazy(() =>
  z.union([
    z.strictObject({ values: z.array(z.number()).min(1).max(100_000) }),
    /** A moment of a recording, s from its beginning; `key` is the observation that was seen then. */
    z.strictObject({ recording: z.string(), at_s: z.number().min(0), key: z.string().optional() }),
    /** A row of a tensor in safetensors. */
    z.strictObject({
      file: z.string(),
      tensor: z.string().default('goal'),
      row: z.number().int().min(0).default(0),
    }),
    /**
     * Rewards of recorded states instead of a goal: `states`, `rewards` and, for `diff`, `next` in safetensors; the direction is a
     * least squares fit on φ(s), or on φ(s′) − φ(s).
     */
    z.strictObject({ rewards: z.string(), feature: z.enum(['state', 'diff']).default('state') }),
  ]),
);

export const GoalEntry = z.lazy(() =>
  z.strictObject({
    kind: z.literal('goal'),
    ...whereEntries,
    /** Where the goal comes from; what the caller gives, or the observation holds, when absent. */
    from: Source.optional(),
    /** The goal that the policy is given; the same key when absent. */
    feeds: z.string().optional(),
    encoder: z
      .strictObject({
        model: z.string().default('.'),
        /** What of the agent: goal_rep, actor_goal_rep, phi (of the goal alone), skill. */
        score: z.string().default('goal_rep'),
        at: z.enum(['set', 'start', 'step']).default('step'),
        normalize: z.enum(['none', 'unit', 'length']).default('none'),
      })
      .optional(),
    /** HILP: z = the direction of φ(goal) − φ(state), by way of what was seen before where `states` names a file. */
    direction: z
      .strictObject({
        model: z.string().default('.'),
        states: z.string().optional(),
        recursions: z.number().int().min(1).max(64).default(3),
        neighbours: z.number().int().min(1).max(10_000).default(50),
        /** unit: of length 1 (hilp_gcrl); length: of length √n (hilp_zsrl). */
        normalize: z.enum(['unit', 'length']).default('unit'),
      })
      .optional(),
  }),
);
export type GoalEntry = z.infer<typeof GoalEntry>;

/** From a state, the first state of the episode and a whole goal to what the policy is given; undefined: there already. */
interface Encoding {
  readonly at: 'set' | 'start' | 'step';
  of(state: Row, goal: Row): Promise<Float32Array | undefined>;
}

interface Kept {
  readonly goal: Float32Array;
  readonly first: Float32Array;
  readonly given: Float32Array;
}

export async function openGoal(name: string, entry: GoalEntry, host: PartHost): Promise<Part> {
  const feeds = entry.feeds ?? entry.goal;
  if (entry.from !== undefined && 'rewards' in entry.from) return rewardGoal(name, entry, feeds, host);
  const source = entry.from === undefined ? undefined : await sourceOf(name, entry, host);
  const encoding = await encodingOf(name, entry, host);
  return {
    kind: 'shaper',
    part: {
      async shape(question, moment, carried): Promise<Shaped> {
        const state = stateIn(moment, entry, name);
        const goal =
          source === undefined ? goalIn(moment, entry, state) : completed(source, entry.use, state);
        if (goal === undefined) return { question };
        if (encoding === undefined) return { question: aimed(question, feeds, goal) };
        const kept = carried as Kept | undefined;
        const same = kept !== undefined && sameGoal(kept.goal, goal, entry.use);
        const first = same ? kept.first : state;
        const given =
          same && encoding.at !== 'step'
            ? kept.given
            : await encoding.of(encoding.at === 'start' ? first : state, goal);
        if (given === undefined)
          return {
            question: aimed(question, feeds, nowhere(host, feeds)),
            hold: 'the goal is reached: there is no direction left',
          };
        return {
          question: aimed(question, feeds, given),
          carried: { goal, first: Float32Array.from(first), given } satisfies Kept,
          said: { given: [...given] },
        };
      },
    },
  };
}

async function sourceOf(name: string, { from, state }: GoalEntry, host: PartHost): Promise<Float32Array> {
  if ('values' in from!) return Float32Array.from(from.values);
  if ('recording' in from!) {
    const seen = await host.recorded(from.recording, from.key ?? state);
    const at = seen.findLast(({ at_s }) => at_s <= from.at_s) ?? seen[0];
    if (at === undefined)
      throw new TendonError(
        'config_invalid',
        `parts.${name}.from: ${from.recording} has no observation of ${from.key ?? state}`,
        { recording: from.recording },
      );
    return at.row;
  }
  const { file, tensor, row } = from as { file: string; tensor: string; row: number };
  const found = host.tensors(file)[tensor];
  const width = found?.shape.at(-1) ?? 0;
  if (found === undefined || (row + 1) * width > found.values.length)
    throw new TendonError(
      'config_invalid',
      `parts.${name}.from: ${file} has no row ${row} of a tensor "${tensor}"`,
      { file, tensor, row },
    );
  return found.values.slice(row * width, (row + 1) * width);
}

async function encodingOf(
  name: string,
  { encoder, direction }: GoalEntry,
  host: PartHost,
): Promise<Encoding | undefined> {
  if (encoder !== undefined && direction !== undefined)
    throw new TendonError('config_invalid', `parts.${name}: an encoder or a direction, not both`);
  if (direction !== undefined) {
    const networks = await agentWith(name, direction.model, 'phi', host);
    const phi = phiOf(networks);
    const stored =
      direction.states === undefined
        ? undefined
        : await phi(await statesOf(direction.states, 'observation.state', host, name));
    return {
      at: 'step',
      async of(state, goal) {
        const [here, there] = (await phi([state, goal])) as [Row, Row];
        return scaled(
          less(stored === undefined ? there : midpoint(stored, here, there, direction), here),
          direction.normalize,
        );
      },
    };
  }
  if (encoder === undefined) return undefined;
  const networks = await agentWith(name, encoder.model, encoder.score, host);
  return {
    at: encoder.at,
    async of(state, goal) {
      const alone = encoder.score === 'phi' || encoder.at === 'set';
      const given = await networks.score(encoder.score, {
        observations: flat([alone ? goal : state]),
        goals: flat([goal]),
      });
      return encoder.normalize === 'none' ? given : scaled(given, encoder.normalize);
    },
  };
}

/** z once and for all from rewards of recorded states. */
async function rewardGoal(name: string, entry: GoalEntry, feeds: string, host: PartHost): Promise<Part> {
  const { rewards: file, feature } = entry.from as { rewards: string; feature: 'state' | 'diff' };
  const { states, next, rewards } = host.tensors(file);
  if (states === undefined || rewards === undefined || (feature === 'diff' && next === undefined))
    throw new TendonError(
      'weights_mismatch',
      `parts.${name}.from: ${file}: expected tensors states (n, width), rewards (n)${feature === 'diff' ? ' and next (n, width)' : ''}`,
    );
  const phi = phiOf(await agentWith(name, entry.direction?.model ?? '.', 'phi', host));
  const now = await phi(rowsOf(states.values, states.shape[1]!));
  const after = next && feature === 'diff' ? await phi(rowsOf(next.values, states.shape[1]!)) : undefined;
  const features = after === undefined ? now : after.map((row, i) => less(row, now[i]!));
  const z = Float32Array.from(rewardPrompt(features, rewards.values));
  return {
    kind: 'shaper',
    part: { shape: (question) => ({ question: aimed(question, feeds, z), said: { given: [...z] } }) },
  };
}

async function agentWith(name: string, model: string, score: string, host: PartHost): Promise<GoalNetworks> {
  const networks = await host.goals(model);
  if (networks.names.includes(score)) return networks;
  throw new TendonError(
    'config_invalid',
    `parts.${name}: ${model} is ${networks.agent}, which has ${networks.names.join(', ') || 'nothing to ask'} and no "${score}"`,
    { score },
  );
}

const phiOf =
  (networks: GoalNetworks) =>
  async (states: readonly Row[]): Promise<Row[]> => {
    const all = await networks.score('phi', {
      observations: flat(states),
      goals: flat(repeated(new Float32Array(networks.widths.goal), states.length)),
    });
    return rowsOf(all, all.length / states.length);
  };

const less = (a: Row, b: Row): Float64Array => Float64Array.from(a, (v, i) => v - b[i]!);

/** Undefined below 1e-9: a direction is not defined there. */
function scaled(v: Row, to: 'unit' | 'length'): Float32Array | undefined {
  const length = norm(v);
  if (!(length > 1e-9)) return undefined;
  const scale = (to === 'unit' ? 1 : Math.sqrt(v.length)) / length;
  return Float32Array.from(v, (x) => x * scale);
}
