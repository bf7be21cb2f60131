// Every robot file of launch/: it is valid, `tendon run --dry-run` with it publishes nothing and says what it would, and
// without --dry-run the robot goes where the policy wants it, within the limits. Real sockets; drivers in fake-drivers.ts.

import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { loadRobotFile } from '../../src/robot/index.js';
import { RosbridgeServer } from '../../src/rosbridge/index.js';
import { spawnSimServer } from '../../src/sim/server-process.js';
import { FAKE_DRIVERS } from './fake-drivers.js';
import { startTendon, until, wait } from './tendon-process.js';
import { writeTinyAct } from './tiny-act.js';

const SIM = resolve('dist/sim/server-main.js');
const FILES = readdirSync('launch')
  .filter((file) => file.endsWith('.yaml'))
  .map((file) => basename(file, '.yaml'));
const SIMULATED = FILES.filter((name) => name.startsWith('sim-'));
const REAL = FILES.filter((name) => !name.startsWith('sim-'));

const root = mkdtempSync(join(tmpdir(), 'tendon-robots-'));
afterAll(() => rmSync(root, { recursive: true }));
const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** The robot's driver behind a bridge, and a policy that wants every joint a little further. */
async function robot(name: string) {
  const server = await RosbridgeServer.start({ port: 0 });
  const driver = FAKE_DRIVERS[name]!(server);
  closers.push(async () => {
    driver.close();
    await server.close();
  });
  const file = loadRobotFile(`launch/${name}.yaml`);
  const step = name === 'diff-drive' ? 0.1 : 0.06;
  const goal = driver.measured().map((value) => value + step);
  const state = name === 'diff-drive' ? 5 : goal.length;
  const policy = writeTinyAct(join(root, name), state, goal, file.rate_hz);
  const args = ['run', '--policy', policy, '--robot', `launch/${name}.yaml`, '--bridge', server.url];
  const run = (...more: string[]) => {
    const tendon = startTendon([...args, '--threads', '1', '--log', 'json', ...more]);
    closers.push(() => tendon.child.kill('SIGKILL'));
    return tendon;
  };
  return { server, driver, file, goal, run };
}

test('there is a driver for every robot that is not simulated', () => {
  expect(REAL).toEqual(Object.keys(FAKE_DRIVERS).sort());
  expect(SIMULATED).toEqual(['sim-arm', 'sim-block-push', 'sim-maze', 'sim-pusht']);
});

describe.each(REAL)('%s', (name) => {
  test('a dry run publishes nothing and shows what it would', async () => {
    const { driver, file, goal, run } = await robot(name);
    const still = driver.measured();
    const tendon = run('--dry-run');
    const would = () => tendon.events().filter(({ event }) => event === 'would_send');
    await until(tendon.output, () => would().length > 0);
    expect(await tendon.end()).toBe(0);
    expect(driver.taken).toEqual([]);
    expect(driver.refused).toEqual([]);
    expect(driver.measured()).toEqual(still);
    const named = tendon.events().filter(({ event }) => event === 'dry_run');
    expect(Object.fromEntries(named.map(({ topic, type }) => [topic, type]))).toEqual(driver.commands);
    const [{ messages, measured }] = would() as [{ messages: object; measured: number[] }];
    expect(Object.keys(messages)).toEqual(Object.keys(driver.commands));
    measured.forEach((value, i) => {
      expect(value).toBeCloseTo(still[i]!, 6);
    });
    const end = tendon.events().find(({ event }) => event === 'dry_run_end') as {
      commands: number;
      joints: { joint: string; high: number; fastest: number; limit: number }[];
    };
    expect(end.joints.map(({ joint }) => joint)).toEqual(file.joint_names);
    for (const [i, { high, fastest, limit }] of end.joints.entries()) {
      // The policy's wish, as far as it was got; float32 in the checkpoint.
      expect(high).toBeLessThan(goal[i]! + 1e-6);
      expect(high).toBeGreaterThan(still[i]!);
      expect(fastest).toBeLessThanOrEqual(limit * (1 + 1e-9));
    }
    expect(tendon.events().at(-1)).toMatchObject({ event: 'end', commands: 0 });
  });

  test('a run moves the robot to where the policy wants it, within the limits', async () => {
    const { driver, file, goal, run } = await robot(name);
    const start = driver.measured();
    const tendon = run();
    const there = () => driver.measured().every((value, i) => Math.abs(value - goal[i]!) < 1e-3);
    await until(() => `${driver.measured()} at ${goal}: ${tendon.output()}`, there);
    expect(await tendon.end()).toBe(0);
    expect(driver.refused).toEqual([]);
    const { velocity } = file.limits;
    let before = start;
    for (const command of driver.taken) {
      command.forEach((value, i) => {
        // A command is one step at the limit at most from the one before; the sums round.
        expect(Math.abs(value - before[i]!)).toBeLessThanOrEqual(velocity[i]! / file.rate_hz + 1e-9);
      });
      before = command;
    }
    // A base is told to stand before Tendon goes; an arm stays where it was told to be.
    const rest = file.command.quantity === 'velocity' ? goal.map(() => 0) : goal;
    driver.taken.at(-1)!.forEach((value, i) => {
      expect(value).toBeCloseTo(rest[i]!, 2);
    });
  });
});

