// What has to be known before a robot moves: which server it is, by what it says and not by its silence; who hears
// commands and stops; who else commands; how old what is observed may be.

import { describe, expect, test } from 'vitest';
import { parseRobotFile } from '../../src/robot/robot-file.js';
import { RosbridgeRobot } from '../../src/rosbridge/index.js';
import type { RobotStatus } from '../../src/types/index.js';
import { type StandIn, type StandInOptions, standIn } from './rosbridge-stand-in.js';
import { closedAfterEach, now_ns, until, wait } from './support.js';
import { tcpProxy } from './tcp-proxy.js';

const closers = closedAfterEach();
const DRIVER = { '/command': ['/driver'] };
const TRAJECTORY = 'command: { topic: /command, type: trajectory_msgs/JointTrajectory }';

interface Setup {
  readonly more?: string;
  readonly command?: string;
  readonly stream?: string;
  readonly bridge?: string;
  readonly port?: number;
  /** What is said on /joint_states every 10 ms. */
  readonly say?: (server: StandIn) => void;
}

async function set(options: StandInOptions, setup: Setup = {}) {
  const server = await standIn(options);
  closers.push(() => server.close());
  const say = setup.say ?? ((one) => one.joints('/joint_states', ['a'], [1]));
  const timer = setInterval(() => say(server), 10);
  closers.push(() => clearInterval(timer));
  return { server, ...robotAt(`ws://127.0.0.1:${setup.port ?? server.port}`, setup) };
}

function robotAt(url: string, { more = '', command, stream = '', bridge = '' }: Setup) {
  const file = parseRobotFile(
    `
name: one
bridge: { url: '${url}'${bridge} }
rate_hz: 50
joints: { a: { lower: -3, upper: 3, velocity: 1 } }
observation:
  - { topic: /joint_states, type: sensor_msgs/JointState, features: { joint_position: { length: 1 } }${stream} }
${command ?? 'command: { topic: /command, type: std_msgs/Float64MultiArray }'}
${more}
`,
    'one.yaml',
  );
  const robot = new RosbridgeRobot(file, { now_ns }, { backoff_ms: [5, 50] });
  closers.push(() => robot.close());
  const statuses: RobotStatus[] = [];
  const notices: string[] = [];
  robot.onStatus((status) => statuses.push(status));
  robot.onNotice((notice) => notices.push(notice));
  const send = (): boolean => {
    const stamp_ns = now_ns();
    return robot.send({ stamp_ns, expires_ns: stamp_ns + 100e6, values: Float64Array.of(0.5) });
  };
  return { robot, notices, statuses, status: () => statuses.at(-1)!, send };
}

describe('which server it is', () => {
  test('ROS 1 with a rosapi that takes 700 ms stays ROS 1: its stop service is offered, its trajectories are read', async () => {
    const { server, robot, send } = await set(
      { ros: 1, rosapi: 700, subscribers: DRIVER },
      { command: TRAJECTORY, more: 'stop: { service: /tendon/stop }' },
    );
    await robot.connect();
    expect(robot.client.dialect?.name).toBe('rosbridge_suite_ros1');
    await until('a command', () => send() && server.commands.length > 0);
    expect(server.commands[0]).toMatchObject({
      header: { stamp: { secs: expect.any(Number), nsecs: expect.any(Number) } },
      points: [{ time_from_start: { secs: 0, nsecs: 20_000_000 } }],
    });
    // Stops have a connection of their own: what it offered before the dialect was known is offered again in ROS 1's terms.
    const offered = () => server.heard.filter(({ op }) => op === 'advertise_service');
    await until('the stop service', () => offered().at(-1)?.type === 'std_srvs/Trigger');
  });

  test.each([1, 2] as const)(
    'ROS %s without rosapi is known by the first stamp, and nothing is sent before',
    async (ros) => {
      const { server, robot, notices, send } = await set({ ros, rosapi: 'absent' }, { command: TRAJECTORY });
      const early = setInterval(send, 1);
      closers.push(() => clearInterval(early));
      await robot.connect();
      expect(robot.client.dialect?.name).toBe(`rosbridge_suite_ros${ros}`);
      await until('a command', () => server.commands.length > 0);
      const spelling = ros === 1 ? { secs: expect.any(Number) } : { sec: expect.any(Number) };
      for (const msg of server.commands) expect(msg).toMatchObject({ header: { stamp: spelling } });
      expect(notices.join()).toContain('has no rosapi that answers');
    },
  );

  test('an action’s goals on ROS 1 are refused at start, with what to do instead', async () => {
    const command =
      'command: { topic: /arm/follow_joint_trajectory, type: control_msgs/FollowJointTrajectory }';
    expect(() => robotAt('ws://127.0.0.1:1', { command, bridge: ', dialect: rosbridge_suite_ros1' })).toThrow(
      /is an action, and rosbridge_suite_ros1 has none.*\/arm\/command/,
    );
    const { robot } = await set({ ros: 1, rosapi: 0 }, { command });
    await expect(robot.connect()).rejects.toThrow(/is an action, and rosbridge_suite_ros1 has none/);
  });
});

