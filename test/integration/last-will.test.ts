// However `tendon run` ends while the robot moves, by a signal, by a fault in a program or while it still connects: a base
// is told zero, an arm brakes within its limits, and the recording is whole. Real processes, real sockets.

import { createSocket } from 'node:dgram';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { readNumbers } from '../../src/record/events.js';
import { Recording } from '../../src/record/index.js';
import { header, jointState, RosbridgeServer } from '../../src/rosbridge/index.js';
import { FAKE_DRIVERS } from './fake-drivers.js';
import { closedAfterEach } from './support.js';
import { MAIN, startTendon, type TendonProcess, until, wait } from './tendon-process.js';
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

/** How its commands leave; `direct` as messages on a topic. */
type Way = 'direct' | 'executor' | 'goals' | 'dry';

const COMMAND: Record<Way, string> = {
  direct: 'command: { topic: /command, type: std_msgs/Float64MultiArray, lifetime_ms: 500 }',
  dry: 'command: { topic: /command, type: std_msgs/Float64MultiArray, lifetime_ms: 500 }',
  executor:
    'command: { topic: /command, type: std_msgs/Float64MultiArray, lifetime_ms: 500 }\nexecutor: { rate_hz: 100, udp: { host: 127.0.0.1, port: PORT } }',
  goals:
    'command: { topic: /follow, type: control_msgs/FollowJointTrajectory, interval_ms: 200, ahead_ms: 1200, lifetime_ms: 500 }',
};

async function arm(way: Way = 'direct'): Promise<Setting> {
  const server = await RosbridgeServer.start({ port: 0 });
  let position = [0, 0];
  const taken: number[][] = [];
  const take = (values: readonly number[]): void => {
    position = [...values];
    taken.push(position);
  };
  server.subscribe('/command', (msg) => take(msg.data as number[]));
  const socket = createSocket('udp4');
  socket.on('message', (bytes) => take([bytes.readDoubleLE(32), bytes.readDoubleLE(40)]));
  await new Promise<void>((bound) => socket.bind(0, '127.0.0.1', bound));
  // A trajectory controller: each goal in place of the one before, followed by its stamp.
  let plan: { readonly start_ms: number; readonly points: readonly number[][] } | undefined;
  const onPlan = (at_ms: number): number[] => {
    if (plan === undefined) return position;
    const step = Math.floor(((at_ms - plan.start_ms) / 1e3) * RATE_HZ);
    return plan.points[Math.min(step, plan.points.length) - 1] ?? position;
  };
  server.action('/follow', 'control_msgs/FollowJointTrajectory', (args) => {
    const { header: head, points } = args.trajectory as {
      header: { stamp: { sec: number; nanosec: number } };
      points: { positions: number[]; velocities: number[] }[];
    };
    const start_ms = head.stamp.sec * 1e3 + head.stamp.nanosec / 1e6;
    plan = { start_ms, points: points.map(({ positions }) => positions) };
    expect(points.at(-1)!.velocities).toEqual([0, 0]);
    return Promise.resolve({ error_code: 0 });
  });
  const follower = setInterval(() => {
    if (plan !== undefined) take(onPlan(Date.now()));
  }, 1e3 / RATE_HZ);
  const publish = server.advertise('/joint_states', 'sensor_msgs/JointState');
  const timer = setInterval(() => publish(jointState(header(), ['a', 'b'], position)), 5);
  closers.push(() => {
    for (const one of [timer, follower]) clearInterval(one);
    socket.close();
    return server.close();
  });
  const robot = join(folder, `arm-${way}.yaml`);
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
${COMMAND[way].replace('PORT', String(socket.address().port))}
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

/** It ends with its summary and index. */
async function isWhole(record: string): Promise<boolean> {
  const recording = await Recording.open(record);
  for await (const _ of recording.events());
  return recording.whole;
}

describe.each([
  ['a base', base],
  ['an arm', () => arm()],
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
      tendon.child.kill('SIGUSR2');
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

describe('an arm that is commanded another way, and a fault that nobody catches', () => {
  const withSink = (setting: Setting, way: Way) => (record: string) =>
    startTendon([setting.robot, setting.policy, setting.url, record, 'throw', way], PROGRAM);

  test.each(['executor', 'goals'] as const)('%s: it is brought to rest, and stays there', async (way) => {
    const setting = await arm(way);
    const moved = { ...setting, moving: () => Math.abs(setting.taken.at(-1)?.[0] ?? 0) > 0.1 };
    const { tendon, record } = await running(moved, withSink(setting, way));
    tendon.child.kill('SIGUSR2');
    expect(await tendon.ended()).toBe(70);
    expect(tendon.output()).toContain('the session ends by a fault');
    // The last that it was told is to stay where it is.
    const [before, last] = setting.taken.slice(-2);
    expect(Math.abs(last![0]! - before![0]!)).toBeLessThan(1e-9);
    await wait(500);
    expect(setting.taken.at(-1)).toEqual(last);
    expect(await isWhole(record)).toBe(true);
  });

  test('dry: nothing ever leaves, and the recording is whole', async () => {
    const setting = await arm('dry');
    const { tendon, record } = await running({ ...setting, moving: () => true }, withSink(setting, 'dry'));
    await until(tendon.output, () => tendon.output().includes('READY → RUNNING'));
    await wait(300);
    tendon.child.kill('SIGUSR2');
    expect(await tendon.ended()).toBe(70);
    expect(setting.taken).toEqual([]);
    expect(await isWhole(record)).toBe(true);
  });
});

describe('commands that end when they are told to', () => {
  /** Throws where nobody catches when it hears SIGUSR2. */
  const FAULT =
    "data:text/javascript,process.on('SIGUSR2',()=>setImmediate(()=>{throw new Error('nobody catches this')}))";
  const faulty = (...args: readonly string[]) => startTendon([FAULT, MAIN, ...args], '--import');

  test('start: the robot comes to rest, the recording is closed, and it says what it ends by', async () => {
    const record = join(folder, 'start.mcap');
    const tendon = faulty('start', '--port', '0', '--threads', '1', '--record', record);
    closers.push(() => tendon.child.kill('SIGKILL'));
    await until(tendon.output, () => tendon.output().includes('the page:'), 60_000);
    await wait(1000);
    tendon.child.kill('SIGUSR2');
    expect(await tendon.ended()).toBe(70);
    expect(tendon.output()).toContain('nobody catches this');
    expect(await isWhole(record)).toBe(true);
  });

  test('serve: it takes leave of its clients', async () => {
    const policy = writeTinyAct(join(folder, 'served'), 2, [0, 0], RATE_HZ);
    const tendon = faulty('serve', policy, '--port', '0', '--threads', '1');
    closers.push(() => tendon.child.kill('SIGKILL'));
    await until(tendon.output, () => /ws:\/\/\S+/.test(tendon.output()));
    const client = new WebSocket(/ws:\/\/\S+/.exec(tendon.output())![0]);
    let code = 0;
    client.on('close', (said) => {
      code = said;
    });
    await new Promise((resolve) => client.once('open', resolve));
    tendon.child.kill('SIGUSR2');
    expect(await tendon.ended()).toBe(70);
    expect(tendon.output()).toContain('nobody catches this');
    // A close of the protocol, not a line that broke (1006).
    await until(
      () => `closed, with ${code}`,
      () => code !== 0,
    );
    expect(code).not.toBe(1006);
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
