// The manifest of parts beside a policy: `steering.json` in its folder, `steering` in its config.json, or a file named by
// --parts (docs/parts.md). Everything is off unless it is listed here. Unknown keys are refused, each by its name.

import * as z from 'zod';
import { TendonError } from '../types/index.js';
import { ConditionEntry } from './kinds/condition.js';
import { GuardianEntry } from './kinds/guardian.js';
import { MemoryEntry } from './kinds/memory.js';
import { MonitorEntry } from './kinds/monitor.js';
import { NoiseEntry } from './kinds/noise.js';
import { ResidualEntry } from './kinds/residual.js';
import { ScorerEntry } from './kinds/scorer.js';
import { SelectEntry } from './kinds/selector.js';
import { POTENTIALS } from './particles.js';

/** As names appear on the page, in topics and in `feature:` and `condition:` inputs. */
export const PartName = z.lazy(() =>
  z.string().regex(/^[A-Za-z][\w-]{0,63}$/, 'a name: a letter, then letters, digits, _ or -'),
);

/** Kinds under `parts`: one schema each, in kinds/. */
export const PartEntry = z.lazy(() =>
  z.discriminatedUnion('kind', [
    ScorerEntry,
    GuardianEntry,
    MonitorEntry,
    MemoryEntry,
    ConditionEntry,
    NoiseEntry,
    ResidualEntry,
  ]),
);
export type PartEntry = z.infer<typeof PartEntry>;

/** A term of the denoising loop in a manifest: what is added to the estimate at each step. */
export const TermEntry = z.lazy(() =>
  z.strictObject({
    /** cost: the gradient of a scorer. guidance: classifier-free. contrast and compose: the difference to another denoiser. */
    kind: z.enum(['cost', 'guidance', 'contrast', 'compose']),
    /** Of cost: whose gradient, and where it is taken: at the noisy chunk or at its denoised estimate. */
    score: z.string().optional(),
    at: z.enum(['x', 'denoised']).default('denoised'),
    /** Of compose and contrast: the other denoiser's folder. */
    model: z.string().optional(),
    gain: z.enum(['constant', 'control']).default('constant'),
    scale: z.number(),
    /** Largest norm of the term of one candidate, in normalised actions; not bounded when absent. */
    most: z.number().positive().optional(),
  }),
);
export type TermEntry = z.infer<typeof TermEntry>;

/** Particles in a manifest: candidates resampled while they are denoised (Feynman–Kac steering). */
export const ParticlesEntry = z.lazy(() =>
  z.strictObject({
    score: z.string(),
    potential: z.enum(POTENTIALS).default('diff'),
    lambda: z.number(),
    every: z.number().int().min(1).default(1),
    start: z.number().int().min(0).default(0),
    end: z.number().int().min(0).default(1_000_000),
    ess: z.number().min(0).max(1).default(0.5),
    resample: z.enum(['multinomial', 'systematic']).default('systematic'),
    /** Stands for the score before the first; below every score. */
    least: z.number().default(0),
  }),
);
export type ParticlesEntry = z.infer<typeof ParticlesEntry>;

/** `steering.json`: the parts beside a policy, how candidates are chosen, terms of the loop (docs/parts.md). */
export const ManifestSchema = z.lazy(() =>
  z.strictObject({
    parts: z.record(PartName, PartEntry).default({}),
    /** Drawn for each inference; fewer where they would take too long. */
    candidates: z.number().int().min(1).max(1024).optional(),
    select: SelectEntry.optional(),
    denoise: z
      .strictObject({
        terms: z.array(TermEntry).max(16).default([]),
        /** Calls at each noise level, the estimate noised again between them. */
        repeats: z.number().int().min(1).max(16).default(1),
        particles: ParticlesEntry.optional(),
      })
      .optional(),
  }),
);
export type Manifest = z.infer<typeof ManifestSchema>;

/** Checks a manifest that was read from `where`; every fault is a sentence with the place of the wrong field. */
export function parseManifest(given: unknown, where: string): Manifest {
  const result = ManifestSchema.safeParse(given);
  if (!result.success)
    throw new TendonError('config_invalid', `${where}: ${z.prettifyError(result.error)}`, {
      issues: result.error.issues,
    });
  checkNames(result.data, where);
  return result.data;
}

/** What a part refers to must be listed, and of a kind that can answer. */
function checkNames({ parts, select, denoise }: Manifest, where: string): void {
  const scorer = (name: string, by: string): void => {
    const entry = Object.hasOwn(parts, name) ? parts[name] : undefined;
    if (entry?.kind === 'scorer') return;
    const scorers = Object.keys(parts).filter((n) => parts[n]!.kind === 'scorer');
    throw new TendonError(
      'config_invalid',
      `${where}: ${by}: expected the name of a scorer in parts (${scorers.join(', ') || 'there is none'}), got "${name}"`,
      { name },
    );
  };
  for (const [name, entry] of Object.entries(parts)) {
    if (entry.kind === 'guardian' || entry.kind === 'monitor')
      for (const score of [entry.score].flat()) scorer(score, `parts.${name}.score`);
    if (entry.kind === 'monitor')
      for (const armed of entry.arms)
        if (!Object.hasOwn(parts, armed))
          throw new TendonError(
            'config_invalid',
            `${where}: parts.${name}.arms: expected names of parts, got "${armed}"; there are ${Object.keys(parts).join(', ')}`,
            { name: armed },
          );
  }
  for (const name of select === undefined ? [] : [select.by].flat()) scorer(name, 'select.by');
  if (denoise?.particles !== undefined) scorer(denoise.particles.score, 'denoise.particles.score');
  for (const [i, { kind, score }] of (denoise?.terms ?? []).entries())
    if (kind === 'cost') scorer(score ?? '', `denoise.terms.${i}.score`);
}
