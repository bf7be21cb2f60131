// Parts that act while a chunk is denoised (denoise.ts): cost terms and particles.

import * as z from 'zod';
import { TendonError } from '../../types/index.js';
import { POTENTIALS } from '../particles.js';
import type { Part, PartHost, Scorer } from '../ports.js';

export const TermEntry = z.lazy(() =>
  z.strictObject({
    kind: z.literal('term'),
    /** The denoised estimate moves up this scorer's gradient, by central differences. */
    score: z.string(),
    /** control: the gain of optimal control × flow matching, 2(1 − s + ε)/(s + ε)·(1 − s)²; constant: 1. */
    gain: z.enum(['constant', 'control']).default('constant'),
    scale: z.number(),
    /** Furthest that it moves a candidate in one call, in normalised actions. */
    most: z.number().positive().default(1),
  }),
);
export type TermEntry = z.infer<typeof TermEntry>;

export const ParticlesEntry = z.lazy(() =>
  z.strictObject({
    kind: z.literal('particles'),
    score: z.string(),
    potential: z.enum(POTENTIALS).default('diff'),
    lambda: z.number(),
    /** Calls that are scored: from start to end every so many, and always the last. */
    every: z.number().int().min(1).default(1),
    start: z.number().int().min(0).default(0),
    end: z.number().int().min(0).default(1_000_000),
    /** Resampled below this share of effective particles. */
    ess: z.number().min(0).max(1).default(0.5),
    resample: z.enum(['multinomial', 'systematic']).default('systematic'),
    /** Stands for the score before the first: below every score. */
    least: z.number().default(0),
  }),
);
export type ParticlesEntry = z.infer<typeof ParticlesEntry>;

export function openDenoise(
  name: string,
  entry: TermEntry | ParticlesEntry,
  host: PartHost,
  scorer: Scorer,
): Part {
  if (host.noise === undefined)
    throw new TendonError(
      'unsupported',
      `parts.${name}: ${host.spec.family} does not denoise, so nothing can steer it on the way`,
    );
  if (!scorer.ranks)
    throw new TendonError(
      'config_invalid',
      `parts.${name}.score: ${entry.score} looks at no chunk, so it cannot say where to steer`,
    );
  return { kind: 'denoise', part: { entry, scorer } };
}
