// `npm test`: every part, even when one fails, and at the end what each of them said.
//
//   npm test                     all parts
//   npm test -- unit native      these parts only
//   npm test -- --ci             what CI runs besides: lint, types, sanitizers, 64-bit Arm
//
// TENDON_FUZZ=100000 tries as many damaged files as CI does; by hand it is a tenth. The exit code is 1 if anything failed.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runParts } from './parts.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'tendon-test-'));
const colour = process.stdout.isTTY ? { FORCE_COLOR: '1' } : {};

const vitest = (name, ...args) => ({
  name,
  command: [
    join(root, 'node_modules/.bin/vitest'),
    ...['run', ...args, '--reporter=default', '--reporter=json', `--outputFile.json=${join(folder, name)}`],
  ],
  said: /^\s*(Test Files|Tests|Duration)\s/,
  counts: () => countsOf(join(folder, name)),
});

const none = () => ({ passed: 0, failed: 0, skipped: 0 });
const script = (name, ...words) => ({
  name,
  command: ['npm', 'run', '-s', ...words],
  said: /^$/,
  counts: none,
});
/** The native tests in another build. */
const native = (name, ...options) => ({
  name,
  command: [process.execPath, join(root, 'native/build.mjs'), ...options],
  said: /^(native: \d+ passed|FAILED )/,
  counts(lines) {
    const found = /(\d+) passed, (\d+) failed, \d+ skipped(?:, (\d+) cases not run)?/.exec(
      lines.at(-1) ?? '',
    );
    if (found === null) return undefined;
    const [passed, failed, skipped = 0] = found.slice(1).map(Number);
    const failures = lines.filter((line) => line.startsWith('FAILED '));
    return { passed, failed, skipped, failures };
  },
});

/** The native tests in which threads meet. */
const THREADED = ['base:', 'pool', 'session:', 'compile:', 'denoise:', 'drive:', 'realtime:'];

/**
 * What needs more than Node, a compiler and cmake. Left out where it would take minutes and finds nothing new: the device's
 * emulator, which is test code, products over the borders of blocks, which the awkward sizes cross too, and under qemu a
 * chunk that is cancelled at 300 moments.
 */
const CI_PARTS = [
  script('lint', 'lint'),
  script('types', 'types'),
  native('addresses', '--sanitize=address,undefined', '--', '-cuda:', '-quiet:', '-over the borders'),
  native('threads', '--sanitize=thread', '--', ...THREADED),
  native('arm', '--cross=aarch64', '--', 'kernels:', 'plan:', 'session:', '-over the borders', '-cancelled'),
];

/** In this order: what is quick to tell first. The addon too: a checkout that was updated has an old one. */
const PARTS = [
  script('build', 'build'),
  native('native', '--test'),
  vitest('unit', '--exclude', 'test/integration/**', '--exclude', 'test/browser/**'),
  vitest('integration', 'test/integration', 'test/browser', '--maxWorkers', '1'),
];

/** From vitest's own report; undefined when it wrote none. */
function countsOf(file) {
  try {
    const report = JSON.parse(readFileSync(file, 'utf8'));
    // A file that cannot be loaded has no tests of its own to fail.
    const broken = report.testResults.filter(
      ({ status, assertionResults }) =>
        status === 'failed' && assertionResults.every((one) => one.status !== 'failed'),
    );
    return {
      passed: report.numPassedTests,
      failed: report.numFailedTests + broken.length,
      skipped: report.numPendingTests + report.numTodoTests,
      failures: [
        ...broken.map(({ name, message }) => `${name}\n${message}`),
        ...report.testResults.flatMap(({ name, assertionResults }) =>
          assertionResults
            .filter(({ status }) => status === 'failed')
            .map(({ fullName, failureMessages }) => `${name} > ${fullName}\n${failureMessages.join('\n')}`),
        ),
      ],
    };
  } catch {
    return undefined;
  }
}

const words = process.argv.slice(2);
const wanted = words.filter((word) => word !== '--ci');
const known = [...CI_PARTS, ...PARTS];
const unknown = wanted.find((name) => !known.some((part) => part.name === name));
if (unknown !== undefined) {
  console.error(`test: there is no part ${unknown}; there are ${known.map(({ name }) => name).join(', ')}`);
  process.exit(2);
}
const parts =
  wanted.length > 0
    ? known.filter(({ name }) => name === 'build' || wanted.includes(name))
    : [...PARTS, ...(words.includes('--ci') ? CI_PARTS : [])];
try {
  const { failed } = await runParts(parts, { cwd: root, env: { ...process.env, ...colour } });
  process.exitCode = failed > 0 ? 1 : 0;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
