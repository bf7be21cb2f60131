// What `tendon run` says while it runs: sentences for a person, lines of JSON for a machine, or nothing. Written beside
// the event loop, so that a terminal or pipe that is slow never holds up the control loop.

import { type DestinationStream, destination, pino, stdTimeFunctions } from 'pino';
import { TendonError } from '../types/index.js';

export const LOG_FORMATS = ['pretty', 'json', 'silent'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

export interface RunLog {
  /** For whoever reads along. */
  say(line: string): void;
  /** Something that happened, in a sentence and in fields. */
  record(event: string, fields: Readonly<Record<string, unknown>>, sentence: string): void;
  /** Resolves when the last of it is written. */
  close(): Promise<void>;
}

/** Throws `config_invalid` for a format that is not one of LOG_FORMATS. */
export function openLog(format: string, say: (line: string) => void): RunLog {
  const nothing = (): void => undefined;
  const close = async (): Promise<void> => undefined;
  switch (format) {
    case 'pretty':
      return { say, record: (_, __, sentence) => say(`  ${sentence}`), close };
    case 'silent':
      return { say: nothing, record: nothing, close };
    case 'json':
      return jsonLog();
  }
  throw new TendonError('config_invalid', `--log: expected ${LOG_FORMATS.join(', ')}, got "${format}"`);
}

function jsonLog(): RunLog {
  const out = destination({ fd: 1, sync: false });
  let open = true;
  // A reader that goes away must not take the robot's controller with it.
  out.on('error', () => {
    open = false;
  });
  const log = pino({ timestamp: stdTimeFunctions.isoTime }, out as DestinationStream);
  return {
    say: (line) => open && line.trim() !== '' && log.info({ event: 'note' }, line.trim()),
    record(event, fields, sentence) {
      if (open) log[event === 'intervention' ? 'warn' : 'info']({ event, ...fields }, sentence);
    },
    close: () =>
      new Promise((resolve) => {
        if (!open) return resolve();
        out.on('error', resolve);
        out.on('close', resolve);
        out.end();
      }),
  };
}
