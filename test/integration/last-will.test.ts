// However `tendon run` ends while the robot moves, by a signal, by a fault in a program or while it still connects: a base
// is told zero, an arm brakes within its limits, and the recording is whole. Real processes, real sockets.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { readNumbers } from '../../src/record/events.js';
import { Recording } from '../../src/record/index.js';
import { header, jointState, RosbridgeServer } from '../../src/rosbridge/index.js';
import { FAKE_DRIVERS } from './fake-drivers.js';
import { closedAfterEach } from './support.js';
import { startTendon, type TendonProcess, until, wait } from './tendon-process.js';
import { writeTinyAct } from './tiny-act.js';

const PROGRAM = fileURLToPath(new URL('session-program.mjs', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'tendon-will-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const closers = closedAfterEach();
let count = 0;

const VELOCITY = 0.5;
const ACCELERATION = 1;
/** Slow, so that a busy machine skips no period of it. */
const RATE_HZ = 10;

interface Setting {
  readonly robot: string;
  readonly policy: string;
  readonly url: string;
  /** Commands that arrived, oldest first. */
  readonly taken: readonly number[][];
  /** It moves, and would go on for long. */
  moving(): boolean;
  /** Fails unless it was brought to rest as it should be. */
  expectRest(): void;
}

async function base(): Promise<Setting> {
  const server = await RosbridgeServer.start({ port: 0 });
  const driver = FAKE_DRIVERS['diff-drive']!(server);
  closers.push(() => {
    driver.close();
    return server.close();
  });
  return {
    robot: 'launch/diff-drive.yaml',
    policy: writeTinyAct(join(folder, 'base'), 5, [0.15, 0.1], 20),
    url: server.url,
    taken: driver.taken,
    moving: () => (driver.taken.at(-1)?.[0] ?? 0) > 0.1,
    expectRest: () => expect(driver.taken.at(-1)).toEqual([0, 0]),
  };
}

async function arm(): Promise<Setting> {
  const server = await RosbridgeServer.start({ port: 0 });
  const position = [0, 0];
  const taken: number[][] = [];
  server.subscribe('/command', (msg) => {
    position.splice(0, 2, ...(msg.data as number[]));
    taken.push([...position]);
  });
  const publish = server.advertise('/joint_states', 'sensor_msgs/JointState');
  const timer = setInterval(() => publish(jointState(header(), ['a', 'b'], position)), 5);
  closers.push(() => {
    clearInterval(timer);
    return server.close();
  });
  const robot = join(folder, 'arm.yaml');
  writeFileSync(
    robot,
    `
name: two
bridge: { url: '${server.url}' }
rate_hz: ${RATE_HZ}
joint_names: [a, b]
limits: { lower: [-9, -9], upper: [9, 9], velocity: [${VELOCITY}, ${VELOCITY}], acceleration: [${ACCELERATION}, ${ACCELERATION}] }
observation:
  - { topic: /joint_states, type: sensor_msgs/JointState, features: { observation.state: { length: 2 } } }
measured: observation.state
command: { topic: /command, type: std_msgs/Float64MultiArray, lifetime_ms: 500 }
deadlines: { no_data_ms: 3000, freshness_ms: 1500, inference_ms: 3000 }
`,
  );
  const steps = (): number[] => taken.slice(1).map((row, i) => (row[0]! - taken[i]![0]!) * RATE_HZ);
  return {
    robot,
    policy: writeTinyAct(join(folder, 'arm'), 2, [8, -8], RATE_HZ),
    url: server.url,
    taken,
    moving: () => (steps().at(-1) ?? 0) > 0.9 * VELOCITY,
    expectRest() {
      const speeds = steps();
      expect(Math.abs(speeds.at(-1)!)).toBeLessThan(0.01);
      // From full speed to rest by as much as the limit allows in each period, and no more.
      const braking = speeds.slice(speeds.findLastIndex((speed) => speed > 0.9 * VELOCITY));
      expect(braking.length).toBeGreaterThan(3);
      braking.slice(1).forEach((speed, i) => {
        expect(Math.abs(speed - braking[i]!)).toBeLessThan((ACCELERATION / RATE_HZ) * 1.001);
      });
    },
  };
}

/** Starts it with a recording and waits until the robot moves. */
async function running(setting: Setting, start: (record: string) => TendonProcess) {
  const record = join(folder, `${++count}.mcap`);
  const tendon = start(record);
  closers.push(() => tendon.child.kill('SIGKILL'));
  await until(() => `moving, ${tendon.output()}`, setting.moving, 30_000);
  return { tendon, record };
}

const tendonRun = (setting: Setting) => (record: string) =>
  startTendon([
    ...['run', '--policy', setting.policy, '--robot', setting.robot, '--bridge', setting.url],
    ...['--threads', '1', '--log', 'json', '--record', record],
  ]);

/** The recording ends with its summary and index, and the last command in it is the last that arrived. */
async function expectWhole(record: string, setting: Setting): Promise<void> {
  const recording = await Recording.open(record);
  let last: readonly number[] = [];
  for await (const { channel, body } of recording.events())
    if (channel === 'command' && body.fate === 'sent') last = [...readNumbers(body.values)];
  expect(recording.whole).toBe(true);
  expect(recording.summary).toBeDefined();
  expect(last).toEqual(setting.taken.at(-1)!);
}

describe.each([
  ['a base', base],
  ['an arm', arm],
])('%s under way', (_, make) => {
  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('is brought to rest by %s', async (signal) => {
    const setting = await make();
    const { tendon, record } = await running(setting, tendonRun(setting));
    tendon.child.kill(signal);
    expect(await tendon.ended()).toBe(0);
    expect(tendon.output()).toContain(signal);
    setting.expectRest();
    await expectWhole(record, setting);
  });

  test.each(['throw', 'reject'])(
    'is brought to rest by a program that %ss where nobody catches',
    async (how) => {
      const setting = await make();
      const { tendon, record } = await running(setting, (file) =>
        startTendon([setting.robot, setting.policy, setting.url, file, how], PROGRAM),
      );
      expect(await tendon.ended()).toBe(70);
      expect(tendon.output()).toContain('the session ends by a fault');
      setting.expectRest();
      await expectWhole(record, setting);
    },
  );

  test('goes on beside listeners that all throw', async () => {
    const setting = await make();
    const { tendon } = await running(setting, (file) =>
      startTendon([setting.robot, setting.policy, setting.url, file, 'listen'], PROGRAM),
    );
    const before = setting.taken.length;
    await wait(500);
    expect(setting.taken.length).toBeGreaterThan(before + 3);
    for (const emitter of ['supervisor', 'chunks', 'round trips'])
      expect(tendon.output()).toContain(`a listener of the ${emitter} failed`);
    expect(await tendon.end()).toBe(0);
    setting.expectRest();
  });
});

describe('before it began', () => {
  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('%s while connecting ends at once', async (signal) => {
    // It takes the connection and never answers the handshake.
    const deaf = createServer((socket) => socket.on('error', () => undefined));
    await new Promise<void>((resolve) => deaf.listen(0, '127.0.0.1', resolve));
    closers.push(() => deaf.close());
    const { port } = deaf.address() as { port: number };
    const policy = writeTinyAct(join(folder, 'base'), 5, [0.15, 0.1], 20);
    const tendon = startTendon([
      ...['run', '--policy', policy, '--robot', 'launch/diff-drive.yaml', '--threads', '1'],
      ...['--bridge', `ws://127.0.0.1:${port}`],
    ]);
    await until(tendon.output, () => tendon.output().includes('connecting to'));
    const began = performance.now();
    tendon.child.kill(signal);
    await tendon.ended();
    // The time-out of a connection is 5 s; it is not waited for.
    expect(performance.now() - began).toBeLessThan(4000);
    expect(tendon.output()).not.toContain('bug');
  });

  test('SIGTERM while a file is read ends it as it ends any program', async () => {
    const { execFileSync } = await import('node:child_process');
    const fifo = join(folder, 'robot.yaml');
    execFileSync('mkfifo', [fifo]);
    const tendon = startTendon(['run', '--policy', 'models/arm', '--robot', fifo]);
    await wait(1500);
    if (tendon.child.exitCode === null) tendon.child.kill('SIGTERM');
    await tendon.ended();
    // Either the file was refused for what it is, or the signal ended the process.
    expect(tendon.child.exitCode === 2 || tendon.child.signalCode === 'SIGTERM').toBe(true);
  });
});
