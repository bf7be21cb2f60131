// `tendon bench`: the benchmarks lie outside the package (bench/), and run from a checkout.

import { existsSync } from 'node:fs';
import { cpus } from 'node:os';
import { pathToFileURL } from 'node:url';
import { TendonError } from '../types/index.js';
import { packageFile } from '../types/package.js';
import type { Command } from './command.js';

const BENCH = packageFile('dist/bench/index.js');

export const bench: Command = {
  summary:
    'ours against onnxruntime-node in one run; --executor: how late the real-time thread is; --start: how soon a policy acts',
  usage:
    'tendon bench [--only unet5m] [--small] [--json FILE] [--seconds 6] [--loaded 1]\n  tendon bench --executor [--plain] [--seconds 60]\n  tendon bench --start [--small]',
  examples: ['tendon bench --executor', 'tendon bench --only unet5m'],
  options: {
    only: { type: 'string', help: 'rows whose name contains this' },
    json: { type: 'string', help: 'write the rows to this file' },
    seconds: {
      type: 'string',
      help: 'time for each row (default 6; 0: a few rounds), or of --executor (default 60)',
    },
    loaded: {
      type: 'string',
      help: 'each row also with so many busy processes beside both sides, in the same run',
    },
    executor: { type: 'boolean', default: false, help: 'the 1 kHz executor while inference takes all cores' },
    plain: { type: 'boolean', default: false, help: 'with --executor: without SCHED_FIFO and locked memory' },
    start: { type: 'boolean', default: false, help: 'from the start of a process to the first action' },
    policy: { type: 'string', default: 'models/arm', help: 'with --executor: what infers meanwhile' },
    small: {
      type: 'boolean',
      default: false,
      help: 'without the 251 M UNet, which needs 6 GB of memory; with --start, without the checkpoint of 1 GB',
    },
    threads: { type: 'string', default: String(cpus().length), help: 'threads of both sides' },
  },
  async run(values, context) {
    if (!existsSync(BENCH))
      throw new TendonError(
        'unsupported',
        'the benchmarks are not part of the installed package; run them from a checkout: git clone, npm install, npm run bench',
      );
    const { bench } = (await import(pathToFileURL(BENCH).href)) as { bench: Command['run'] };
    return bench(values, context);
  },
};
