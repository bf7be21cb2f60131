// `tendon sessions`: what was recorded, one line each.

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Recording, type SessionSummary, summarise } from '../record/index.js';
import { asTendonError } from '../types/index.js';
import type { Command } from './command.js';

type Found = SessionSummary & {
  readonly file: string;
  readonly started: string;
  readonly robot: string;
  readonly policy: string;
  readonly whole: boolean;
};
type Listed = Found | { readonly file: string; readonly error: string };

export const sessions: Command = {
  summary: 'list recordings: when, what, how long, successes and interventions',
  usage: 'tendon sessions [FOLDER or FILE.mcap …] [--json]',
  examples: ['tendon sessions', 'tendon sessions recordings/ --json | jq length'],
  takes: { least: 0, most: Number.POSITIVE_INFINITY, what: 'folders or recordings' },
  json: true,
  options: {},
  async run(values, { positionals, say }) {
    const files = (positionals.length === 0 ? ['.'] : positionals).flatMap(recordingsIn);
    const width = Math.max(0, ...files.map(({ length }) => length));
    const listed: Listed[] = [];
    if (values.json !== true && files.length > 0)
      say(
        `  ${'file'.padEnd(width)}  started               robot         policy      seconds  episodes  taken over  interventions`,
      );
    for (const file of files) {
      const one = await look(file);
      listed.push(one);
      if (values.json !== true) say(line(one, width));
    }
    if (values.json === true) say(JSON.stringify(listed, undefined, 1));
    else if (files.length === 0)
      say(
        '  no recordings here; `tendon start --record FILE.mcap` and `tendon run --record FILE.mcap` make one',
      );
    return listed.some((one) => 'error' in one) ? 1 : 0;
  },
};

async function look(file: string): Promise<Listed> {
  try {
    const recording = await Recording.open(file);
    const { started, robot, policy } = recording.header;
    const summary = await summarise(recording);
    return { file, started, robot, policy: policy.family, whole: recording.whole, ...summary };
  } catch (caught) {
    return { file, error: asTendonError(caught, 'sessions').message };
  }
}

function line(one: Listed, width: number): string {
  const file = one.file.padEnd(width);
  if ('error' in one) return `  ${file}  ${one.error}`;
  const episodes = one.episodes === 0 ? '–' : `${one.successes}/${one.episodes}`;
  return `  ${file}  ${one.started.slice(0, 19)}Z  ${one.robot.padEnd(12)}  ${one.policy.padEnd(10)}${one.duration_s.toFixed(1).padStart(9)}${episodes.padStart(10)}${String(one.takeovers).padStart(12)}${String(one.interventions).padStart(15)}${one.whole ? '' : '  (cut off)'}`;
}

function recordingsIn(path: string): string[] {
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) return [path];
  const names = readdirSync(path).filter((name) => name.endsWith('.mcap'));
  return names.sort().map((name) => join(path, name));
}