describe('who is there', () => {
  test('a command topic that nobody subscribes to: said, and over when somebody does', async () => {
    const subscribers: Record<string, string[]> = {};
    const { robot, status } = await set({ ros: 2, rosapi: 0, subscribers });
    await robot.connect();
    expect(status()).toMatchObject({ connected: false, reachable: true });
    expect(status().cause).toContain('nobody subscribes to /command');
    subscribers['/command'] = ['/driver'];
    await until('it is heard', () => status().connected);
  });

  test('a stop service that the bridge does not offer is said', async () => {
    const { robot, status } = await set(
      { ros: 2, rosapi: 0, subscribers: DRIVER, deaf_services: ['/tendon/stop'] },
      { more: 'stop: { service: /tendon/stop }' },
    );
    await robot.connect();
    expect(status().connected).toBe(false);
    expect(status().cause).toContain('does not offer the stop service /tendon/stop');
  });

  test('another publisher on the command topic is refused, unless that is meant', async () => {
    const publishers = { '/command': ['/moveit'] };
    const options: StandInOptions = { ros: 2, rosapi: 0, subscribers: DRIVER, publishers };
    const more = 'deadlines: { connect_ms: 500 }';
    const { server, robot } = await set(options, { more });
    await expect(robot.connect()).rejects.toThrow(/\/command is published by another already \(\/moveit\)/);
    expect(server.heard.filter(({ op }) => op === 'advertise')).toEqual([]);
    const shared = robotAt(server.url, {
      command: 'command: { topic: /command, type: std_msgs/Float64MultiArray, exclusive: false }',
    });
    await shared.robot.connect();
    await until('it is ready', () => shared.status().connected);
  });

  test('one that comes later is found', async () => {
    const publishers: Record<string, string[]> = {};
    const { robot, status } = await set({ ros: 2, rosapi: 0, subscribers: DRIVER, publishers });
    await robot.connect();
    await until('it is ready', () => status().connected);
    publishers['/command'] = ['/joystick'];
    await until('it is found', () => !status().connected);
    expect(status().cause).toContain('(/joystick)');
  });

  test('connecting can be given up', async () => {
    const { robot } = await set({ ros: 2, rosapi: 0 }, { say: () => undefined });
    const abort = new AbortController();
    setTimeout(() => abort.abort(new Error('enough')), 50);
    await expect(robot.connect(abort.signal)).rejects.toThrow('enough');
  });
});

