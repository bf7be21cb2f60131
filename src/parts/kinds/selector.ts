// The selector: from the scores of N candidates to an order, best first. The mathematics is in select.ts.

import * as z from 'zod';
import type { Row } from '../numbers.js';
import { lexicographic, ranked, softmaxDraw, standardised } from '../select.js';

const Names = z.lazy(() => z.union([z.string(), z.array(z.string()).min(1).max(16)]));

/** How one of several candidates is chosen, in a manifest. */
export const SelectEntry = z.lazy(() =>
  z.strictObject({
    /** A scorer, or several. */
    by: Names,
    /** lexicographic: the best by the first of `by`, those within `tolerance` of it ranked by the next. sum: of z-scores. */
    rule: z.enum(['argmax', 'softmax', 'lexicographic', 'sum']).default('argmax'),
    temperature: z.number().positive().default(1),
    tolerance: z.number().min(0).default(0),
    /** Of sum, one for each scorer; 1 when absent. */
    weights: z.array(z.number()).max(16).optional(),
  }),
);
export type SelectEntry = z.infer<typeof SelectEntry>;

/**
 * Candidates, best first, by the scores that could be had; undefined where there are none, and candidate 0 is played. `u` is
 * uniform in [0, 1).
 */
export function select(
  entry: SelectEntry,
  scores: Readonly<Record<string, Row>>,
  n: number,
  u: number,
): number[] | undefined {
  const lists = [entry.by].flat().map((name) => scores[name]);
  const known = lists.filter((list): list is Row => list?.length === n);
  if (known.length === 0) return undefined;
  const first = known[0]!;
  switch (entry.rule) {
    case 'argmax':
      return ranked(first);
    case 'softmax':
      return before(softmaxDraw(first, entry.temperature, u), ranked(first));
    case 'lexicographic':
      return before(lexicographic(known, entry.tolerance), ranked(first));
    case 'sum': {
      const sum = new Float64Array(n);
      lists.forEach((list, k) => {
        if (list?.length !== n) return;
        const weight = entry.weights?.[k] ?? 1;
        standardised(list).forEach((v, i) => {
          sum[i]! += weight * v;
        });
      });
      return ranked(sum);
    }
  }
}

const before = (chosen: number, order: readonly number[]): number[] => [
  chosen,
  ...order.filter((i) => i !== chosen),
];
