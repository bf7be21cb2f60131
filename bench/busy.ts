// Processes that do nothing but compute, beside whoever is timed: a robot's computer always has something else to do.

import { type ChildProcess, spawn } from 'node:child_process';

/** Computes while the last byte of its input was a 1, looking every few milliseconds; ends with its input. */
const PROGRAM = `
let busy = false;
const turn = () => {
  for (const until = Date.now() + 4; Date.now() < until; );
  if (busy) setImmediate(turn);
};
process.stdin.on('data', (bytes) => {
  const wanted = bytes.at(-1) === 49;
  if (wanted && !busy) setImmediate(turn);
  busy = wanted;
}).on('end', () => process.exit());
`;

/** Processes beside those that are timed. */
export class BusyProcesses {
  private readonly children: readonly ChildProcess[];

  /** At rest until work() is called. */
  constructor(readonly count: number) {
    this.children = Array.from({ length: count }, () =>
      spawn(process.execPath, ['-e', PROGRAM], { stdio: ['pipe', 'ignore', 'inherit'] }),
    );
  }

  /** From here on each wants a core. */
  work(): void {
    for (const child of this.children) child.stdin?.write('1');
  }

  rest(): void {
    for (const child of this.children) child.stdin?.write('0');
  }

  end(): void {
    for (const child of this.children) child.kill('SIGKILL');
  }
}
