// `tendon bench --start`: what a person waits for. From the start of a process to a policy's first action, with a
// checkpoint of 20 MB, and how long one of 1 GB takes to be ready in every precision. Each run is a process of its own,
// timed from outside it as well.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PACKAGE_ROOT } from '../src/session/sim-session.js';
import { TendonError } from '../src/types/index.js';
import { diffusionFolder } from './checkpoint.js';
import { quantile } from './contest.js';

const FIRST_RUNS = 15;
const LOAD_RUNS = 3;
const SMALL = [72, 144, 288];
const LARGE = [520, 1040, 2080];
/** Policies without robots around them: half the import. */
const POLICIES = 'tendon/policies';

/** As a user's own program would: an import, a folder, an observation, an action. */
const FIRST_ACTION = `
  const [dir, precision, from] = process.argv.slice(1);
  const { loadPolicy } = await import(from);
  const imported = performance.now();
  const policy = await loadPolicy(dir, { compute: { precision } });
  const loaded = performance.now();
  policy.reset(0);
  const values = { 'observation.state': new Float32Array(policy.spec.observation_dims['observation.state']) };
  await policy.infer({ stamp_ns: 0, values, images: {} });
  const acted = performance.now();
  const { report } = await policy.describe();
  console.log(JSON.stringify({ imported, loaded, acted, precision: report.precision }));
  policy.close();`;

interface Marks {
  readonly imported: number;
  readonly loaded: number;
  readonly acted: number;
  readonly precision: string;
}

export async function benchStart(large: boolean, say: (line: string) => void): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'tendon-start-'));
  try {
    const small = join(folder, 'small');
    const size = diffusionFolder(small, SMALL);
    say(
      `a LeRobot diffusion policy of ${(size / 1e6).toFixed(0)} MB, ms since the process was started (medians of ${FIRST_RUNS}, and the best)`,
    );
    say('  import           precision    imported    loaded   first action      best   seen from outside');
    const bare: number[] = [];
    for (const [precision, from] of [
      ['auto', POLICIES],
      ['f32', POLICIES],
      ['auto', 'tendon'],
    ] as const) {
      const runs: Marks[] = [];
      const outside: number[] = [];
      for (let i = 0; i < FIRST_RUNS; i++) {
        bare.push((await started('console.log("{}")', [])).ms);
        const { ms, marks } = await started(FIRST_ACTION, [small, precision, from]);
        runs.push(marks);
        outside.push(ms);
      }
      const median = (of: (m: Marks) => number): string => quantile(runs.map(of), 0.5).toFixed(0);
      const best = Math.min(...runs.map((m) => m.acted)).toFixed(0);
      say(
        `  ${from.padEnd(16)} ${named(precision, runs[0]!).padEnd(12)} ${median((m) => m.imported).padStart(8)} ${median((m) => m.loaded).padStart(9)} ${median((m) => m.acted).padStart(14)} ${best.padStart(9)} ${quantile(outside, 0.5).toFixed(0).padStart(19)}`,
      );
    }
    say(`  Node.js alone, from outside: ${quantile(bare, 0.5).toFixed(0)} ms`);
    if (!large) return 0;
    const big = join(folder, 'large');
    const bytes = diffusionFolder(big, LARGE, true);
    say(
      `\none of ${(bytes / 1e6).toFixed(0)} MB, cached: ms from loadPolicy until it is ready (median of ${LOAD_RUNS})`,
    );
    for (const precision of ['f32', 'bf16', 'int8', 'auto']) {
      const runs: Marks[] = [];
      for (let i = 0; i < LOAD_RUNS; i++)
        runs.push((await started(FIRST_ACTION, [big, precision, POLICIES])).marks);
      const ready = quantile(
        runs.map((m) => m.loaded - m.imported),
        0.5,
      );
      say(`  ${named(precision, runs[0]!).padEnd(20)} ${ready.toFixed(0).padStart(8)}`);
    }
    return 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const named = (wanted: string, { precision }: Marks): string =>
  wanted === precision ? wanted : `${wanted} (${precision})`;

/** Runs a script in a process of its own; `ms`: until its one line arrived here. */
function started(script: string, args: readonly string[]): Promise<{ ms: number; marks: Marks }> {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    let ms = 0;
    let said = '';
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, ...args], {
      cwd: PACKAGE_ROOT,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    child.stdout.on('data', (text: Buffer) => {
      ms ||= performance.now() - began;
      said += text.toString();
    });
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve({ ms, marks: JSON.parse(said) as Marks });
      else reject(new TendonError('policy_failed', `bench: a process that was to act ended with ${code}`));
    });
  });
}
