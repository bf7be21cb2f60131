// A band as a file: what successful runs have set, and what it belongs to. JSON, written by `tendon calibrate`.

import * as z from 'zod';
import { TendonError } from '../types/index.js';

/** A file with the bound of a monitor for each inference of an episode, written by a calibration. */
export const BandSchema = z.lazy(() =>
  z.strictObject({
    format: z.literal('tendon-band-1'),
    /** Upper bound of each inference of an episode; beyond them the last holds. */
    upper: z.array(z.number()).min(1).max(1_000_000),
    alpha: z.number().gt(0).lt(1),
    /** Successful runs that set its course, and those that set its width. */
    train: z.number().int().min(0),
    calibrate: z.number().int().min(1),
    modulation: z.string(),
    score: z.string(),
    accumulate: z.string(),
    /** Of the policy's weights. */
    policy: z.string(),
  }),
);
export type BandFile = z.infer<typeof BandSchema>;

/** Checks a band that was read from `where`. Throws `file_corrupt` with the wrong field. */
export function readBand(json: unknown, where: string): BandFile & { readonly upper: number[] } {
  const result = BandSchema.safeParse(json);
  if (result.success) return result.data;
  throw new TendonError(
    'file_corrupt',
    `${where} is no band of \`tendon calibrate\`: ${z.prettifyError(result.error)}`,
    {
      path: where,
    },
  );
}
