// Frames that are too deep or too long on an observed topic: refused before they are parsed, in the process and in the
// socket's thread, and a stop that is published behind them is heard. A thread that no longer answers is replaced.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { parseRobotFile } from '../../src/robot/robot-file.js';
import { RosbridgeServer } from '../../src/rosbridge/index.js';
import { type StandIn, standIn } from './rosbridge-stand-in.js';
import { closedAfterEach, now_ns, until } from './support.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
// From the built program, which has the socket's thread as a file of its own.
const { RosbridgeRobot, BridgeClient } = (await import(
  join(root, 'dist/rosbridge/index.js')
)) as typeof import('../../src/rosbridge/index.js');
const closers = closedAfterEach();

async function connected(socket_thread: boolean) {
  const server: StandIn = await standIn({ ros: 2, rosapi: 0, subscribers: { '/command': ['/driver'] } });
  closers.push(() => server.close());
  const timer = setInterval(() => server.joints('/joint_states', ['a'], [1]), 10);
  closers.push(() => clearInterval(timer));
  const file = parseRobotFile(
    `
name: one
bridge: { url: '${server.url}', socket_thread: ${socket_thread} }
rate_hz: 50
joints: { a: { lower: -3, upper: 3, velocity: 1 } }
observation:
  - { topic: /joint_states, type: sensor_msgs/JointState, features: { joint_position: { length: 1 } } }
command: { topic: /command, type: std_msgs/Float64MultiArray }
stop: { topic: /stop }
`,
    'one.yaml',
  );
  const robot = new RosbridgeRobot(file, { now_ns }, { backoff_ms: [5, 50] });
  closers.push(() => robot.close());
  const stops: string[] = [];
  robot.onOperator({ stop: (cause) => stops.push(cause), beat: () => undefined });
  await robot.connect();
  return { server, robot, stops };
}

const deep = (levels: number): string =>
  `{"op":"publish","topic":"/joint_states","msg":{"x":${'[{"y":'.repeat(levels / 2)}1${'}]'.repeat(levels / 2)}}}`;

describe.each([false, true])('socket thread: %s', (socket_thread) => {
  test('6,000 levels, again and again: refused, the robot is still seen, and the stop is heard', async () => {
    const { server, robot, stops } = await connected(socket_thread);
    for (let i = 0; i < 50; i++) server.frame('/joint_states', deep(6000));
    await until('they are refused', () => robot.client.counters().malformed >= 50);
    expect(robot.client.last_malformed).toContain('48 levels');
    const { samples } = robot.streamCounters()['/joint_states']!;
    await until('joints are seen', () => robot.streamCounters()['/joint_states']!.samples > samples + 5);
    server.publish('/stop', { data: true });
    await until('the stop', () => stops.length > 0);
    expect(robot.client.counters()).toMatchObject({ threads_lost: 0, silent: 0 });
  });

  test('a list of 50 MB: refused unread, while the stop is heard on its own connection', async () => {
    const { server, robot, stops } = await connected(socket_thread);
    const numbers = Buffer.alloc(50 * 1024 * 1024, '1,');
    const frame = Buffer.concat([
      Buffer.from('{"op":"publish","topic":"/joint_states","msg":{"position":['),
      numbers,
      Buffer.from('1]}}'),
    ]);
    for (let i = 0; i < 3; i++) server.frame('/joint_states', frame);
    server.publish('/stop', { data: true });
    await until('the stop', () => stops.length > 0);
    await until('they are refused', () => robot.client.counters().malformed >= 3);
    expect(robot.client.last_malformed).toContain('refused unread');
    expect(robot.client.counters().threads_lost).toBe(0);
  });
});

test('a thread that is caught is replaced, and messages come again', async () => {
  const threads: Worker[] = [];
  const remember = (worker: Worker) => threads.push(worker);
  process.on('worker', remember);
  closers.push(() => process.off('worker', remember));
  const server = await RosbridgeServer.start();
  closers.push(() => server.close());
  const publish = server.advertise('/joints', 'demo/Joints');
  let sequence = 0;
  const timer = setInterval(() => publish({ sequence: ++sequence }), 5);
  closers.push(() => clearInterval(timer));
  const client = new BridgeClient({
    url: server.url,
    now_ns,
    socket_thread: true,
    backoff_ms: [5, 50],
    ping_timeout_ms: 500,
  });
  closers.push(() => client.close());
  let newest = 0;
  const causes: string[] = [];
  client.subscribe('/joints', 'demo/Joints', (msg) => {
    newest = Number(msg.sequence);
  });
  client.onStatus(({ connected: up, cause }) => up || causes.push(cause));
  await client.connect();
  await until('messages come', () => newest > 5);
  // Nothing that comes by a socket can catch a thread any more; to this process a caught one is one that says nothing.
  threads.at(-1)!.removeAllListeners('message');
  await until('it was replaced', () => client.counters().threads_lost === 1);
  expect(causes).toEqual(["the socket's thread has said nothing for 500 ms"]);
  const lost_at = sequence;
  await until('messages come again', () => newest > lost_at + 5);
  expect(threads).toHaveLength(2);
});
