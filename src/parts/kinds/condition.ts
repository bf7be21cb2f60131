// Conditions: named numbers that a person, a topic or a program sets while the policy runs (speed, force, aggressiveness,
// advantage). Clamped to what was trained, limited in how fast they move, recorded with every question.

import * as z from 'zod';
import { TendonError } from '../../types/index.js';
import type { Moment, Part, PartHost, Question, Shaped, Shaper } from '../ports.js';

/** A condition in a manifest: a number that a person or program sets while the policy runs. */
export const ConditionEntry = z.lazy(() =>
  z
    .strictObject({
      kind: z.literal('condition'),
      /**
       * What it is given to: an observation key (`observation.speed`, or one entry of it: `observation.state[3]`), `task` (a
       * text with {value}), `guidance` (λ of classifier-free guidance), or `tempo` (how fast chunks are played, 1 as trained).
       */
      feeds: z
        .string()
        .regex(
          /^[\w.]+(\[\d+\])?$/,
          'an observation key, such as observation.speed or observation.state[3]; or task, guidance, tempo',
        ),
      unit: z.string().max(16).default(''),
      range: z.tuple([z.number(), z.number()]),
      default: z.number(),
      /** Largest change from one inference to the next; any when absent. */
      most_change: z.number().positive().optional(),
      /** To ±1 over the range before it is fed, as a network with FiLM was trained. */
      scaled: z.boolean().default(false),
      /** Of task: the text, in which {value} stands for the number. */
      text: z.string().max(400).optional(),
    })
    .refine(({ range: [low, high], default: d }) => low < high && d >= low && d <= high, {
      error: 'expected range [low, high] with low < high, and a default within it',
    })
    .refine(({ feeds, text }) => (feeds === 'task') === (text !== undefined), {
      error: 'text belongs to a condition that feeds task, and is needed there',
    }),
);
export type ConditionEntry = z.infer<typeof ConditionEntry>;

export function openCondition(name: string, entry: ConditionEntry, host: PartHost): Part {
  const feed = feedOf(name, entry, host);
  const part: Shaper = {
    shape(question: Question, moment: Moment, carried: unknown): Shaped {
      const wanted = clamp(moment.conditions[name] ?? entry.default, entry.range);
      const last = (carried as number | undefined) ?? wanted;
      const most = entry.most_change ?? Number.POSITIVE_INFINITY;
      const value = Math.min(Math.max(wanted, last - most), last + most);
      const [low, high] = entry.range;
      const given = entry.scaled ? (2 * (value - low)) / (high - low) - 1 : value;
      return { question: feed(question, given, moment), carried: value, said: value };
    },
  };
  return { kind: 'shaper', part };
}

/** `value`, brought into [low, high]. */
export const clamp = (value: number, [low, high]: readonly [number, number]): number =>
  Math.min(Math.max(value, low), high);

type Feed = (question: Question, value: number, moment: Moment) => Question;

function feedOf(name: string, { feeds, text, range }: ConditionEntry, { spec }: PartHost): Feed {
  if (feeds === 'guidance') return (question, value) => ({ ...question, guidance_scale: value });
  if (feeds === 'tempo') {
    if (range[0] <= 0)
      throw new TendonError('config_invalid', `parts.${name}.range: a tempo is above 0, got ${range[0]}`, {
        range,
      });
    return (question, value) => ({ ...question, tempo: value });
  }
  if (feeds === 'task')
    return (question, value) => ({ ...question, task: text!.replaceAll('{value}', String(value)) });
  const [, key, at] = /^([\w.]+?)(?:\[(\d+)\])?$/.exec(feeds)!;
  const length = spec.observation_dims[key!];
  const index = Number(at ?? 0);
  if (length === undefined || index >= length || (at === undefined && length !== 1))
    throw new TendonError(
      'config_invalid',
      `parts.${name}.feeds: ${feeds} is no single number of this policy's observations (${Object.entries(
        spec.observation_dims,
      )
        .map(([k, n]) => `${k}: ${n}`)
        .join(', ')}); name one entry, such as observation.state[0]`,
      { feeds },
    );
  return (question, value, { newest }) => {
    const before = question.values[key!] ?? newest.values[key!] ?? new Float32Array(length);
    const values = before.slice();
    values[index] = value;
    return { ...question, values: { ...question.values, [key!]: values } };
  };
}
