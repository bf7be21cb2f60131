// Opens the parts of a manifest, by kind. Guardians need the scorer that they ask, so scorers come first.

import { TendonError } from '../../types/index.js';
import type { Manifest, PartEntry } from '../manifest.js';
import type { Part, PartHost } from '../ports.js';
import { openCondition } from './condition.js';
import { openDenoise } from './denoise.js';
import { openGoal } from './goal.js';
import { openGuardian } from './guardian.js';
import { openMemory } from './memory.js';
import { openMonitor } from './monitor.js';
import { openNoise } from './noise.js';
import { openProgress } from './progress.js';
import { openResidual } from './residual.js';
import { openRoute } from './route.js';
import { openScorer } from './scorer.js';
import { openSubgoal } from './subgoal.js';

export { type ConditionEntry, clamp } from './condition.js';
export { executed } from './inputs.js';
export type { MonitorEntry } from './monitor.js';
export type { ProgressSaid } from './progress.js';
export type { RouteSaid } from './route.js';
export { FORMS } from './scorer.js';
export { type SelectEntry, select } from './selector.js';
export type { SubgoalSaid } from './subgoal.js';

/** Parts by name, in the manifest's order. Throws what the first that cannot be opened says. */
export async function openParts({ parts }: Manifest, host: PartHost): Promise<ReadonlyMap<string, Part>> {
  const scorers = new Map<string, Part>();
  for (const [name, entry] of Object.entries(parts))
    if (entry.kind === 'scorer') scorers.set(name, await openScorer(name, entry, host));
  const open = new Map<string, Part>();
  for (const [name, entry] of Object.entries(parts))
    open.set(name, scorers.get(name) ?? (await openOther(name, entry, host, scorers)));
  return open;
}

function openOther(
  name: string,
  entry: PartEntry,
  host: PartHost,
  scorers: ReadonlyMap<string, Part>,
): Promise<Part> | Part {
  switch (entry.kind) {
    case 'condition':
      return openCondition(name, entry, host);
    case 'noise':
      return openNoise(name, entry, host);
    case 'memory':
      return openMemory(name, entry, host);
    case 'residual':
      return openResidual(name, entry, host);
    case 'goal':
      return openGoal(name, entry, host);
    case 'subgoal':
      return openSubgoal(name, entry, host);
    case 'route':
      return openRoute(name, entry, host);
    case 'progress':
      return openProgress(name, entry, host);
    case 'monitor':
      return openMonitor(name, entry, host);
    case 'term':
    case 'particles':
    case 'guardian': {
      const scorer = scorers.get(entry.score);
      if (scorer?.kind !== 'scorer') break;
      if (entry.kind === 'guardian') return openGuardian(name, entry, host, scorer.part);
      return openDenoise(name, entry, host, scorer.part);
    }
  }
  throw new TendonError('internal', `parts.${name}: no such kind`);
}
