// The programs in examples/ as they lie there, in processes of their own.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { startSimServer } from '../../src/sim/server.js';
import { findTask } from '../../src/sim/tasks.js';

const run = async (...args: readonly string[]): Promise<string> =>
  (await promisify(execFile)(process.execPath, args, { timeout: 110_000 })).stdout;

test('a policy alone', async () => {
  const out = await run('examples/policy.mjs');
  expect(out).toMatch(/^edm: \d+ actions of 6 numbers\nthe first: (-?\d+\.\d{3} ?){6}\n$/);
}, 120_000);

test('an episode on a simulated robot', async () => {
  expect(await run('examples/simulated.mjs', 'arm')).toMatch(/[01] of 1 succeeded, [1-9]\d* ticks\n/);
}, 120_000);

test('a robot behind a bridge, for a while', async () => {
  const sim = await startSimServer({ task: findTask('arm'), seed: 3 });
  try {
    const out = await run('examples/robot.mjs', 'launch/sim-arm.yaml', 'models/arm', sim.url, '3');
    expect(out).toMatch(/now RUNNING: /);
    expect(out).toMatch(/ended: the example is over\n$/);
  } finally {
    await sim.close();
  }
}, 120_000);
