// Runs the parts of a test run one after the other, all of them, and sums up.

import { spawn } from 'node:child_process';

/**
 * @typedef {{ passed: number, failed: number, skipped: number, failures?: string[] }} Counts
 *   `failures` names each test that failed, with what it said.
 * @typedef {{ name: string, command: string[], said: RegExp, counts: (lines: string[]) => Counts | undefined }} Part
 *   `said` finds the lines that a part sums itself up with, `counts` reads them (or a report that the part wrote).
 */

/** Runs a part, showing what it says; its exit code and the lines that `said` finds. */
function run({ command: [program, ...args], said }, options) {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      ...options,
      stdio: ['inherit', 'pipe', 'pipe'],
    });
    const lines = [];
    let rest = '';
    child.stdout.on('data', (data) => {
      process.stdout.write(data);
      const all = (rest + data).split('\n');
      rest = all.pop();
      // biome-ignore lint/suspicious/noControlCharactersInRegex: the colours that runners print
      for (const line of all) if (said.test(line.replace(/\u001b\[[\d;]*m/g, ''))) lines.push(line);
    });
    child.stderr.on('data', (data) => process.stderr.write(data));
    child.on('error', (error) => {
      console.error(String(error));
      resolve({ code: 1, lines });
    });
    child.on('close', (code) => resolve({ code: code ?? 1, lines }));
  });
}

/**
 * Runs every part, whatever the others do. What failed is named at the end. The last line printed is `N passed, N failed`, with `, N skipped` where there
 * are any.
 *
 * @param {Part[]} parts
 * @param {import('node:child_process').SpawnOptions} options
 * @returns {Promise<Counts>}
 */
export async function runParts(parts, options = {}) {
  const sum = { passed: 0, failed: 0, skipped: 0 };
  const summary = [];
  const failures = [];
  for (const part of parts) {
    console.log(`\n── ${part.name}`);
    const began = Date.now();
    const { code, lines } = await run(part, options);
    const counted = part.counts(lines);
    const counts = counted ?? { passed: 0, failed: 0, skipped: 0 };
    // Whatever ends with an error has failed, also where no test of it did; so has what cannot be counted.
    if ((code !== 0 || counted === undefined) && counts.failed === 0) counts.failed = 1;
    for (const key of Object.keys(sum)) sum[key] += counts[key];
    failures.push(...(counts.failures ?? []).map((failure) => `${part.name}: ${failure}`));
    const seconds = ((Date.now() - began) / 1000).toFixed(0);
    summary.push(`${part.name}: ${code === 0 ? 'ok' : `failed (exit code ${code})`}, ${seconds} s`, ...lines);
  }
  // Once more at the end: a log that was cut keeps its end.
  if (failures.length > 0) console.log(`\n── what failed\n${failures.join('\n')}`);
  console.log(`\n── in all\n${summary.join('\n')}\n`);
  console.log(
    `${sum.passed} passed, ${sum.failed} failed${sum.skipped > 0 ? `, ${sum.skipped} skipped` : ''}`,
  );
  return sum;
}
