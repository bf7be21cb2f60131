// A link that stands still in one direction: no command may come out of it that is older than its lifetime. Whatever was
// on the way is reset with its connection, and what cannot be taken back, because the other end's machine has received
// it, is a few commands at most.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { parseRobotFile } from '../../src/robot/robot-file.js';
import { header, jointState, RosbridgeServer } from '../../src/rosbridge/index.js';
import { closedAfterEach, now_ns, until, wait } from './support.js';
import { type TcpProxy, tcpProxy } from './tcp-proxy.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
// From the built program, which has the socket's thread as a file of its own.
const { RosbridgeRobot, BridgeClient } = (await import(
  join(root, 'dist/rosbridge/index.js')
)) as typeof import('../../src/rosbridge/index.js');
const closers = closedAfterEach();

const LIFETIME_MS = 100;
const PERIOD_MS = 10;

/** The longest time for which this process was held up, which no promise about ages can include. */
function lagWatch(): () => number {
  let [last, longest] = [performance.now(), 0];
  const timer = setInterval(() => {
    const now_ms = performance.now();
    longest = Math.max(longest, now_ms - last - 5);
    last = now_ms;
  }, 5);
  closers.push(() => clearInterval(timer));
  return () => longest;
}

/** A robot behind a proxy that is commanded every 10 ms; `ages` are those of the commands that reached it, in ms. */
async function driven(socket_thread: boolean) {
  const server = await RosbridgeServer.start();
  closers.push(() => server.close());
  const proxy: TcpProxy = await tcpProxy(() => server.port);
  closers.push(() => proxy.close());
  const ages: number[] = [];
  server.subscribe('/command', (msg) => {
    ages.push(performance.now() - (msg.data as number[])[0]!);
  });
  const publish = server.advertise('/joint_states', 'sensor_msgs/JointState');
  const state = setInterval(() => publish(jointState(header(), ['a', 'b'], [0, 0])), 10);
  closers.push(() => clearInterval(state));
  const file = parseRobotFile(
    `
name: two
bridge: { url: 'ws://127.0.0.1:${proxy.port}', socket_thread: ${socket_thread} }
rate_hz: 100
joint_names: [a, b]
limits: { lower: [-3, -3], upper: [3, 3], velocity: [1, 1] }
observation:
  - { topic: /joint_states, type: sensor_msgs/JointState, features: { joint_position: { length: 2 } } }
command: { topic: /command, type: std_msgs/Float64MultiArray, lifetime_ms: ${LIFETIME_MS} }
deadlines: { freshness_ms: 500, no_data_ms: 2000 }
`,
    'two.yaml',
  );
  const robot = new RosbridgeRobot(file, { now_ns }, { backoff_ms: [5, 50] });
  closers.push(() => robot.close());
  await robot.connect();
  const driving = setInterval(() => {
    const stamp_ns = now_ns();
    const values = Float64Array.of(performance.now(), 0);
    robot.send({ stamp_ns, expires_ns: stamp_ns + LIFETIME_MS * 1e6, values });
  }, PERIOD_MS);
  closers.push(() => clearInterval(driving));
  await until('commands arrive', () => ages.length > 10);
  return { server, proxy, robot, ages, lag: lagWatch() };
}

describe.each([false, true])('socket thread: %s', (socket_thread) => {
  test('a link that loses everything towards the robot: nothing comes out of it that is older than its lifetime', async () => {
    const { proxy, robot, ages, lag } = await driven(socket_thread);
    for (let round = 0; round < 3; round++) {
      proxy.stall('up', 'lossy');
      await until('it was cut off', () => robot.client.counters().unread > round);
      await wait(1000);
      proxy.resume('up');
      const before = ages.length;
      await until('commands arrive again', () => ages.length > before + 20);
    }
    expect(Math.max(...ages)).toBeLessThan(LIFETIME_MS + lag());
    expect(robot.drops.backlog + robot.drops.offline).toBeGreaterThan(50);
  });

  test('an end that does not read: what its machine took is less than half a lifetime of commands', async () => {
    const { proxy, robot, ages, lag } = await driven(socket_thread);
    proxy.stall('up', 'unread');
    await until('it was cut off', () => robot.client.counters().unread > 0);
    await wait(1500);
    const before = ages.length;
    proxy.resume('up');
    await until('commands arrive again', () => ages.length > before + 30);
    const late = ages.filter((age) => age > LIFETIME_MS + lag());
    expect(late.length).toBeLessThanOrEqual(LIFETIME_MS / 2 / PERIOD_MS + 2);
  });

  test('pongs that do not come back are no reason to believe that commands arrive', async () => {
    const { proxy, robot, ages, lag } = await driven(socket_thread);
    proxy.stall('down', 'lossy');
    await until('it was cut off', () => robot.client.counters().unread > 0);
    proxy.resume('down');
    const before = ages.length;
    await until('commands arrive again', () => ages.length > before + 20);
    expect(Math.max(...ages)).toBeLessThan(LIFETIME_MS + lag());
  });
});

test('a command that waited for the socket’s thread is not written after it expired', async () => {
  const server = await RosbridgeServer.start();
  closers.push(() => server.close());
  const heard: unknown[] = [];
  server.subscribe('/command', (msg) => heard.push(msg.data));
  const client = new BridgeClient({ url: server.url, now_ns, socket_thread: true });
  closers.push(() => client.close());
  const publisher = client.advertise('/command', 'demo/Command', { channel: 'data' });
  await client.connect();
  publisher.publish({ data: 'young' }, 10_000);
  publisher.publish({ data: 'expired on the way' }, 0);
  publisher.publish({ data: 'young too' }, 10_000);
  await until('the young ones', () => heard.length === 2);
  await until('it is counted', () => client.counters().dropped_expired === 1);
  expect(heard).toEqual(['young', 'young too']);
});
