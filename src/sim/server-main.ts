// The process of a simulated robot. Its first line of input is its options in JSON, its first line of output where
// it listens; it lives until its input ends (the parent went away) or SIGTERM.

import { createInterface } from 'node:readline';
import { asTendonError } from '../types/index.js';
import { startSimServer } from './server.js';
import type { SimProcessOptions } from './server-process.js';
import { findTask } from './tasks.js';

const input = createInterface({ input: process.stdin });
const first = new Promise<string>((resolve) => input.once('line', resolve));
const ended = new Promise<void>((resolve) => {
  input.once('close', resolve);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
});
const say = (value: unknown) => process.stdout.write(`${JSON.stringify(value)}\n`);

try {
  const line = await Promise.race([first, ended]);
  if (typeof line === 'string') {
    const { task, ...options } = JSON.parse(line) as SimProcessOptions;
    const sim = await startSimServer({ ...options, task: findTask(task) });
    say({ url: sim.url, task });
    await ended;
    await sim.close();
  }
} catch (caught) {
  const { code, message } = asTendonError(caught, 'simulation');
  say({ error: { code, message } });
  process.exitCode = 1;
}
input.close();
process.stdin.destroy();
