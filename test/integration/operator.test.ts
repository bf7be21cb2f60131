// What a person can do to a running robot from outside: stop it by topic, by service and by key, let go of the
// heartbeat; and a controller whose commands are the executor's. Real sockets throughout.

import { createSocket } from 'node:dgram';
import type { AddressInfo } from 'node:net';
import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { listenToKeys } from '../../src/cli/keys.js';
import { Controller, Leader, MonotonicClock } from '../../src/control/index.js';
import { addon } from '../../src/native/index.js';
import { parseRobotFile } from '../../src/robot/robot-file.js';
import {
  BridgeClient,
  header,
  jointState,
  type Message,
  RosbridgeRobot,
  RosbridgeServer,
} from '../../src/rosbridge/index.js';
import { ExecutorSink, RealTimeExecutor } from '../../src/sinks/index.js';
import type { ActionChunk, CommandSink, Observation, Policy, RobotFile } from '../../src/types/index.js';
import { closedAfterEach, until, wait } from './support.js';

const closers = closedAfterEach();
const clock = new MonotonicClock();
const now_ns = () => clock.now_ns();

/** Creeps on from where the robot is. */
const creeping: Policy = {
  spec: {
    family: 'creeping',
    n_obs_steps: 1,
    horizon: 16,
    n_action_steps: 8,
    action_dim: 2,
    observation_dims: { joint_position: 2 },
    image_shapes: {},
    goal_dims: {},
    rate_hz: 50,
  },
  reset: () => undefined,
  close: () => undefined,
  async infer(window): Promise<ActionChunk> {
    const newest = (window as readonly Observation[]).at(-1)!;
    const [a, b] = newest.values.joint_position!;
    return {
      stamp_ns: newest.stamp_ns,
      period_ns: 20e6,
      horizon: 16,
      action_dim: 2,
      actions: Float32Array.from({ length: 32 }, (_, i) => (i % 2 === 0 ? a! : b!) + 0.005 * (i >> 1)),
      n_candidates: 1,
      chosen: 0,
      timing: { queue_ns: 0, observe_ns: 0, denoise_ns: 0, total_ns: 0 },
    };
  },
};

/** Two joints that go where they are told, with every way in for a person. */
async function running(more = '', sinkOf?: (robot: RosbridgeRobot, file: RobotFile) => CommandSink) {
  const server = await RosbridgeServer.start({ port: 0 });
  const position = [0, 0];
  const commands: Message[] = [];
  server.subscribe('/command', (msg) => {
    commands.push(msg);
    position.splice(0, 2, ...(msg.data as number[]));
  });
  const publish = server.advertise('/joint_states', 'sensor_msgs/JointState');
  const timer = setInterval(() => publish(jointState(header(), ['a', 'b'], position)), 5);
  const file = parseRobotFile(
    `
name: two
bridge: { url: '${server.url}' }
rate_hz: 100
joint_names: [a, b]
limits: { lower: [-3, -3], upper: [3, 3], velocity: [1, 1], acceleration: [10, 10] }
observation:
  - { topic: /joint_states, type: sensor_msgs/JointState, features: { joint_position: { length: 2 } } }
command: { topic: /command, type: std_msgs/Float64MultiArray }
deadlines: { no_data_ms: 300, freshness_ms: 150 }
${more}`,
    'two.yaml',
  );
  const robot = new RosbridgeRobot(file, clock, { backoff_ms: [5, 20] });
  const controller = new Controller({
    robot,
    policy: creeping,
    clock,
    limits: file.limits,
    rate_hz: file.rate_hz,
    position_key: 'joint_position',
    freshness_ms: file.deadlines.freshness_ms,
    inference_ms: 500,
    lifetime_ms: 100,
    operator_timeout_ms: file.operator_heartbeat?.timeout_ms,
    sink: sinkOf?.(robot, file),
    stop_topic: file.stop?.topic !== undefined,
  });
  closers.push(async () => {
    clearInterval(timer);
    clearInterval(poll);
    await controller.stop();
    await robot.close();
    await server.close();
  });
  const leader = file.teleop && new Leader(file.teleop, controller);
  const poll = setInterval(() => leader?.poll(now_ns()), 10);
  robot.onOperator({
    stop: (cause) => controller.emergencyStop(cause),
    beat: () => controller.operatorBeat(),
    leader: (reading) => leader?.onReading(reading, now_ns()),
    clutch: (closed) => leader?.onClutch(closed),
  });
  await robot.connect();
  controller.start();
  const start = async () => {
    await until('READY', () => controller.supervisor.state === 'READY');
    controller.go();
    await until('RUNNING', () => controller.supervisor.state === 'RUNNING');
  };
  return { server, robot, controller, commands, position, file, start };
}

