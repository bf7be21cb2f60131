// `tendon` as a process of its own, and waiting for what it does.

import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

export interface TendonProcess {
  readonly child: ChildProcess;
  /** Everything it said so far, on either stream. */
  output(): string;
  /** Its whole lines as objects, after --log json. */
  events(): Record<string, unknown>[];
  /** Asks it to end; resolves with its exit code. */
  end(): Promise<number | null>;
  /** Waits for it to end by itself. */
  ended(): Promise<number | null>;
}

/** `entry`: another program than `tendon` itself. */
export function startTendon(args: readonly string[], entry = MAIN): TendonProcess {
  const child = spawn(process.execPath, [entry, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (text) => {
      said += text;
    });
  const output = () => said;
  // After 'exit' some of what it said may still be on its way.
  let closed = false;
  child.on('close', () => {
    closed = true;
  });
  const ended = async (): Promise<number | null> => {
    await until(output, () => closed);
    return child.exitCode;
  };
  return {
    child,
    output,
    events: () =>
      said
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line)),
    end: async () => {
      child.kill('SIGTERM');
      return ended();
    },
    ended,
  };
}

export const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits for `check`; fails with what `what` says by then. */
export async function until(
  what: () => string,
  check: () => boolean | Promise<boolean>,
  limit_ms = 20_000,
): Promise<void> {
  const end = performance.now() + limit_ms;
  while (!(await check())) {
    if (performance.now() > end) throw new Error(`never: ${what()}`);
    await wait(5);
  }
}
