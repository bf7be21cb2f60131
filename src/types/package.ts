// Where this package lies, and threads of its own. Sources, what is compiled of them and what is bundled of that all lie two folders below.

import { fileURLToPath } from 'node:url';
import type { Worker } from 'node:worker_threads';
import { packageWhenNeeded } from './lazy.js';

/** A file of the package by its path from the root; `''` is the root itself. */
export const packageFile = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

const threads = packageWhenNeeded<typeof import('node:worker_threads')>('node:worker_threads');

/** A thread that runs a bundled entry of this package, `dist/…`, with `workerData`. */
export const startWorker = (entry: string, workerData: unknown): Worker =>
  new (threads().Worker)(packageFile(entry), {
    workerData,
    // How a program's own text is to be read (node --input-type=module -e …) is refused where a thread has a file.
    execArgv: process.execArgv.filter((flag) => !flag.startsWith('--input-type')),
  });
