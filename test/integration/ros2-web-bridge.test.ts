// Against the server code of the npm package ros2-web-bridge 0.3.0, run for real in a process of its own; only rclnodejs
// under it, which needs a sourced ROS 2, is a stand-in.

import { type ChildProcess, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { parseRobotFile } from '../../src/robot/robot-file.js';
import { BridgeClient, type Message, RosbridgeRobot } from '../../src/rosbridge/index.js';
import { closedAfterEach, now_ns, until, wait } from './support.js';

const closers = closedAfterEach();

/** The package takes port 0 for 9090, so a free one is looked for first. */
function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

async function serve(port: number): Promise<ChildProcess> {
  const script = fileURLToPath(new URL('./ros2-web-bridge/serve.cjs', import.meta.url));
  const child = spawn(process.execPath, [script, String(port)], { stdio: ['ignore', 'pipe', 'pipe'] });
  closers.push(() => child.kill('SIGKILL'));
  let said = '';
  child.stdout?.on('data', (text) => {
    said += text;
  });
  child.stderr?.on('data', (text) => {
    said += text;
  });
  await until('the bridge', () => {
    if (child.exitCode !== null) throw new Error(`ros2-web-bridge ended: ${said}`);
    return said.includes('Websocket started');
  });
  return child;
}

async function connect(url: string): Promise<BridgeClient> {
  const client = new BridgeClient({ url, now_ns, backoff_ms: [5, 20] });
  closers.push(() => client.close());
  await client.connect();
  return client;
}

function robotFile(url: string) {
  return parseRobotFile(
    `
name: two
bridge: { url: '${url}' }
rate_hz: 50
joint_names: [a, b]
limits: { lower: [-3, -3], upper: [3, 3], velocity: [1, 1] }
observation:
  - { topic: /joint_states, type: sensor_msgs/JointState, features: { joint_position: { length: 2 } } }
command: { topic: /command, type: std_msgs/Float64MultiArray }
services: { reset: { name: /reset, type: std_srvs/Trigger } }
stop: { topic: /estop, service: /tendon/stop }
deadlines: { no_data_ms: 300, freshness_ms: 200, call_ms: 500 }`,
    'two.yaml',
  );
}

test('a robot is seen, commanded, reset, lost and found again', async () => {
  const port = await freePort();
  const url = `ws://127.0.0.1:${port}`;
  const child = await serve(port);
  const robot = new RosbridgeRobot(robotFile(url), { now_ns }, { backoff_ms: [5, 20] });
  closers.push(() => robot.close());
  await robot.connect();
  expect(robot.client.dialect?.name).toBe('ros2-web-bridge');
  const joints = () => Array.from(robot.latest()?.values.joint_position ?? []);
  expect(joints()).toEqual([1, 2]);
  const send = (...values: number[]) => {
    const stamp_ns = now_ns();
    return robot.send({ stamp_ns, expires_ns: stamp_ns + 50e6, values: Float64Array.from(values) });
  };
  expect(send(0.5, -0.5)).toBe(true);
  await until('the command to show', () => joints()[0] === 0.5 && joints()[1] === -0.5);
  expect(await robot.call('reset', {})).toEqual({ success: true, message: 'reset' });
  await until('the reset to show', () => joints()[0] === 1);

  child.kill('SIGKILL');
  await until('the loss', () => robot.latest() === undefined);
  // Commands have a connection of their own, whose end may be heard a moment later.
  await until('commands to be refused', () => !send(1, 1));
  await serve(port);
  await until('the robot again', () => joints()[0] === 1);
  expect(send(0.25, 0.25)).toBe(true);
  await until('the command to show', () => joints()[0] === 0.25);
  // Everything that was advertised, subscribed and published was taken: this server says when not.
  expect(robot.client.last_complaint).toBe('');
});

test('topics go both ways, and unsubscribing ends them', async () => {
  const port = await freePort();
  await serve(port);
  const [one, other] = [await connect(`ws://127.0.0.1:${port}`), await connect(`ws://127.0.0.1:${port}`)];
  const heard: Message[] = [];
  const stop = one.subscribe('/lamp', 'std_msgs/Bool', (msg) => heard.push(msg));
  const lamp = other.advertise('/lamp', 'std_msgs/msg/Bool');
  await until('the message', () => {
    lamp.publish({ data: true });
    return heard.length > 0;
  });
  expect(heard[0]).toEqual({ data: true });
  stop();
  // An answered call on the same connection: what was sent before it has been read.
  await one.call('/reset', 'std_srvs/Trigger');
  const { length } = heard;
  lamp.publish({ data: false });
  await other.call('/reset', 'std_srvs/Trigger');
  await wait(50);
  expect(heard).toHaveLength(length);
  expect([one.last_complaint, other.last_complaint]).toEqual(['', '']);
});

test('a message with a field missing is refused by the server, and we say so', async () => {
  const port = await freePort();
  await serve(port);
  const client = await connect(`ws://127.0.0.1:${port}`);
  client.advertise('/command', 'std_msgs/Float64MultiArray').publish({ data: [1, 2] });
  await until('the complaint', () => client.last_complaint !== '');
  expect(client.last_complaint).toContain('layout is missing');
});

test('services: ours are called, a stop among them; an unknown one is a timeout', async () => {
  const port = await freePort();
  const url = `ws://127.0.0.1:${port}`;
  await serve(port);
  const robot = new RosbridgeRobot(robotFile(url), { now_ns });
  closers.push(() => robot.close());
  const stops: string[] = [];
  robot.onOperator({ stop: (cause) => stops.push(cause), beat: () => undefined });
  await robot.connect();
  const other = await connect(url);
  expect(await other.call('/tendon/stop', 'std_srvs/srv/Trigger')).toEqual({
    success: true,
    message: 'stopped',
  });
  expect(stops).toEqual(['stopped by a call of /tendon/stop']);
  const estop = other.advertise('/estop', 'std_msgs/Bool');
  await until('the stop by topic', () => {
    estop.publish({ data: true });
    return stops.includes('stopped by /estop');
  });
  // This server never answers for a service that nobody offers.
  await expect(other.call('/nobody', 'std_srvs/Trigger', {}, 200)).rejects.toMatchObject({
    code: 'bridge_timeout',
  });
});
