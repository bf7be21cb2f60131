// Scorers: from what is seen and what is drawn to one number of each candidate, higher is better. A form is a row of FORMS;
// the mathematics is in the files above, the networks are opened by the host.

import * as z from 'zod';
import type { Part, PartHost, Scorer } from '../ports.js';
import { chunkForms } from './chunk-scorers.js';
import { dataForms } from './data-scorers.js';
import { InputsEntry, RowsEntry } from './inputs.js';
import { networkForms } from './network-scorers.js';
import { policyForms } from './policy-scorers.js';

/** What a form needs beside its name, and what it makes of an entry. */
export interface Form {
  readonly summary: string;
  readonly needs: readonly ('model' | 'data' | 'inputs' | 'body')[];
  open(name: string, entry: ScorerEntry, host: PartHost): Promise<Scorer> | Scorer;
}

/** Every form of scorer by the name that a manifest gives it. */
export const FORMS: Readonly<Record<string, Form>> = {
  ...networkForms,
  ...dataForms,
  ...chunkForms,
  ...policyForms,
};

export const ScorerEntry = z.lazy(() =>
  z
    .strictObject({
      kind: z.literal('scorer'),
      form: z.string().default('value'),
      /** A folder or file, relative to the manifest: any family, ONNX, or a judge as its author saved it. */
      model: z.string().optional(),
      /** Safetensors with `data` (rows, width), of forms that hold what is new against what was seen. */
      data: z.string().optional(),
      inputs: InputsEntry.optional(),
      rows: RowsEntry.default('executed'),
      /** Of several critics, heads or members: which number they come to. */
      reduce: z.enum(['min', 'mean', 'lower']).default('min'),
      kappa: z.number().default(1),
      /** Which output, of a network or policy with several (a reward classifier's class, by place). */
      output: z.number().int().min(0).default(0),
      /** Asked at every so many inferences, where it looks at no chunk; between them its last score stands. */
      every: z.number().int().min(1).default(1),
      /** Of kde, its width; of knn, its neighbours. */
      sigma: z.number().positive().default(0.535),
      neighbours: z.number().int().min(1).default(5),
      ridge: z.number().positive().default(1e-4),
      /** Of coherence: weight of each further row. Of stac: the kernel's width; by the median when absent. */
      decay: z.number().positive().max(1).default(0.5),
      beta: z.number().positive().optional(),
      /** Of clearance: a ball that the tip keeps away from, metres. */
      body: z
        .strictObject({ center: z.tuple([z.number(), z.number(), z.number()]), radius: z.number().min(0) })
        .optional(),
    })
    .superRefine((entry, context) => {
      const form = Object.hasOwn(FORMS, entry.form) ? FORMS[entry.form] : undefined;
      if (form === undefined)
        context.addIssue({
          code: 'custom',
          path: ['form'],
          message: `expected one of ${Object.keys(FORMS).join(', ')}, got "${entry.form}"`,
        });
      for (const need of form?.needs ?? [])
        if (entry[need] === undefined)
          context.addIssue({
            code: 'custom',
            path: [need],
            message: `form ${entry.form} needs it: ${form!.summary}`,
          });
    }),
);
export type ScorerEntry = z.infer<typeof ScorerEntry>;

export async function openScorer(name: string, entry: ScorerEntry, host: PartHost): Promise<Part> {
  const scorer = await FORMS[entry.form]!.open(name, entry, host);
  return {
    kind: 'scorer',
    part: entry.every > 1 && !scorer.ranks ? atIntervals(scorer, entry.every) : scorer,
  };
}

interface Kept {
  readonly scores: ArrayLike<number>;
  readonly inner: unknown;
}

/** The score of the last inference in which it was asked stands until it is asked again. */
const atIntervals = (scorer: Scorer, every: number): Scorer => ({
  ...scorer,
  async score(chunks, moment, carried) {
    const kept = carried as Kept | undefined;
    if (kept !== undefined && moment.step % every !== 0) return { scores: kept.scores, carried: kept };
    const judged = await scorer.score(chunks, moment, kept?.inner);
    return {
      scores: judged.scores,
      carried: { scores: judged.scores, inner: judged.carried } satisfies Kept,
    };
  },
});