async function client(url: string): Promise<BridgeClient> {
  const other = new BridgeClient({ url, now_ns });
  closers.push(() => other.close());
  await other.connect();
  return other;
}

describe('an emergency stop from outside', () => {
  test('by topic: true stops, latched; false does not', async () => {
    const { server, controller, commands, start } = await running(
      'stop: { topic: /estop, type: std_msgs/Bool }',
    );
    await start();
    const press = server.advertise('/estop', 'std_msgs/Bool');
    press({ data: false });
    await until('commands', () => commands.length > 20);
    expect(controller.supervisor.state).toBe('RUNNING');
    press({ data: true });
    await until('STOPPED', () => controller.supervisor.state === 'STOPPED');
    expect(controller.supervisor.cause).toContain('/estop');
    // Counted where they leave: none after the message was read.
    const sent = controller.stats.commands;
    press({ data: false });
    controller.resume();
    controller.go();
    await wait(100);
    expect(controller.supervisor.state).toBe('STOPPED');
    expect(controller.stats.commands).toBe(sent);
  });

  test('by a service that the client offers, still offered after a reconnect', async () => {
    const { server, controller, robot, start } = await running('stop: { service: /tendon/stop }');
    await start();
    const { port } = new URL(server.url);
    await server.close();
    await until('the loss', () => controller.supervisor.state === 'HOLD');
    const again = await RosbridgeServer.start({ port: Number(port) });
    closers.push(() => again.close());
    const other = await client(again.url);
    // Three sockets: what is observed, commands, and what may stop them.
    await until('the service', () => robot.client.counters().opened === 6);
    const called = (): Promise<Message> =>
      other.call('/tendon/stop', 'std_srvs/Trigger').catch(async () => {
        await wait(10);
        return called();
      });
    expect(await called()).toEqual({ success: true, message: 'stopped' });
    expect(controller.supervisor.state).toBe('STOPPED');
    await expect(other.call('/tendon/start', 'std_srvs/Trigger', {}, 300)).rejects.toThrow('/tendon/start');
  });

  test('by a key; what was typed with it changes nothing', () => {
    const input = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => input }) as never;
    const said: string[] = [];
    const actions = {
      stop: () => said.push('stop'),
      hold: () => said.push('hold'),
      resume: () => said.push('resume'),
      question: () => said.push('question'),
      clear: () => said.push('clear'),
      quit: () => said.push('quit'),
    };
    const letGo = listenToKeys(input, actions as never);
    const type = (text: string) => (input as PassThrough).emit('data', Buffer.from(text));
    for (const text of ['h', 'r', 'x', ' ', 's', 'r r', 'hr', '\u0003']) type(text);
    expect(said).toEqual(['hold', 'resume', 'stop', 'stop', 'stop', 'hold', 'quit']);
    said.length = 0;
    // Clearing takes two keys, one after the other, with nothing between them.
    for (const text of ['y', 'cy', 'c', 'x', 'y', 'c', ' ', 'y', 'c', 'y', 'y']) type(text);
    expect(said).toEqual(['question', 'question', 'stop', 'question', 'clear']);
    letGo?.();
    type(' ');
    expect(said).toHaveLength(5);
    expect(listenToKeys({ ...actions, isTTY: false } as never, actions as never)).toBeUndefined();
  });
});

test('an operator who falls silent holds the robot until a person says otherwise', async () => {
  const { server, controller, start } = await running(
    'operator_heartbeat: { topic: /operator, timeout_ms: 80 }',
  );
  const { supervisor } = controller;
  const beat = server.advertise('/operator', 'std_msgs/Empty');
  let there = true;
  const timer = setInterval(() => there && beat({}), 10);
  closers.push(() => clearInterval(timer));
  await wait(60);
  await start();
  there = false;
  await until('HOLD', () => supervisor.state === 'HOLD');
  expect(supervisor.counts.operator_silent).toBe(1);
  controller.resume();
  await until('held again', () => supervisor.counts.operator_silent === 2);
  there = true;
  await wait(100);
  expect(supervisor.state).toBe('HOLD');
  controller.resume();
  await wait(60);
  expect(supervisor.state).toBe('RUNNING');
});

