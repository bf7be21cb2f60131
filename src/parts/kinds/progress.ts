// Progress towards the goal, by the policy's own distance: how far it is yet, reached, stalled, off the route. It is said on the
// page and in the recording; reached and stalled may hold the robot.

import * as z from 'zod';
import type { Part, PartHost, Shaped } from '../ports.js';
import { type Progress, type ProgressState, progressed } from '../progress.js';
import { openForesight } from './foresight.js';
import {
  DistanceEntry,
  goalIn,
  openDistance,
  sameGoal,
  secondsOf,
  stateIn,
  whereEntries,
} from './goal-inputs.js';

export const ProgressEntry = z.lazy(() =>
  z.strictObject({
    kind: z.literal('progress'),
    ...whereEntries,
    distance: DistanceEntry.default({ by: 'network', model: '.', score: 'distance' }),
    reached_steps: z.number().min(0),
    reached_for: z.number().int().min(1).default(1),
    stall_after: z.number().int().min(1),
    gain_steps: z.number().min(0).default(1),
    /** Draws what the agent's high level has in mind: states that were recorded, and how many subgoals ahead. */
    foresee: z
      .strictObject({
        model: z.string().default('.'),
        states: z.string(),
        hops: z.number().int().min(1).max(64).default(8),
      })
      .optional(),
    /** What becomes of the robot: it is told of, or held until a person or a new goal. */
    on_reached: z.enum(['say', 'hold']).default('say'),
    on_stalled: z.enum(['say', 'hold']).default('say'),
  }),
);
export type ProgressEntry = z.infer<typeof ProgressEntry>;

/** What is said under the part's name. */
export interface ProgressSaid {
  readonly state: ProgressState;
  readonly steps_left: number;
  readonly seconds_left?: number;
  /** The agent's next subgoals as recorded states, nearest first. */
  readonly ahead?: readonly (readonly number[])[];
}

interface Kept {
  readonly goal: Float32Array;
  readonly progress: Progress;
}

export async function openProgress(name: string, entry: ProgressEntry, host: PartHost): Promise<Part> {
  const distance = await openDistance(entry.distance, host, name);
  const foresight = entry.foresee && (await openForesight(entry.foresee, entry, host, name));
  return {
    kind: 'shaper',
    part: {
      async shape(question, moment, carried): Promise<Shaped> {
        const state = stateIn(moment, entry, name);
        const goal = goalIn(moment, entry, state);
        if (goal === undefined) return { question };
        const [steps] = await distance([state], [goal]);
        const kept = carried as Kept | undefined;
        // A new goal is a new beginning.
        const before = sameGoal(kept?.goal, goal, entry.use) ? kept!.progress : undefined;
        const progress = progressed(before, steps!, entry);
        const seconds_left = secondsOf(steps!, host);
        const said: ProgressSaid = {
          state: progress.state,
          steps_left: steps!,
          ...(seconds_left === undefined ? {} : { seconds_left }),
          ...(foresight === undefined
            ? {}
            : { ahead: (await foresight(state, goal)).map((row) => Array.from(row)) }),
        };
        const holds =
          (progress.state === 'reached' && entry.on_reached === 'hold') ||
          (progress.state === 'stalled' && entry.on_stalled === 'hold');
        const why =
          progress.state === 'reached'
            ? 'the goal is reached'
            : `no progress towards the goal: ${progress.since} inferences without a gain, ${progress.least.toPrecision(3)} steps away at best`;
        return {
          question,
          carried: { goal, progress } satisfies Kept,
          said,
          ...(holds ? { hold: why } : {}),
        };
      },
    },
  };
}