describe('how old it may be', () => {
  test('a line of 0.8 s there and back is never fresh, whatever the stamps say, and that is what is said', async () => {
    const server = await standIn({ ros: 2, rosapi: 0, subscribers: DRIVER });
    closers.push(() => server.close());
    const proxy = await tcpProxy(() => server.port);
    closers.push(() => proxy.close());
    proxy.delay('up', 400);
    proxy.delay('down', 400);
    const timer = setInterval(() => server.joints('/joint_states', ['a'], [1]), 10);
    closers.push(() => clearInterval(timer));
    const { robot } = robotAt(`ws://127.0.0.1:${proxy.port}`, {});
    await expect(robot.connect()).rejects.toThrow(
      /\/joint_states: its messages are stale by \d\.\d\d s .* by the clock of the bridge's machine/,
    );
    expect(robot.streamCounters()['/joint_states']).toMatchObject({ samples: 0 });
  });

  test('nor are arrivals, where the line is slow', async () => {
    const server = await standIn({ ros: 2, rosapi: 'absent', subscribers: DRIVER });
    closers.push(() => server.close());
    const proxy = await tcpProxy(() => server.port);
    closers.push(() => proxy.close());
    proxy.delay('down', 700);
    const timer = setInterval(() => server.joints('/joint_states', ['a'], [1]), 10);
    closers.push(() => clearInterval(timer));
    const setup = { stream: ', stamps: arrival', bridge: ', dialect: rosbridge_suite_ros2' };
    const { robot } = robotAt(`ws://127.0.0.1:${proxy.port}`, setup);
    await expect(robot.connect()).rejects.toThrow(/stale by/);
    expect(robot.streamCounters()['/joint_states']).toMatchObject({ samples: 0 });
  });

  test.each([-0.15, 0.15, -5, 5, 3600])(
    'the robot’s clock is set by %s s: seen again within seconds, and rightly stamped',
    async (step_s) => {
      const { server, robot, status } = await set({ ros: 2, rosapi: 0, subscribers: DRIVER });
      await robot.connect();
      await until('it is ready', () => status().connected);
      await wait(200);
      server.options.ahead_ms = step_s * 1e3;
      await until('the step is found', () => robot.client.clock.steps > 0);
      const { samples } = robot.streamCounters()['/joint_states']!;
      await until('joints are seen', () => robot.streamCounters()['/joint_states']!.samples > samples + 20);
      const age_ms = (now_ns() - robot.latest()!.stamp_ns) / 1e6;
      expect(Math.abs(age_ms)).toBeLessThan(140);
    },
  );

  test('a stamp of zero is not taken for now, unless the robot file says arrival', async () => {
    const say = (server: StandIn) =>
      server.publish('/joint_states', {
        header: { stamp: { sec: 0, nanosec: 0 }, frame_id: '' },
        name: ['a'],
        position: [1],
      });
    const options = { ros: 2, rosapi: 0, subscribers: DRIVER } as const;
    const refused = await set(options, { say, more: 'deadlines: { connect_ms: 1500 }' });
    await expect(refused.robot.connect()).rejects.toThrow(/without a time in header.stamp.*stamps: arrival/);
    expect(refused.robot.streamCounters()['/joint_states']).toMatchObject({ samples: 0 });
    const meant = await set(options, { say, stream: ', stamps: arrival' });
    await meant.robot.connect();
    expect([...meant.robot.latest()!.values.joint_position!]).toEqual([1]);
  });
});

test('a goal that is told once stands, and its silence is no loss', async () => {
  const server = await standIn({ ros: 2, rosapi: 0, subscribers: DRIVER });
  closers.push(() => server.close());
  const timer = setInterval(() => server.joints('/joint_states', ['a'], [1]), 10);
  closers.push(() => clearInterval(timer));
  const file = parseRobotFile(
    `
name: one
bridge: { url: '${server.url}' }
rate_hz: 50
joints: { a: { lower: -3, upper: 3, velocity: 1 } }
observation:
  - { topic: /joint_states, type: sensor_msgs/JointState, features: { joint_position: { length: 1 } } }
  - { topic: /goal, type: std_msgs/Float64MultiArray, latched: true, features: { goal: { length: 2 } } }
command: { topic: /command, type: std_msgs/Float64MultiArray }
deadlines: { no_data_ms: 200, freshness_ms: 100 }
`,
    'one.yaml',
  );
  const robot = new RosbridgeRobot(file, { now_ns });
  closers.push(() => robot.close());
  let status: RobotStatus | undefined;
  robot.onStatus((now) => {
    status = now;
  });
  const connecting = robot.connect();
  await until('it is asked for', () => server.subscribed('/goal') > 0);
  server.publish('/goal', { data: [3, 4] });
  await connecting;
  await until('it is ready', () => status?.connected === true);
  await wait(600);
  expect(status?.connected).toBe(true);
  expect([...robot.latest()!.values.goal!]).toEqual([3, 4]);
  server.publish('/goal', { data: [5, 6] });
  await until('the new goal', () => robot.latest()!.values.goal![0] === 5);
});
