// `tendon imagine`: what a world model expects of a recorded chunk, from the observation that the chunk answered.

import { writeFileSync } from 'node:fs';
import { imaginedHtml, imaginedTable } from '../eval/imagined-report.js';
import { addon } from '../native/index.js';
import { Imagination } from '../policies/index.js';
import { answeredChunk } from '../record/index.js';
import { NS_PER_S, TendonError } from '../types/index.js';
import type { Command } from './command.js';
import { decimal } from './numbers.js';

export const imagine: Command = {
  summary: 'roll a recorded chunk through a world model: predicted reward, value, uncertainty',
  usage: 'tendon imagine FILE.mcap --model models/arm-world [--chunk 0 | --at 2.5] [--html FILE]',
  examples: ['tendon imagine session.mcap --model models/arm-world --at 2.5'],
  takes: { least: 1, most: 1, what: 'one recording, such as session.mcap' },
  options: {
    model: { type: 'string', help: 'folder of a world model: tdmpc, tdmpc2, ensemble, rssm, scalezero' },
    chunk: { type: 'string', default: '0', help: 'which of the recording’s chunks, from 0' },
    at: { type: 'string', help: 'the first chunk answered so many seconds into it; instead of --chunk' },
    rows: { type: 'string', help: 'rows of the chunk to imagine; default: all' },
    html: { type: 'string', help: 'write a report with plots to this file' },
    threads: { type: 'string', default: '1', help: 'threads of the native core' },
  },
  async run(values, { positionals, text, integer, say }) {
    const [file = ''] = positionals;
    const dir = text('model');
    const at_s = values.at === undefined ? 0 : decimal('--at', text('at'), 0, 1e9);
    const which = values.at === undefined ? { number: integer('chunk', 0, 1e9) } : { at_s };
    const { chunk, observation, goal, number, ...recorded } = await answeredChunk(file, which);
    const rows = Math.min(
      chunk.horizon,
      values.rows === undefined ? chunk.horizon : integer('rows', 1, 1024),
    );
    const pool = new (addon().Pool)({ threads: integer('threads', 1, 256) });
    const model = await Imagination.open(dir, rows, pool);
    const { rate_hz, action_dim, family } = model.spec;
    if (chunk.action_dim !== action_dim)
      throw new TendonError(
        'config_invalid',
        `${dir} takes actions of ${action_dim} numbers, the recorded chunk has ${chunk.action_dim}; name a model of the same robot`,
        { expected: action_dim, got: chunk.action_dim },
      );
    const period_s = chunk.period_ns / NS_PER_S;
    if (rate_hz !== undefined && Math.abs(period_s * rate_hz - 1) > 0.01)
      throw new TendonError(
        'config_invalid',
        `${dir} steps at ${rate_hz} Hz (fps of its config.json), the recorded chunk has rows every ${(1e3 * period_s).toFixed(1)} ms; its rewards would be of other moments`,
        { expected: rate_hz, period_s },
      );
    const found = await model.imagine(observation, chunk.actions.subarray(0, rows * action_dim), goal);
    const title = `chunk ${number}, ${recorded.at_s.toFixed(2)} s into ${file}`;
    const note = `${rows} × ${action_dim} actions of ${recorded.header.policy.dir}, imagined by ${dir} (${family})`;
    const report = { ...found, title, note, period_s };
    say(`  ${title}: ${note}\n\n${imaginedTable(report)}\n`);
    say(
      `  return over the rows, discounted: ${found.return.toFixed(4)}\n  uncertainty: ${found.uncertainty === undefined ? 'this model says nothing of it' : found.unsure_of}`,
    );
    if (found.cut > 0)
      say(`  ${found.cut} of ${rows * action_dim} numbers lie beyond what the model has learnt and were cut`);
    if (values.html !== undefined) writeFileSync(text('html'), imaginedHtml(report));
    return 0;
  },
};
