// Against a real rosbridge_suite, where one is running: TENDON_ROSBRIDGE_SUITE=ws://127.0.0.1:9090 names it, with rosapi
// beside it. The robot is another client of the same bridge. docs/protocol.md says which versions this was run with.

import { describe, expect, test } from 'vitest';
import { Controller, MonotonicClock } from '../../src/control/index.js';
import { parseRobotFile } from '../../src/robot/robot-file.js';
import { epochStamp } from '../../src/rosbridge/codec/time.js';
import { BridgeClient, type Message, RosbridgeRobot } from '../../src/rosbridge/index.js';
import type { Observation, Policy, RobotStatus } from '../../src/types/index.js';
import { closedAfterEach, until, wait } from './support.js';
import { tcpProxy } from './tcp-proxy.js';

const url = process.env.TENDON_ROSBRIDGE_SUITE;
const closers = closedAfterEach();
const clock = new MonotonicClock();
const now_ns = () => clock.now_ns();
let count = 0;

const still: Policy = {
  spec: {
    family: 'still',
    n_obs_steps: 1,
    horizon: 8,
    n_action_steps: 4,
    action_dim: 2,
    observation_dims: { joint_position: 2 },
    image_shapes: {},
    goal_dims: {},
    rate_hz: 20,
  },
  reset: () => undefined,
  close: () => undefined,
  infer: async (window) => ({
    stamp_ns: (window as readonly Observation[]).at(-1)!.stamp_ns,
    period_ns: 50e6,
    horizon: 8,
    action_dim: 2,
    actions: new Float32Array(16).fill(0.5),
    n_candidates: 1,
    chosen: 0,
    timing: { queue_ns: 0, observe_ns: 0, denoise_ns: 0, total_ns: 0 },
  }),
};

/** A robot on the bridge, with topics of its own, for nothing that an earlier test left behind to meet. */
async function driver() {
  const name = `/tendon_${process.pid}_${++count}`;
  const client = new BridgeClient({ url: url!, now_ns });
  closers.push(() => client.close());
  await client.connect();
  await until('the dialect', () => client.dialect !== undefined);
  const commands: { readonly at_ms: number; readonly msg: Message }[] = [];
  const hear = (type: string): void => {
    client.subscribe(`${name}/command`, type, (msg) => commands.push({ at_ms: Date.now(), msg }));
  };
  const joints = client.advertise(`${name}/joint_states`, 'sensor_msgs/JointState');
  const timer = setInterval(() => {
    const header = { seq: 0, stamp: epochStamp(), frame_id: '' };
    joints.publish({ header, name: ['a', 'b'], position: [0.1, -0.1], velocity: [], effort: [] });
  }, 10);
  closers.push(() => clearInterval(timer));
  const stop = client.advertise(`${name}/estop`, 'std_msgs/Bool', { latch: true });
  return { name, client, commands, hear, stop };
}

const TRAJECTORY = 'trajectory_msgs/JointTrajectory';

function tendon(name: string, type = TRAJECTORY, through = url!) {
  const file = parseRobotFile(
    `
name: one
bridge: { url: '${through}' }
rate_hz: 50
joints:
  a: { lower: -3, upper: 3, velocity: 1, acceleration: 8 }
  b: { lower: -3, upper: 3, velocity: 1, acceleration: 8 }
observation:
  - { topic: ${name}/joint_states, type: sensor_msgs/JointState, features: { joint_position: { length: 2 } } }
command: { topic: ${name}/command, type: ${type}${type === TRAJECTORY ? ', reach_ms: 40' : ''} }
stop: { topic: ${name}/estop, type: std_msgs/Bool, service: ${name}/stop }
deadlines: { connect_ms: 8000 }
`,
    'one.yaml',
  );
  const robot = new RosbridgeRobot(file, clock, { backoff_ms: [5, 50] });
  const statuses: RobotStatus[] = [];
  robot.onStatus((status) => statuses.push(status));
  const controller = new Controller({
    robot,
    policy: still,
    clock,
    limits: file.limits,
    rate_hz: file.rate_hz,
    position_key: 'joint_position',
    freshness_ms: file.deadlines.freshness_ms,
    inference_ms: 500,
    lifetime_ms: file.command.lifetime_ms,
    stop_topic: true,
  });
  robot.onOperator({
    stop: (cause) => controller.stopState(true, cause),
    beat: () => controller.operatorBeat(),
    clear: () => controller.stopState(false),
  });
  closers.push(async () => {
    await controller.stop();
    await robot.close();
  });
  const state = () => controller.supervisor.state;
  return { robot, controller, state, status: () => statuses.at(-1)! };
}

