#!/usr/bin/env node
// `tendon`: one file per command; this one chooses it, and turns errors into sentences and exit codes.

import { createRequire } from 'node:module';
import { inspect } from 'node:util';
import { EXIT_FAULT, LastWill, type LastWords } from '../host/last-will.js';
import { Output } from '../host/output.js';
import { ERROR_CODES, TendonError } from '../types/index.js';
import { packageFile } from '../types/package.js';
import { contextOf, readArguments } from './arguments.js';
import { commandOf } from './commands.js';
import { helpOf, overview } from './help.js';
import { withFolders } from './hub-names.js';

/** Wrong use, or a file or option that is refused. */
const EXIT_REFUSED = 2;
/** EX_SOFTWARE of sysexits.h: a bug in Tendon. */
const EXIT_BUG = 70;

async function main([name, ...rest]: readonly string[]): Promise<number> {
  if (name === '--version' || name === '-V') {
    const { version } = createRequire(import.meta.url)(packageFile('package.json')) as { version: string };
    console.log(`tendon ${version}`);
    return 0;
  }
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    const [of, ...more] = rest;
    if (more.length > 0)
      throw new TendonError('config_invalid', `help: expected one command, got ${rest.join(' ')}`);
    console.log(of === undefined ? await overview() : helpOf(await commandOf(of)));
    return name === undefined ? EXIT_REFUSED : 0;
  }
  const command = await commandOf(name);
  const end = rest.indexOf('--');
  if (rest.slice(0, end < 0 ? undefined : end).some((word) => word === '--help' || word === '-h')) {
    console.log(helpOf(command));
    return 0;
  }
  const typed = readArguments(name, command, rest);
  const values = await withFolders(typed.values);
  let words: LastWords | undefined;
  let done: () => void = () => undefined;
  const closed = new Promise<void>((resolve) => {
    done = resolve;
  });
  const output = command.live === true ? new Output(process.stdout) : undefined;
  const code = await command.run(values, {
    ...contextOf(name, command, values, typed.words),
    say: output === undefined ? (line) => console.log(line) : (line) => output.line(line),
    // Only from when somebody waits for it: before that a signal ends the process, even one that reads a file.
    stopped: () =>
      new Promise((resolve) => {
        new LastWill().arm((said) => {
          words = said;
          if (said.fault !== undefined)
            new Output(process.stderr).line(`tendon: ends by a fault in Tendon: ${inspect(said.fault)}`);
          resolve();
          return closed;
        });
      }),
  });
  await output?.flush();
  output?.close();
  done();
  return words?.fault === undefined ? code : EXIT_FAULT;
}

// A reader that has heard enough (`| head`), or a terminal that is gone, must not end what drives a robot.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (caught: unknown) => {
    if (caught instanceof TendonError) {
      console.error(`tendon: ${caught.message}\n  [${caught.code}: ${ERROR_CODES[caught.code]}]`);
      process.exitCode = EXIT_REFUSED;
    } else {
      console.error('tendon: a bug in Tendon:', caught);
      process.exitCode = EXIT_BUG;
    }
    // Sockets and processes of a half-made session must not keep a failed command alive.
    setTimeout(() => process.exit(), 3000).unref();
  },
);
