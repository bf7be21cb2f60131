// `tendon bench`: ours against onnxruntime-node on the same networks and threads, interleaved in one run, with the
// machine's own limits measured in that run. A figure in a document comes from here.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from '../src/cli/command.js';
import { MachineLimits } from '../src/host/machine-limits.js';
import { addon } from '../src/native/index.js';
import { BusyProcesses } from './busy.js';
import { type BenchRow, type Contest, hold } from './contest.js';
import { denoiserContest, denoisers } from './denoisers.js';
import { benchExecutor } from './executor.js';
import { planContest } from './plan.js';
import { planScaling, plantRollouts } from './rollouts.js';
import { benchStart } from './start.js';
import { visionContests } from './vision.js';

/** Both sides of the 251 M UNet, and what the peer takes while it loads. */
const LARGE_BYTES = 6e9;

/** What `tendon bench` does with its options; resolves with the exit code. */
export const bench: Command['run'] = async (values, { integer, text, say }) => {
  const threads = integer('threads', 1, 256);
  const seconds =
    values.seconds === undefined ? undefined : integer('seconds', values.executor === true ? 1 : 0, 3600);
  if (values.executor === true)
    return benchExecutor(
      { policy: text('policy'), seconds: seconds ?? 60, threads, plain: values.plain === true },
      say,
    );
  if (values.start === true) return benchStart(values.small !== true, say);
  const budget_ms = (seconds ?? 6) * 1000;
  const folder = mkdtempSync(join(tmpdir(), 'tendon-bench-'));
  const rows: BenchRow[] = [];
  const beside = values.loaded === undefined ? undefined : new BusyProcesses(integer('loaded', 1, 256));
  try {
    const contests = new Map<string, () => Promise<Contest>>();
    const room = process.availableMemory() > LARGE_BYTES;
    if (!room) say('unet251m.* is left out: it needs 6 GB of free memory');
    for (const [name, work] of denoisers(folder, room && values.small !== true))
      contests.set(name, () => denoiserContest(work(), threads));
    for (const [name, open] of visionContests(folder, threads)) contests.set(name, open);
    contests.set('tdmpc2-5m.plan', () => planContest(folder, threads));
    const limits = await MachineLimits.measure(new (addon().Pool)({ threads }));
    say(
      `${cpus()[0]?.model.trim()}, ${threads} threads, kernels ${addon().isa()}; onnxruntime-node on the same threads, f32\n${await limits.text()}\n`,
    );
    say(
      '  row                     precision busy    ours ms      p99    ORT ms      p99   ours/ORT   of the limit   PyTorch ms',
    );
    for (const [name, open] of contests) {
      if (values.only !== undefined && !name.includes(text('only'))) continue;
      if (process.stderr.isTTY) process.stderr.write(`  ${name} …\r`);
      for (const row of await hold(await open(), budget_ms, limits, beside)) {
        rows.push(row);
        say(line(row));
      }
    }
    const wants = (name: string): boolean => values.only === undefined || name.includes(text('only'));
    if (wants('tdmpc2-5m.samples')) await planScaling(folder, threads, budget_ms, limits, say);
    if (wants('mppi.point-mass')) await plantRollouts(budget_ms, say);
  } finally {
    beside?.end();
    rmSync(folder, { recursive: true, force: true });
  }
  if (values.json !== undefined) writeFileSync(text('json'), `${JSON.stringify(rows, null, 1)}\n`);
  return 0;
};

function line(row: BenchRow): string {
  const number = (value: number, width: number): string => value.toFixed(3).padStart(width);
  return `  ${row.name.padEnd(23)} ${row.precision.padEnd(9)} ${String(row.busy).padStart(4)} ${number(row.ours_ms, 10)} ${number(row.ours_p99_ms, 8)} ${number(row.peer_ms, 9)} ${number(row.peer_p99_ms, 8)} ${number(row.ratio, 10)} ${`${(100 * row.limit_share).toFixed(0)} %`.padStart(14)} ${row.torch_ms === undefined ? '–'.padStart(12) : number(row.torch_ms, 12)}`;
}