test('the executor drives what the controller decides: chunks, hold, stop', async () => {
  const socket = createSocket('udp4');
  await new Promise<void>((bound) => socket.bind(0, '127.0.0.1', bound));
  closers.push(() => socket.close());
  const got: { phase: number; values: number[] }[] = [];
  socket.on('message', (bytes) =>
    got.push({ phase: bytes.readUInt16LE(6), values: [bytes.readDoubleLE(32), bytes.readDoubleLE(40)] }),
  );
  const executors: RealTimeExecutor[] = [];
  const { controller, start, commands } = await running('', (robot, file) => {
    const port = new (addon().Executor)({
      joints: 2,
      rate_hz: 500,
      limits: file.limits,
      udp: { host: '127.0.0.1', port: (socket.address() as AddressInfo).port },
    });
    const executor = new RealTimeExecutor(port, clock);
    executors.push(executor);
    const sink = new ExecutorSink({ executor, executor_hz: 500, robot, publish_hz: 50, rate_hz: 100, clock });
    closers.push(() => {
      sink.close();
      executor.close();
    });
    return sink;
  });
  const executor = executors[0]!;
  executor.start();
  await start();
  // Datagrams at the executor's rate; rosbridge gets the newest now and then, and the robot moves by those.
  await until('motion', () => got.some(({ values }) => values[0]! > 0.02));
  expect(commands.length).toBeGreaterThan(0);
  expect(commands.length).toBeLessThan(got.length);
  controller.hold();
  await until('the hold', () => got.at(-1)!.phase === 2 && got.at(-1)!.values[0] === got.at(-2)!.values[0]);
  controller.resume();
  await until('motion again', () => got.at(-1)!.phase === 1);
  controller.emergencyStop();
  expect(controller.supervisor.state).toBe('STOPPED');
  await until('silence', () => executor.stats().phase === 'stopped');
  const { commands: count } = executor.stats();
  await wait(50);
  expect(executor.stats().commands).toBe(count);
});

test('a second arm with a clutch takes over, drives and gives back, over real topics', async () => {
  const { server, controller, position, start } = await running(
    'teleop: { topic: /leader, type: sensor_msgs/JointState, mode: relative, scale: 0.5, clutch: { topic: /clutch }, timeout_ms: 200 }',
  );
  const { supervisor } = controller;
  const arm = [1, 2];
  const move = server.advertise('/leader', 'sensor_msgs/JointState');
  const timer = setInterval(() => move(jointState(header(), ['b', 'a'], [arm[1]!, arm[0]!])), 10);
  closers.push(() => clearInterval(timer));
  const clutch = server.advertise('/clutch', 'std_msgs/Bool');
  await start();
  await wait(100);
  expect(supervisor.state).toBe('RUNNING');
  clutch({ data: true });
  await until('TELEOP', () => supervisor.state === 'TELEOP');
  await wait(300);
  const held = [...position];
  arm[0] = 1.4;
  await until('the move', () => Math.abs(position[0]! - held[0]! - 0.2) < 1e-6);
  expect(position[1]).toBeCloseTo(held[1]!, 6);
  clutch({ data: false });
  await until('RUNNING', () => supervisor.state === 'RUNNING');
  clutch({ data: true });
  await until('TELEOP', () => supervisor.state === 'TELEOP');
  // The cable is pulled: the policy does not take over because a cable broke.
  clearInterval(timer);
  await until('HOLD', () => supervisor.state === 'HOLD');
  expect(supervisor.counts.takeover_silent).toBe(1);
  await wait(300);
  expect(supervisor.state).toBe('HOLD');
  controller.resume();
  await until('RUNNING', () => supervisor.state === 'RUNNING');
});

test('a leader that cannot be one is refused when the file is read', async () => {
  const refused = (teleop: string, why: string) => expect(running(`teleop: ${teleop}`)).rejects.toThrow(why);
  await refused('{ topic: /l, type: geometry_msgs/Twist }', 'axes');
  await refused('{ topic: /l, type: sensor_msgs/Joy, axes: [axes.0] }', 'one for each of');
  await refused('{ topic: /l, type: geometry_msgs/Twist, axes: [linear.w, null] }', 'an axis such as');
  await refused('{ topic: /l, type: sensor_msgs/Image }', 'teleop.type');
  await refused('{ topic: /l, type: sensor_msgs/JointState, share: { kind: blend, share: 2 } }', 'share');
});
