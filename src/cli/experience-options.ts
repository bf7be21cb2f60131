// Where runs come from, for commands that learn from them: recordings, or seeds of a simulated task.

import { join } from 'node:path';
import { simulatedRuns } from '../eval/experience.js';
import { seedsOf } from '../eval/seeds.js';
import { recordedRuns } from '../record/index.js';
import { PACKAGE_ROOT } from '../session/sim-session.js';
import { type Experience, TendonError } from '../types/index.js';
import { type Context, loadOptions, type OptionSpec, partsOf, type Values } from './command.js';
import { counter } from './progress.js';

export const EXPERIENCE_OPTIONS = {
  task: {
    type: 'string',
    help: 'simulated runs instead of recordings: arm, block-push, pusht; with --seeds',
  },
  seeds: { type: 'string', help: 'A..B, both included, of --task' },
  policy: { type: 'string', help: 'checkpoint folder; default models/TASK' },
} as const satisfies Record<string, OptionSpec>;

export function policyOf(values: Values): string {
  if (typeof values.policy === 'string') return values.policy;
  if (typeof values.task === 'string') return join(PACKAGE_ROOT, 'models', values.task);
  throw new TendonError('config_invalid', '--policy is missing: the checkpoint folder that the runs are of');
}

/** All runs; `seeds` and `disturb` are for a second set. */
export async function runsOf(
  values: Values,
  { positionals }: Context,
  other: { readonly seeds?: string; readonly disturb?: string } = {},
): Promise<Experience[]> {
  const { task } = values;
  const seeds = other.seeds ?? values.seeds;
  if (typeof task === 'string' && typeof seeds === 'string') {
    const list = seedsOf(seeds);
    const progress = counter(list.length);
    const runs: Experience[] = [];
    for await (const run of simulatedRuns({
      policy: policyOf(values),
      task,
      seeds: list,
      load: loadOptions(values),
      parts: partsOf(values),
      disturb: other.disturb,
    })) {
      runs.push(run);
      progress.at(runs.length, `${runs.length}/${list.length} runs`);
    }
    progress.end();
    return runs;
  }
  if (positionals.length === 0)
    throw new TendonError('config_invalid', 'expected recordings, or --task with --seeds A..B');
  const runs: Experience[] = [];
  for await (const run of recordedRuns(positionals)) runs.push(run);
  return runs;
}
