// Memories: what was done in situations like this one, from a file that `tendon remember` fills from recordings. The nearest
// entries compete as candidates, are given to the policy as a condition, or score candidates by their distance (memory.ts).

import * as z from 'zod';
import { TendonError } from '../../types/index.js';
import { blend, byUtility, cosine, nearest } from '../memory.js';
import { distance, type Row, rowsOf } from '../numbers.js';
import { type Moment, NO_CHUNKS, type Part, type PartHost, type Question } from '../ports.js';
import { Inputs, InputsEntry } from './inputs.js';

export const MemoryEntry = z.lazy(() =>
  z.strictObject({
    kind: z.literal('memory'),
    /** Safetensors with keys (n, width), chunks (n, horizon · action_dim) and utility (n), or values (n, width) as conditions. */
    data: z.string(),
    /** What a situation is known by; embedded by `model` first, where there is one. */
    inputs: InputsEntry.default(['observation']),
    model: z.string().optional(),
    neighbours: z.number().int().min(1).max(256).default(1),
    temperature: z.number().positive().default(1),
    /** Entries further than this say nothing. */
    most_distance: z.number().positive().optional(),
    /** candidates: each neighbour's chunk competes. blend: their mean does. An observation key: their values are given to the policy. */
    gives: z.string().default('candidates'),
    /** By similarity and utility (MemRL) instead of by distance. */
    utility: z
      .strictObject({
        least_similarity: z.number().default(0.5),
        candidates: z.number().int().min(1).default(5),
        weight: z.number().min(0).max(1).default(0.5),
        mean: z.number().default(0),
        std: z.number().positive().default(1),
      })
      .optional(),
  }),
);
export type MemoryEntry = z.infer<typeof MemoryEntry>;

export async function openMemory(name: string, entry: MemoryEntry, host: PartHost): Promise<Part> {
  const inputs = new Inputs(entry.inputs, 'all', host.spec, `parts.${name}`);
  if (inputs.ranks)
    throw new TendonError(
      'config_invalid',
      `parts.${name}.inputs: a situation is known by what is seen, not by a chunk`,
    );
  const held = heldIn(name, entry, host);
  const network = entry.model === undefined ? undefined : await host.network(entry.model, 'embedding');
  const key = async (moment: Moment): Promise<Row> => {
    const { values } = inputs.gather(NO_CHUNKS, moment);
    const [input] = Object.keys(network?.inputs ?? {});
    const found = network === undefined ? values : await network.run({ [input!]: values }, 1);
    if (found.length !== held.width)
      throw new TendonError(
        'input_invalid',
        `parts.${name}: ${entry.data} has keys of ${held.width} numbers, a situation here has ${found.length}`,
      );
    return found;
  };
  const give = giving(name, entry, host, held);
  return {
    kind: 'shaper',
    part: {
      async shape(question, moment) {
        const here = await key(moment);
        const found = recall(entry, held, here);
        return {
          question: found.length === 0 ? question : give(question, found),
          said: found.map(({ index, distance: away }) => ({ entry: index, distance: away })),
        };
      },
    },
  };
}

interface Held {
  readonly width: number;
  readonly keys: readonly Row[];
  readonly values: readonly Float32Array[];
  readonly utility: Row;
}

type Found = ReturnType<typeof nearest>;

function recall(entry: MemoryEntry, { keys, utility }: Held, here: Row): Found {
  const { neighbours, temperature, most_distance = Number.POSITIVE_INFINITY, utility: by } = entry;
  if (by === undefined)
    return nearest(keys, here, neighbours, temperature).filter(({ distance: away }) => away <= most_distance);
  const { chosen } = byUtility(
    keys.map((key) => cosine(key, here)),
    utility,
    {
      least_similarity: by.least_similarity,
      candidates: by.candidates,
      top: neighbours,
      weight_similarity: 1 - by.weight,
      weight_value: by.weight,
      similarity: { mean: by.mean, std: by.std },
    },
  );
  return chosen.map((index) => ({
    index,
    distance: distance(keys[index]!, here),
    weight: 1 / chosen.length,
  }));
}

function heldIn(name: string, { data }: MemoryEntry, host: PartHost): Held {
  const tensors = host.tensors(data);
  const { keys, utility } = tensors;
  const values = tensors.chunks ?? tensors.values;
  const n = keys?.shape[0] ?? 0;
  if (keys?.shape.length !== 2 || n === 0 || values?.shape[0] !== n)
    throw new TendonError(
      'weights_mismatch',
      `parts.${name}.data: ${data} is no memory: expected keys (n, width) and chunks or values of as many rows; \`tendon remember RECORDINGS --out ${data}\` makes one`,
    );
  return {
    width: keys.shape[1]!,
    keys: rowsOf(keys.values, keys.shape[1]!),
    values: rowsOf(values.values, values.values.length / n) as Float32Array[],
    utility: utility?.values ?? new Float32Array(n),
  };
}

function giving(
  name: string,
  { gives }: MemoryEntry,
  { spec }: PartHost,
  held: Held,
): (question: Question, found: Found) => Question {
  const width = held.values[0]!.length;
  const mean = (found: Found): Float32Array => Float32Array.from(blend(held.values, found));
  const size = spec.horizon * spec.action_dim;
  if (gives === 'candidates' || gives === 'blend') {
    if (width !== size)
      throw new TendonError(
        'weights_mismatch',
        `parts.${name}.data: chunks of ${width} numbers, this policy’s have ${spec.horizon} × ${spec.action_dim}`,
      );
    return (question, found) => ({
      ...question,
      proposals: [
        ...(question.proposals ?? []),
        ...(gives === 'blend' ? [mean(found)] : found.map(({ index }) => held.values[index]!.slice())),
      ],
    });
  }
  if (spec.observation_dims[gives] !== width)
    throw new TendonError(
      'config_invalid',
      `parts.${name}.gives: expected candidates, blend, or an observation of ${width} numbers, got ${gives}`,
    );
  return (question, found) => ({ ...question, values: { ...question.values, [gives]: mean(found) } });
}
