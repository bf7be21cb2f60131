// Noise sources: a small policy whose action is the noise that a frozen denoiser begins from (DSRL, GoRL, GR-RL), or noise that
// is the same at every inference (a fixed seed), or one row for all (tied). The sampler should add none of its own on the way.

import * as z from 'zod';
import { TendonError } from '../../types/index.js';
import { type Moment, NO_CHUNKS, type Part, type PartHost, type Shaper } from '../ports.js';
import { Inputs, InputsEntry } from './inputs.js';

export const NoiseEntry = z.lazy(() =>
  z
    .strictObject({
      kind: z.literal('noise'),
      /** Folder of a policy whose action is noise: rows × columns numbers. */
      policy: z.string().optional(),
      /** Or an actor as its author saved it (stable-baselines3: DSRL), or ONNX, of these inputs; ±1 is ±magnitude. */
      model: z.string().optional(),
      inputs: InputsEntry.default(['observation']),
      /** Or noise by this seed, the same at every inference. */
      fixed_seed: z.number().int().min(0).optional(),
      rows: z.number().int().min(1).default(1),
      /** The rows are repeated to the length of the chunk; else the rest is drawn as usual. */
      repeat: z.boolean().default(true),
      /** What is given is clamped to ±this. */
      magnitude: z.number().positive().optional(),
      /** How many candidates begin from it; the others are drawn as usual. */
      candidates: z.number().int().min(1).default(1),
    })
    .refine(
      ({ policy, model, fixed_seed }) =>
        [policy, model, fixed_seed].filter((v) => v !== undefined).length === 1,
      {
        error: 'expected one of policy, model and fixed_seed',
      },
    ),
);
export type NoiseEntry = z.infer<typeof NoiseEntry>;

export async function openNoise(name: string, entry: NoiseEntry, host: PartHost): Promise<Part> {
  if (host.noise === undefined)
    throw new TendonError('unsupported', `parts.${name}: ${host.spec.family} begins from no noise`);
  const [rows, columns] = host.noise;
  if (entry.rows > rows)
    throw new TendonError(
      'config_invalid',
      `parts.${name}.rows: a chunk of this policy begins as ${rows} rows of noise, got ${entry.rows}`,
    );
  const { magnitude = Number.POSITIVE_INFINITY } = entry;
  const spread = (given: ArrayLike<number>, drawn: () => Float32Array): Float32Array => {
    const count = entry.rows * columns;
    if (given.length < count)
      throw new TendonError(
        'input_invalid',
        `parts.${name}: expected ${entry.rows} × ${columns} numbers of noise, got ${given.length}`,
      );
    const noise = entry.repeat || entry.rows === rows ? new Float32Array(rows * columns) : drawn();
    for (let i = 0; i < (entry.repeat ? noise.length : count); i++)
      noise[i] = Math.min(Math.max(given[i % count]!, -magnitude), magnitude);
    return noise;
  };
  const judged = entry.model === undefined ? undefined : await openActor(name, entry, host);
  const actor = entry.policy === undefined ? undefined : await host.policy(entry.policy);
  const fixed = entry.fixed_seed === undefined ? undefined : host.normal(entry.fixed_seed, rows * columns);
  const part: Shaper = {
    async shape(question, moment, carried) {
      const asked = await actor?.ask(moment, carried);
      const given = asked?.chunk.actions ?? (await judged?.(moment)) ?? fixed!;
      const drawn = (): Float32Array =>
        host.normal(Math.floor(moment.uniforms(1)[0]! * 2 ** 31), rows * columns);
      const first = Array.from({ length: entry.candidates }, () => spread(given, drawn));
      return {
        question: { ...question, noise: [...(question.noise ?? []), ...first] },
        carried: asked?.carried,
      };
    },
  };
  return { kind: 'shaper', part };
}

/** An actor whose answer is in ±1: noise is that times the magnitude. */
async function openActor(
  name: string,
  { model, inputs, magnitude = 1 }: NoiseEntry,
  host: PartHost,
): Promise<(moment: Moment) => Promise<Float32Array>> {
  const gathered = new Inputs(inputs, 'all', host.spec, `parts.${name}`);
  if (gathered.ranks)
    throw new TendonError(
      'config_invalid',
      `parts.${name}.inputs: noise comes before any chunk; expected what is seen`,
    );
  const network = await host.network(model!, 'noise');
  const [input] = Object.keys(network.inputs);
  return async (moment) => {
    const { values } = gathered.gather(NO_CHUNKS, moment);
    const answer = await network.run({ [input!]: values }, 1);
    return answer.map((v) => v * magnitude);
  };
}
