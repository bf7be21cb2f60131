// Every command by its name, loaded when asked for, so that help is instant.

import { TendonError } from '../types/index.js';
import { nearest } from './arguments.js';
import type { Command } from './command.js';

export const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  start: async () => (await import('./start.js')).start,
  run: async () => (await import('./run.js')).run,
  serve: async () => (await import('./serve.js')).serve,
  eval: async () => (await import('./eval.js')).evaluate,
  calibrate: async () => (await import('./calibrate.js')).calibrateCommand,
  remember: async () => (await import('./remember.js')).rememberCommand,
  replay: async () => (await import('./replay.js')).replayCommand,
  imagine: async () => (await import('./imagine.js')).imagine,
  sessions: async () => (await import('./sessions.js')).sessions,
  export: async () => (await import('./export.js')).exportCommand,
  check: async () => (await import('./check.js')).check,
  inspect: async () => (await import('./inspect.js')).inspect,
  doctor: async () => (await import('./doctor.js')).doctor,
  import: async () => (await import('./import.js')).importCheckpoint,
  bench: async () => (await import('./bench.js')).bench,
};

/** Throws `config_invalid` with the name that was probably meant. */
export function commandOf(name: string): Promise<Command> {
  const load = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (load !== undefined) return load();
  const near = nearest(name, Object.keys(COMMANDS));
  throw new TendonError(
    'config_invalid',
    `there is no command "${name}"${near === undefined ? '.' : `; did you mean ${near}?`} There are ${Object.keys(COMMANDS).join(', ')}. \`tendon --help\` says more.`,
  );
}