test('an emergency stop tells a base to stand, at once', async () => {
  const { server, driver, goal, run } = await robot('diff-drive');
  const press = server.advertise('/estop', 'std_msgs/Bool');
  const tendon = run();
  await until(tendon.output, () => Math.abs(driver.measured()[0]! - goal[0]!) < 1e-3);
  press({ data: true });
  await until(tendon.output, () => driver.measured().every((value) => value === 0));
  // From the policy's speed to none in one command: a stop has no ramp.
  const last = driver.taken.findLastIndex(([speed]) => speed !== 0);
  expect(driver.taken[last]![0]).toBeCloseTo(goal[0]!, 2);
  expect(driver.taken[last + 1]).toEqual([0, 0]);
  await until(tendon.output, () => tendon.events().some(({ to }) => to === 'STOPPED'));
});

test('a stop that is latched before the robot is met is in force', async () => {
  const { server, driver, run } = await robot('diff-drive');
  server.advertise('/estop', 'std_msgs/Bool', true)({ data: true });
  const tendon = run();
  await until(tendon.output, () => tendon.events().some(({ to }) => to === 'STOPPED'));
  await wait(500);
  expect(tendon.events().some(({ to }) => to === 'RUNNING')).toBe(false);
  expect(driver.taken.flat().every((speed) => speed === 0)).toBe(true);
});

test('a base whose odometry falls silent is brought to rest, by way of its limits', async () => {
  const { driver, file, goal, run } = await robot('diff-drive');
  const tendon = run();
  await until(tendon.output, () => Math.abs(driver.measured()[0]! - goal[0]!) < 1e-3);
  const { length } = driver.taken;
  driver.silence();
  await until(tendon.output, () => driver.measured().every((value) => value === 0));
  await until(tendon.output, () => tendon.events().some(({ to }) => to === 'HOLD'));
  const braking = driver.taken.slice(length);
  const step = file.limits.velocity[0]! / file.rate_hz;
  braking.reduce((before, [speed]) => {
    expect(before - speed!).toBeLessThanOrEqual(step + 1e-9);
    return speed!;
  }, goal[0]!);
  expect(await tendon.end()).toBe(0);
});

describe.each(SIMULATED)('%s', (name) => {
  test('a dry run leaves the simulation alone', async () => {
    const task = name.slice('sim-'.length);
    const sim = await spawnSimServer({ task, seed: 1, port: 0 }, SIM);
    closers.push(() => sim.stop());
    const tendon = startTendon([
      ...[
        'run',
        '--policy',
        `models/${task === 'maze' ? 'maze-hiql' : task}`,
        '--robot',
        `launch/${name}.yaml`,
        '--bridge',
        sim.url,
      ],
      ...['--threads', '1', '--log', 'json', '--dry-run'],
    ]);
    closers.push(() => tendon.child.kill('SIGKILL'));
    const would = () => tendon.events().filter(({ event }) => event === 'would_send');
    await until(tendon.output, () => would().length > 0);
    expect(await tendon.end()).toBe(0);
    expect(Object.keys(would()[0]!.messages as object)).toEqual(['/command']);
    expect(tendon.events().at(-1)).toMatchObject({ event: 'end', commands: 0 });
  });
});
