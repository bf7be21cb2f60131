// The manifest of parts beside a policy: `steering.json` in its folder, `steering` in its config.json, or a file named by
// --parts (docs/parts.md). Everything is off unless it is listed here. Unknown keys are refused, each by its name.

import * as z from 'zod';
import { TendonError } from '../types/index.js';
import { ConditionEntry } from './kinds/condition.js';
import { ParticlesEntry, TermEntry } from './kinds/denoise.js';
import { GoalEntry } from './kinds/goal.js';
import { GuardianEntry } from './kinds/guardian.js';
import { MemoryEntry } from './kinds/memory.js';
import { MonitorEntry } from './kinds/monitor.js';
import { NoiseEntry } from './kinds/noise.js';
import { ProgressEntry } from './kinds/progress.js';
import { ResidualEntry } from './kinds/residual.js';
import { RouteEntry } from './kinds/route.js';
import { ScorerEntry } from './kinds/scorer.js';
import { SelectEntry } from './kinds/selector.js';
import { SubgoalEntry } from './kinds/subgoal.js';

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
    TermEntry,
    ParticlesEntry,
    GoalEntry,
    SubgoalEntry,
    RouteEntry,
    ProgressEntry,
  ]),
);
export type PartEntry = z.infer<typeof PartEntry>;

/** `steering.json`: the parts beside a policy, how candidates are chosen, terms of the loop (docs/parts.md). */
export const ManifestSchema = z.lazy(() =>
  z.strictObject({
    parts: z.record(PartName, PartEntry).default({}),
    /** Drawn for each inference; fewer where they would take too long. */
    candidates: z.number().int().min(1).max(1024).optional(),
    select: SelectEntry.optional(),
    /** The same as parts of those kinds, by names of their own: particles, term0, term1 … */
    denoise: z
      .strictObject({
        terms: z
          .array(TermEntry.unwrap().omit({ kind: true }))
          .max(16)
          .default([]),
        particles: ParticlesEntry.unwrap().omit({ kind: true }).optional(),
      })
      .optional(),
  }),
);
export type Manifest = Omit<z.infer<typeof ManifestSchema>, 'denoise'>;

/** Checks a manifest that was read from `where`; every fault is a sentence with the place of the wrong field. */
export function parseManifest(given: unknown, where: string): Manifest {
  const result = ManifestSchema.safeParse(given);
  if (!result.success)
    throw new TendonError('config_invalid', `${where}: ${z.prettifyError(result.error)}`, {
      issues: result.error.issues,
    });
  const manifest = named(result.data);
  checkNames(manifest, where);
  return manifest;
}

/** What stands under `denoise` as parts, so that all are switched, armed and counted in one way. */
function named({ denoise, ...manifest }: z.infer<typeof ManifestSchema>): Manifest {
  const { terms = [], particles } = denoise ?? {};
  const parts: Record<string, PartEntry> = { ...manifest.parts };
  terms.forEach((term, i) => {
    parts[`term${i}`] = { kind: 'term', ...term };
  });
  if (particles !== undefined) parts.particles = { kind: 'particles', ...particles };
  return { ...manifest, parts };
}

/** What a part refers to must be listed, and of a kind that can answer. */
function checkNames({ parts, select }: Manifest, where: string): void {
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
    if ('score' in entry) for (const score of [entry.score].flat()) scorer(score, `parts.${name}.score`);
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
}
