// A recorded session comes out of the same controller again, bit for bit: the one that `tendon start` ran, and one in
// which an operator did everything an operator can. From the built program; `npm test` builds first.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const main = join(root, 'dist/cli/main.js');
const folder = mkdtempSync(join(tmpdir(), 'tendon-replay-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const built = <T>(path: string): Promise<T> => import(join(root, 'dist', path)) as Promise<T>;

function tendon(args: string[], env: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    encoding: 'utf8',
    timeout: 60_000,
    env: { ...process.env, ...env },
  });
  return { status, stdout, stderr };
}

describe.each([
  ['this machine’s kernels', {}],
  ['the reference', { TENDON_ISA: 'reference' }],
] as const)('tendon start on %s', (name, env) => {
  const file = join(folder, `${name.length}.mcap`);

  test('replays to the same commands', () => {
    const start = ['start', '--headless', '--episodes', '1', '--steps', '2', '--candidates', '2'];
    expect(tendon([...start, '--record', file], env).stderr).toBe('');
    const { status, stdout } = tendon(['replay', file]);
    const [, same, of] = /commands +(\d+) of (\d+) identical\n/.exec(stdout)!;
    expect(Number(of)).toBeGreaterThan(50);
    expect(same).toBe(of);
    const [, chunks, all] = /chunks +(\d+) of (\d+) identical\n/.exec(stdout)!;
    expect(Number(all)).toBeGreaterThan(5);
    expect(chunks).toBe(all);
    expect(status).toBe(0);
  });

  test('the recorded chunks do without the checkpoint, and another sampler differs and says where', () => {
    expect(tendon(['replay', file, '--recorded-chunks']).stdout).toMatch(/commands +(\d+) of \1 identical\n/);
    const other = tendon(['replay', file, '--steps', '5']);
    expect(other.status).toBe(1);
    expect(other.stdout).toMatch(/first difference at \d+\.\d+ s: a chunk that is/);
  });
});

test('holds, stops, take-overs, resets, and changes of sampler replay too', async () => {
  const { SimSession } =
    await built<typeof import('../../src/session/sim-session.js')>('session/sim-session.js');
  const { loadPolicy } = await built<typeof import('../../src/policies/index.js')>('policies/index.js');
  const { replay } = await built<typeof import('../../src/record/index.js')>('record/index.js');
  const file = join(folder, 'operator.mcap');
  const session = await SimSession.open({
    task: 'arm',
    record: file,
    load: { compute: { precision: 'f32', threads: 1 } },
  });
  const { controller, policy } = session;
  const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  await wait(500);
  let random = 1;
  const draw = (n: number) => {
    random = (random * 48_271) % 2_147_483_647;
    return random % n;
  };
  const seen = new Set<string>();
  controller.supervisor.onChange(({ to }) => seen.add(to));
  for (let i = 0; i < 60; i++) {
    const what = draw(8);
    if (what === 0) controller.hold();
    else if (what === 1)
      controller.takeOver(Array.from(controller.command, (v) => v + (draw(100) - 50) / 500));
    else if (what === 2) controller.takeOver(undefined);
    else if (what === 3 && i % 4 === 0) controller.emergencyStop();
    else if (what === 4) await policy.choose({ steps: 1 + draw(4), candidates: 1 + draw(3) });
    else if (what === 5 || controller.supervisor.state === 'STOPPED') await session.restart(i);
    else {
      controller.go();
      controller.resume();
    }
    await wait(20 + draw(120));
  }
  await session.close();
  expect([...seen].sort()).toEqual(expect.arrayContaining(['HOLD', 'READY', 'RUNNING', 'STOPPED', 'TELEOP']));
  const again = await loadPolicy(join(root, 'models/arm'), { compute: { precision: 'f32', threads: 1 } });
  const report = await replay(file, { policy: again });
  expect(report.first).toBeUndefined();
  expect(report.ended).toBeUndefined();
  expect(report.commands).toBeGreaterThan(100);
  expect(report.identical_commands).toBe(report.commands);
  expect(report.identical_chunks).toBe(report.chunks);
});
