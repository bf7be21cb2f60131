// What a session says while it runs: sentences for a person, lines of JSON for a machine, or nothing. Whoever reads
// slowly, or not at all, never holds up the control loop (output.ts).

import { packageWhenNeeded, TendonError } from '../types/index.js';
import { Output } from './output.js';

const pinoPackage = packageWhenNeeded<typeof import('pino')>('pino');

export const LOG_FORMATS = ['pretty', 'json', 'silent'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

/** Where a session says what happens: sentences for people, fields for programs. */
export interface RunLog {
  /** For whoever reads along. */
  say(line: string): void;
  /** Something that happened, in a sentence and in fields. */
  record(event: string, fields: Readonly<Record<string, unknown>>, sentence: string): void;
  /** Resolves when the last of it is written, or soon after when nobody reads it. */
  close(): Promise<void>;
}

export const SILENT: RunLog = { say: () => undefined, record: () => undefined, close: async () => undefined };

/** Throws `config_invalid` for a format that is not one of LOG_FORMATS. */
export function openLog(format: string, output = new Output(process.stdout)): RunLog {
  const close = async (): Promise<void> => {
    await output.flush();
    output.close();
  };
  const say = (line: string): void => output.line(line);
  switch (format) {
    case 'pretty':
      return { say, record: (_, __, sentence) => say(`  ${sentence}`), close };
    case 'silent':
      return SILENT;
    case 'json': {
      const { pino, stdTimeFunctions } = pinoPackage();
      const log = pino(
        { timestamp: stdTimeFunctions.isoTime },
        { write: (line: string) => output.line(line.trimEnd()) },
      );
      return {
        say: (line) => line.trim() !== '' && log.info({ event: 'note' }, line.trim()),
        record: (event, fields, sentence) =>
          log[event === 'intervention' ? 'warn' : 'info']({ event, ...fields }, sentence),
        close,
      };
    }
  }
  throw new TendonError('config_invalid', `--log: expected ${LOG_FORMATS.join(', ')}, got "${format}"`);
}
