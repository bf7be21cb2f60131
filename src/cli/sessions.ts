// `tendon sessions`: what was recorded, one line each.

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Recording, summarise } from '../record/index.js';
import { asTendonError } from '../types/index.js';
import type { Command } from './command.js';

export const sessions: Command = {
  summary: 'list recordings: when, what, how long, successes and interventions',
  usage: 'tendon sessions [FOLDER or FILE.mcap …]',
  options: {},
  async run(_, { positionals, say }) {
    const files = (positionals.length === 0 ? ['.'] : positionals).flatMap(recordingsIn);
    if (files.length === 0) {
      say(
        '  no recordings here; `tendon start --record FILE.mcap` and `tendon run --record FILE.mcap` make one',
      );
      return 0;
    }
    const width = Math.max(...files.map(({ length }) => length));
    say(
      `  ${'file'.padEnd(width)}  started               robot         policy      seconds  episodes  taken over  interventions`,
    );
    let failed = 0;
    for (const file of files)
      try {
        const recording = await Recording.open(file);
        const { header } = recording;
        const s = await summarise(recording);
        const episodes = s.episodes === 0 ? '–' : `${s.successes}/${s.episodes}`;
        say(
          `  ${file.padEnd(width)}  ${header.started.slice(0, 19)}Z  ${header.robot.padEnd(12)}  ${header.policy.family.padEnd(10)}${s.duration_s.toFixed(1).padStart(9)}${episodes.padStart(10)}${String(s.takeovers).padStart(12)}${String(s.interventions).padStart(15)}${recording.whole ? '' : '  (cut off)'}`,
        );
      } catch (caught) {
        failed++;
        say(`  ${file.padEnd(width)}  ${asTendonError(caught, 'sessions').message}`);
      }
    return failed === 0 ? 0 : 1;
  },
};

function recordingsIn(path: string): string[] {
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) return [path];
  const names = readdirSync(path).filter((name) => name.endsWith('.mcap'));
  return names.sort().map((name) => join(path, name));
}
