// The simulated arm as control sees it: robot file, adapter, real socket, physics in real time.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadRobotFile } from '../../src/robot/robot-file.js';
import { header, jointTrajectory, RosbridgeRobot } from '../../src/rosbridge/index.js';
import { type SimServer, startSimServer } from '../../src/sim/server.js';
import { findTask } from '../../src/sim/tasks.js';
import type { RobotFile } from '../../src/types/index.js';
import { now_ns, until, wait } from './support.js';

const clock = { now_ns };

let sim: SimServer;
let robot: RosbridgeRobot;
let file: RobotFile;
let status: Record<string, unknown>;

beforeEach(async () => {
  sim = await startSimServer({ task: findTask('arm'), seed: 3 });
  const given = loadRobotFile('launch/sim-arm.yaml');
  file = { ...given, bridge: { ...given.bridge, url: sim.url } };
  robot = new RosbridgeRobot(file, clock);
  robot.client.subscribe('/sim/status', 'tendon_msgs/SimStatus', (msg) => {
    status = msg;
  });
  await robot.connect();
});
afterEach(async () => {
  await robot.close();
  await sim.close();
});

const joints = () => Array.from(robot.latest()?.values.joint_position ?? []);
const send = (values: readonly number[]) => {
  const stamp_ns = now_ns();
  return robot.send({ stamp_ns, expires_ns: stamp_ns + 100e6, values: Float64Array.from(values) });
};

describe('the simulated arm', () => {
  it('has the limits, joints and features of its task', () => {
    const { spec } = findTask('arm');
    expect(file.joint_names).toEqual(spec.joint_names);
    for (const key of ['lower', 'upper', 'velocity'] as const) {
      expect(file.limits[key]).toEqual(spec.limits[key].map((limit) => expect.closeTo(limit, 9)));
    }
    expect(robot.observation_dims).toEqual({ ...spec.observation_dims, goal: 2, joint_position: 6 });
    expect(robot.client.dialect?.name).toBe('embedded');
    expect(robot.client.clock.source).toBe('rosapi');
  });

  it('gives one consistent observation with a local stamp', async () => {
    for (let i = 0; i < 20; ++i) {
      const { stamp_ns, values } = robot.latest()!;
      expect(Math.abs(now_ns() - stamp_ns)).toBeLessThan(1e9);
      expect(Array.from(values['observation.state']!.subarray(0, 6))).toEqual(
        Array.from(values.joint_position!),
      );
      await wait(15);
    }
  });

  it('follows commands, and holds by itself when they stop', async () => {
    const target = joints();
    target[0] = target[0]! + 0.2;
    await until('the arm at its target', () => {
      send(target);
      return Math.abs(joints()[0]! - target[0]!) < 0.02;
    });
    expect(status.refused_commands).toBe(0);
    await until('the watchdog', () => status.holding === true);
    const held = joints();
    await wait(300);
    expect(Math.max(...joints().map((q, i) => Math.abs(q - held[i]!)))).toBeLessThan(0.02);
  });

  it('follows a trajectory with its joints in another order', async () => {
    const publisher = robot.client.advertise('/command_trajectory', 'trajectory_msgs/JointTrajectory');
    const goal = joints();
    goal[5] = goal[5]! - 0.3;
    const points = [{ positions: [...goal].reverse(), after_ns: 300e6 }];
    publisher.publish(jointTrajectory(header(), [...file.joint_names].reverse(), points));
    await until('the end of the trajectory', () => Math.abs(joints()[5]! - goal[5]!) < 0.03);
    publisher.publish(jointTrajectory(header(), file.joint_names.slice(1), points));
    await until('a refusal', () => status.refused_commands === 1);
    expect(status.refusal).toContain('base_yaw is missing');
  });

  it('answers its services, and says what is wrong with a call', async () => {
    expect(await robot.call('reset', { seed: 11 })).toMatchObject({ seed: 11, episode: 1 });
    expect(await robot.call('set_goal', { position: [0.4, -0.3] })).toEqual({ position: [0.4, -0.3] });
    await until(
      'the goal in an observation',
      () => Math.abs((robot.latest()?.values.goal?.[1] ?? 0) + 0.3) < 1e-6,
    );
    let goal: unknown;
    robot.client.subscribe('/goal', 'geometry_msgs/PoseStamped', ({ pose }) => {
      goal = pose;
    });
    await until('the latched goal', () => goal !== undefined);
    expect(goal).toEqual({ position: { x: 0.4, y: -0.3, z: 0 }, orientation: { x: 0, y: 0, z: 0, w: 1 } });
    expect(await robot.call('push', { name: 'block', force: [1, 0, 0] })).toEqual({});
    await expect(robot.call('push', { name: 'table', force: [1, 0, 0] })).rejects.toThrow('one of block');
    await expect(robot.call('set_goal', { position: [Number.NaN, 0] })).rejects.toThrow('finite');
    await expect(robot.call('reset', { seed: 'x' })).rejects.toThrow('whole number');
    await expect(robot.call('dance', {})).rejects.toThrow('lists: start, stop');
  });

  it('stops and pauses: commands are refused, observations go on', async () => {
    await robot.call('stop', {});
    const before = joints();
    send(before.map((q) => q + 0.3));
    await until('the refusal', () => status.refused_commands === 1);
    await robot.call('start', {});
    await robot.call('pause', { data: true });
    await until('paused', () => status.paused === true);
    const { stamp_ns } = robot.latest()!;
    await until('a later observation', () => robot.latest()!.stamp_ns > stamp_ns);
    await robot.call('pause', { data: false });
    await until('running', () => status.paused === false);
  });
});
