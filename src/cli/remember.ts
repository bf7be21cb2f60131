// `tendon remember`: from successful runs to a memory that parts recall from, and data that scorers hold what is new against.

import { openFamily } from '../policies/index.js';
import { remembered } from '../steering/index.js';
import { TendonError } from '../types/index.js';
import { writeSafetensors } from '../weights/index.js';
import { type Command, PARTS_OPTION, POLICY_OPTIONS } from './command.js';
import { EXPERIENCE_OPTIONS, policyOf, runsOf } from './experience-options.js';

export const rememberCommand: Command = {
  summary: 'keep what successful runs saw and did, for memories and scorers (docs/parts.md)',
  usage:
    'tendon remember RECORDINGS… --policy DIR --out memory.safetensors | --task arm --seeds 0..99 --out FILE',
  examples: ['tendon remember --task arm --seeds 0..49 --out known.safetensors'],
  takes: { least: 0, most: 10_000, what: 'recordings, such as session.mcap' },
  options: {
    out: { type: 'string', help: 'file to write' },
    most: { type: 'string', default: '20000', help: 'entries that are kept, the newest' },
    inputs: {
      type: 'string',
      default: 'observation',
      help: 'what scorers hold against: observation, or observation,chunk',
    },
    ...EXPERIENCE_OPTIONS,
    ...PARTS_OPTION,
    ...POLICY_OPTIONS,
  },
  async run(values, context) {
    const { text, integer, say } = context;
    const out = text('out');
    const inputs = text('inputs');
    if (inputs !== 'observation' && inputs !== 'observation,chunk')
      throw new TendonError(
        'config_invalid',
        `--inputs: expected observation or observation,chunk, got "${inputs}"`,
      );
    const { spec } = openFamily(policyOf(values));
    const runs = await runsOf(values, context);
    const tensors = remembered(runs, { spec, most: integer('most', 1, 1_000_000), inputs });
    writeSafetensors(out, tensors);
    say(
      `  ${tensors.keys!.shape[0]} moments of ${runs.filter((run) => run.success).length} successful runs of ${runs.length} → ${out}`,
    );
    return 0;
  },
};
