// `npm test` runs every part, also behind one that fails, and its last line counts them all.

import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { root } from './sources.js';

/** What a run of these parts prints; each part is a script and the counts that it stands for. */
function run(parts: readonly (readonly [script: string, counts: object | undefined])[]) {
  const listed = parts
    .map(
      ([script, counts], i) =>
        `{ name: 'part${i}', command: [process.execPath, '-e', ${JSON.stringify(script)}], said: /^sum/, counts: () => (${JSON.stringify(counts)}) }`,
    )
    .join(', ');
  const { stdout } = spawnSync(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `import { runParts } from './test/parts.mjs'; await runParts([${listed}]);`,
    ],
    { cwd: root, encoding: 'utf8' },
  );
  return stdout;
}

test('a part that fails stops none behind it', () => {
  const out = run([
    ["console.log('sum one'); process.exit(1)", { passed: 2, failed: 1, skipped: 0 }],
    ["console.log('x\\nsum two')", { passed: 3, failed: 0, skipped: 4 }],
  ]);
  expect(out).toMatch(
    /part0: failed \(exit code 1\), \d+ s\nsum one\npart1: ok, \d+ s\nsum two\n\n5 passed, 1 failed, 4 skipped\n$/,
  );
});

test('what failed is named once more behind all parts', () => {
  const counts = { passed: 0, failed: 1, skipped: 0, failures: ['a.test.ts > adds\nexpected 2'] };
  const out = run([
    ['process.exit(1)', counts],
    ['', { passed: 1, failed: 0, skipped: 0 }],
  ]);
  expect(out).toMatch(/── part1\n\n── what failed\npart0: a\.test\.ts > adds\nexpected 2\n\n── in all\n/);
});

test('a part that ends with an error has failed, also without a failed test or a report', () => {
  expect(run([['process.exit(7)', { passed: 2, failed: 0, skipped: 0 }]])).toMatch(/\n2 passed, 1 failed\n$/);
  expect(run([['process.exit(7)', undefined]])).toMatch(/\n0 passed, 1 failed\n$/);
  expect(run([["process.kill(process.pid, 'SIGKILL')", undefined]])).toMatch(/\n0 passed, 1 failed\n$/);
});

test('a run in which all passed says so', () => {
  expect(run([['', { passed: 2, failed: 0, skipped: 0 }]])).toMatch(/\n2 passed, 0 failed\n$/);
});
