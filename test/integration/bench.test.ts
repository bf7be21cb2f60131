// `tendon bench --json`: what other programs read of it. One small row, a few rounds; how fast it was is not asserted.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { BenchRow } from '../../bench/contest.js';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

test('a quick row is written whole, in every precision, and as it was printed', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tendon-bench-test-'));
  try {
    const file = join(folder, 'rows.json');
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [main, 'bench', '--only', 'demo.arm.step', '--seconds', '0', '--threads', '1', '--json', file],
      { encoding: 'utf8' },
    );
    expect([status, stderr]).toEqual([0, '']);
    const rows = JSON.parse(readFileSync(file, 'utf8')) as BenchRow[];
    expect(rows.map(({ name, precision }) => [name, precision])).toEqual([
      ['demo.arm.step', 'f32'],
      ['demo.arm.step', 'bf16'],
      ['demo.arm.step', 'int8'],
    ]);
    for (const row of rows) {
      const { name, precision, busy, ours_ms, ours_p99_ms, peer_ms, peer_p99_ms, ratio, limit_share } = row;
      const { torch_ms: _, ...known } = row;
      for (const value of [ours_ms, ours_p99_ms, peer_ms, peer_p99_ms, ratio, limit_share])
        expect(value, JSON.stringify(row)).toSatisfy((v) => Number.isFinite(v) && v > 0);
      expect(ours_p99_ms).toBeGreaterThanOrEqual(ours_ms);
      expect(ratio).toBeCloseTo(ours_ms / peer_ms, 10);
      // One peer in one run.
      expect(peer_ms).toBe(rows[0]!.peer_ms);
      expect(Object.keys(known)).toHaveLength(9);
      expect(busy).toBe(0);
      const printed = stdout.split('\n').find((line) => line.includes(name) && line.includes(precision));
      expect(printed).toContain(` ${ours_ms.toFixed(3)} `);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
