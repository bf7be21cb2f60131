#!/usr/bin/env node
// `tendon`: one file per command; this one reads argv, prints help, and turns errors into sentences and exit codes.

import { parseArgs } from 'node:util';
import { ERROR_CODES, TendonError } from '../types/index.js';
import type { Command, Context } from './command.js';

/** Loaded when asked for, so that help is instant. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  start: async () => (await import('./start.js')).start,
  run: async () => (await import('./run.js')).run,
  serve: async () => (await import('./serve.js')).serve,
  eval: async () => (await import('./eval.js')).evaluate,
  replay: async () => (await import('./replay.js')).replayCommand,
  imagine: async () => (await import('./imagine.js')).imagine,
  sessions: async () => (await import('./sessions.js')).sessions,
  export: async () => (await import('./export.js')).exportCommand,
  check: async () => (await import('./check.js')).check,
  inspect: async () => (await import('./inspect.js')).inspect,
  import: async () => (await import('./import.js')).importCheckpoint,
  bench: async () => (await import('./bench/index.js')).bench,
};

async function main(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    console.log(await overview());
    return name === undefined ? 2 : 0;
  }
  const load = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (load === undefined)
    throw new TendonError(
      'config_invalid',
      `there is no command "${name}"; there are ${Object.keys(COMMANDS).join(', ')}. \`tendon --help\` says more.`,
    );
  const command = await load();
  if (rest.includes('--help') || rest.includes('-h')) {
    console.log(help(command));
    return 0;
  }
  return runCommand(command, rest);
}

function runCommand(command: Command, args: string[]): Promise<number> {
  const options = Object.fromEntries(
    Object.entries(command.options).map(([key, o]) => [
      key,
      { type: o.type, ...(o.default === undefined ? {} : { default: o.default }) },
    ]),
  );
  let parsed: ReturnType<typeof parseArgs>;
  try {
    parsed = parseArgs({ args, options, allowPositionals: true, strict: true });
  } catch (cause) {
    throw new TendonError('config_invalid', `${(cause as Error).message}\n\n${help(command)}`, {}, { cause });
  }
  const values = parsed.values as Record<string, string | boolean | undefined>;
  const text = (key: string): string => {
    const value = values[key];
    if (typeof value !== 'string' || value === '')
      throw new TendonError('config_invalid', `--${key} is missing: ${command.options[key]?.help}`);
    return value;
  };
  const context: Context = {
    text,
    integer(key, low, high) {
      const value = Number(text(key));
      if (!Number.isInteger(value) || value < low || value > high)
        throw new TendonError(
          'config_invalid',
          `--${key}: expected a whole number from ${low} to ${high}, got "${values[key]}"`,
        );
      return value;
    },
    say: (line) => console.log(line),
    stopped: new Promise((resolve) => {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
    }),
    positionals: parsed.positionals,
  };
  return command.run(values, context);
}

function help(command: Command): string {
  const lines = Object.entries(command.options).map(([key, o]) => {
    const fallback = o.default === undefined || o.default === false ? '' : ` (default ${o.default})`;
    return `  --${key.padEnd(12)} ${o.help}${fallback}`;
  });
  return `${command.summary}\n\n  ${command.usage}\n\n${lines.join('\n')}`;
}

async function overview(): Promise<string> {
  const lines = await Promise.all(
    Object.entries(COMMANDS).map(async ([name, load]) => `  ${name.padEnd(9)} ${(await load()).summary}`),
  );
  return `tendon: robot policies from checkpoint to robot, without Python

${lines.join('\n')}

  tendon COMMAND --help   options of one command

Try: tendon start                      a simulated arm and a page to watch it
     tendon eval --task arm            how often it succeeds
     tendon check models/arm           whether a checkpoint loads, runs, and how fast
     tendon inspect models/arm         what the compiler made of the network`;
}

// A reader that has heard enough (`| head`) must not end what drives a robot.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'EPIPE') throw cause;
  });

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (caught: unknown) => {
    if (caught instanceof TendonError) {
      console.error(`tendon: ${caught.message}\n  [${caught.code}: ${ERROR_CODES[caught.code]}]`);
      process.exitCode = 2;
    } else {
      console.error('tendon: a bug in Tendon:', caught);
      process.exitCode = 70;
    }
    // Sockets and processes of a half-made session must not keep a failed command alive.
    setTimeout(() => process.exit(), 3000).unref();
  },
);
