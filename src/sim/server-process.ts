// Starts a simulated robot in a process of its own and hands back where it listens.

import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { type ErrorCode, TendonError } from '../types/index.js';
import { packageFile } from '../types/package.js';
import type { SimServerOptions } from './server.js';

/** SimServerOptions that fit into a line of JSON: the task by its name. */
export interface SimProcessOptions extends Omit<SimServerOptions, 'task'> {
  readonly task: string;
}

export interface SimProcess {
  readonly url: string;
  readonly process: ChildProcess;
  /** Ends it and waits until it is gone. */
  stop(): Promise<void>;
}

/** Resolves once it listens. `entry` is the compiled server-main.js. Rejects with the child's own error. */
export async function spawnSimServer(
  options: SimProcessOptions,
  entry: string = packageFile('dist/sim/server-main.js'),
): Promise<SimProcess> {
  const child = spawn(process.execPath, [entry], { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()));
  child.stdin.on('error', () => undefined);
  child.stdin.write(`${JSON.stringify(options)}\n`);
  const lines = createInterface({ input: child.stdout });
  const line = await Promise.race([
    new Promise<string>((resolve) => lines.once('line', resolve)),
    exited.then(() => ''),
  ]);
  const answer = (line === '' ? {} : JSON.parse(line)) as {
    url?: string;
    error?: { code: ErrorCode; message: string };
  };
  if (answer.url === undefined) {
    child.kill();
    await exited;
    const { code, message } = answer.error ?? {
      code: 'internal',
      message: `The simulation (${entry}) ended before it listened; exit code ${child.exitCode}.`,
    };
    throw new TendonError(code, message, { task: options.task });
  }
  return {
    url: answer.url,
    process: child,
    stop: async () => {
      child.stdin.end();
      const kill = setTimeout(() => child.kill('SIGKILL'), 2000);
      await exited;
      clearTimeout(kill);
    },
  };
}