async function running(through = url!) {
  const driven = await driver();
  driven.hear(TRAJECTORY);
  await wait(500);
  const one = tendon(driven.name, TRAJECTORY, through);
  await one.robot.connect();
  await until('everything in place', () => one.status().connected, 10_000);
  one.controller.start();
  await until('READY', () => one.state() === 'READY');
  one.controller.go();
  await until('commands', () => driven.commands.length > 10);
  return { ...driven, ...one };
}

const missing = url === undefined ? ' (skipped: TENDON_ROSBRIDGE_SUITE names no bridge)' : '';
describe.skipIf(url === undefined)(`a real rosbridge_suite${missing}`, () => {
  test('it is known for what it is, by rosapi, and commands arrive whole, stamped and young', async () => {
    const { robot, commands, controller } = await running();
    console.log(`dialect ${robot.client.dialect?.name}, clock by ${robot.client.clock.source}`);
    expect(robot.client.dialect?.name).toMatch(/^rosbridge_suite_ros[12]$/);
    expect(robot.client.clock.source).toBe('rosapi');
    expect(controller.state).toBe('RUNNING');
    await until('more', () => commands.length > 100);
    const ages = commands.slice(-50).map(({ at_ms, msg }) => {
      const { stamp } = msg.header as { stamp: Record<string, number> };
      return at_ms - ((stamp.secs ?? stamp.sec)! * 1e3 + (stamp.nsecs ?? stamp.nanosec)! / 1e6);
    });
    console.log(`age of a command at the robot: worst of 50 ${Math.max(...ages).toFixed(1)} ms`);
    expect(Math.min(...ages)).toBeGreaterThan(-50);
    const { joint_names, points } = commands.at(-1)!.msg as { joint_names: string[]; points: Message[] };
    expect(joint_names).toEqual(['a', 'b']);
    expect((points[0]!.positions as number[]).every(Number.isFinite)).toBe(true);
  });

  test('nothing moves while nobody subscribes to the command topic, and that is said', async () => {
    const { name, hear, commands } = await driver();
    const { robot, status } = tendon(name);
    await robot.connect();
    expect(status()).toMatchObject({ connected: false, cause: expect.stringMatching(/nobody subscribes/) });
    hear(TRAJECTORY);
    await until('a subscriber', () => status().connected, 10_000);
    expect(commands.length).toBe(0);
  });

  test('a second publisher on the command topic is refused', async () => {
    const { name, client, hear } = await driver();
    hear(TRAJECTORY);
    client.advertise(`${name}/command`, TRAJECTORY);
    await wait(1000);
    const { robot } = tendon(name);
    await expect(robot.connect()).rejects.toThrow(/is published by another already/);
  });

  test('a stop on the topic, and by the service, ends commands', async () => {
    for (const way of ['topic', 'service'] as const) {
      const { name, client, state, stop, commands } = await running();
      if (way === 'topic') stop.publish({ data: true });
      else expect(await client.call(`${name}/stop`, 'std_srvs/Trigger')).toMatchObject({ success: true });
      await until(`STOPPED by ${way}`, () => state() === 'STOPPED');
      await wait(300);
      const { length } = commands;
      await wait(300);
      expect(commands.length).toBe(length);
    }
  });

  test('a latched stop from before is heard on connecting, and one from while the line was cut after it', async () => {
    const { name, hear, stop } = await driver();
    hear(TRAJECTORY);
    stop.publish({ data: true });
    await wait(500);
    const early = tendon(name);
    early.controller.start();
    await early.robot.connect();
    await until('the stop from before', () => early.state() === 'STOPPED');

    const { hostname, port } = new URL(url!);
    expect(hostname).toMatch(/^(127\.0\.0\.1|localhost)$/);
    const proxy = await tcpProxy(() => (away ? 1 : Number(port)));
    closers.push(() => proxy.close());
    let away = false;
    const later = await running(`ws://127.0.0.1:${proxy.port}`);
    away = true;
    proxy.cut();
    await until('the loss', () => !later.status().connected);
    later.stop.publish({ data: true });
    await wait(300);
    away = false;
    await until('the stop from meanwhile', () => later.state() === 'STOPPED', 10_000);
  });

  test('trajectory goals: ROS 1 has no actions here, which is refused at start', async () => {
    const { name, client } = await driver();
    if (client.dialect?.actions !== false) return;
    const { robot } = tendon(name, 'control_msgs/FollowJointTrajectory');
    await expect(robot.connect()).rejects.toThrow(/is an action, and rosbridge_suite_ros1 has none/);
  });

  test('a type it does not know, and junk, cost neither it nor this client anything', async () => {
    const { client, commands } = await running();
    client.advertise('/tendon_nonsense', 'no_such_msgs/Nothing');
    client.subscribe('/tendon_nonsense_2', 'no_such_msgs/Nothing', () => undefined);
    await expect(client.call('/no_such_service', 'std_srvs/Trigger')).rejects.toThrow(/no_such_service/);
    const { length } = commands;
    await until('commands go on', () => commands.length > length + 20);
  });
});
