// Trajectories as action goals over a real socket: a stand-in for joint_trajectory_controller follows them, gives up each
// for the next, and comes to rest where the last one ends.

import { expect, test } from 'vitest';
import { Controller, MonotonicClock } from '../../src/control/index.js';
import { parseRobotFile } from '../../src/robot/robot-file.js';
import type { RosTime } from '../../src/rosbridge/codec/time.js';
import {
  header,
  jointState,
  type Message,
  RosbridgeRobot,
  RosbridgeServer,
} from '../../src/rosbridge/index.js';
import { GoalsSink } from '../../src/sinks/index.js';
import type { ActionChunk, Observation, Policy } from '../../src/types/index.js';
import { closedAfterEach, until, wait } from './support.js';

const closers = closedAfterEach();
const clock = new MonotonicClock();

const VELOCITY = 0.6;
const ACCELERATION = 3;

interface Goal {
  readonly began_ms: number;
  readonly from: readonly number[];
  readonly points: readonly { at_ms: number; positions: readonly number[]; velocities: readonly number[] }[];
}

/** Joints that follow the newest goal, straight from point to point, and know nothing else. */
class TrajectoryController {
  goals: Goal[] = [];
  aborted = 0;
  cancelled = 0;
  refuse = false;
  private drop: (() => void) | undefined;
  private still: readonly number[] = [0, 0];

  position(now_ms = performance.now()): number[] {
    const goal = this.goals.at(-1);
    if (goal === undefined) return [...this.still];
    let before = { at_ms: 0, positions: goal.from };
    for (const point of goal.points) {
      const t = now_ms - goal.began_ms;
      if (t < point.at_ms) {
        const u = Math.max(0, (t - before.at_ms) / (point.at_ms - before.at_ms));
        return before.positions.map((p, i) => p + u * (point.positions[i]! - p));
      }
      before = point;
    }
    return [...before.positions];
  }

  async follow({ trajectory }: Message, signal: AbortSignal): Promise<Message> {
    if (this.refuse) throw new Error('the controller is not active');
    const {
      header: head,
      joint_names,
      points,
    } = trajectory as { header: { stamp: RosTime }; joint_names: string[]; points: Message[] };
    expect(joint_names).toEqual(['a', 'b']);
    // It says from when it counts, which is no later than now by more than a part of a period.
    const age_ms = Date.now() - head.stamp.sec * 1e3 - head.stamp.nanosec / 1e6;
    expect(age_ms).toBeGreaterThan(-50);
    expect(age_ms).toBeLessThan(10_000);
    const from = this.position();
    this.drop?.();
    this.goals.push({
      began_ms: performance.now(),
      from,
      points: points.map(({ positions, velocities, time_from_start }) => {
        const { sec, nanosec } = time_from_start as { sec: number; nanosec: number };
        return {
          at_ms: sec * 1e3 + nanosec / 1e6,
          positions: positions as number[],
          velocities: velocities as number[],
        };
      }),
    });
    const mine = this.goals.at(-1)!;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(resolve, mine.points.at(-1)!.at_ms);
      this.drop = () => {
        clearTimeout(timer);
        this.aborted++;
        reject(new Error('a newer goal came'));
      };
      signal.addEventListener('abort', () => {
        clearTimeout(timer);
        this.cancelled++;
        this.still = this.position();
        this.goals = [];
        resolve();
      });
    });
    return { error_code: 0 };
  }
}

/** Swings far, from where the robot is. */
const swinging: Policy = {
  spec: {
    family: 'swinging',
    n_obs_steps: 1,
    horizon: 16,
    n_action_steps: 8,
    action_dim: 2,
    observation_dims: { joint_position: 2 },
    image_shapes: {},
    goal_dims: {},
    rate_hz: 20,
  },
  reset: () => undefined,
  close: () => undefined,
  async infer(window): Promise<ActionChunk> {
    const { stamp_ns } = (window as readonly Observation[]).at(-1)!;
    const at = (row: number) => Math.sin((stamp_ns / 1e9 + row / 20) * 1.5);
    return {
      stamp_ns,
      period_ns: 50e6,
      horizon: 16,
      action_dim: 2,
      actions: Float32Array.from({ length: 32 }, (_, i) => at(i >> 1) * (i % 2 === 0 ? 0.8 : -0.4)),
      n_candidates: 1,
      chosen: 0,
      timing: { queue_ns: 0, observe_ns: 0, denoise_ns: 0, total_ns: 0 },
    };
  },
};

async function running(deaf = false) {
  const arm = new TrajectoryController();
  const server = await RosbridgeServer.start({ port: 0 });
  server.action('/arm/follow_joint_trajectory', 'control_msgs/FollowJointTrajectory', (args, _, signal) =>
    deaf ? new Promise<Message>(() => undefined) : arm.follow(args, signal),
  );
  const publish = server.advertise('/joint_states', 'sensor_msgs/JointState');
  const timer = setInterval(() => publish(jointState(header(), ['a', 'b'], arm.position())), 5);
  const file = parseRobotFile(
    `
name: arm
bridge: { url: '${server.url}' }
rate_hz: 50
joint_names: [a, b]
limits: { lower: [-2, -2], upper: [2, 2], velocity: [${VELOCITY}, ${VELOCITY}], acceleration: [${ACCELERATION}, ${ACCELERATION}] }
observation:
  - { topic: /joint_states, type: sensor_msgs/JointState, features: { joint_position: { length: 2 } } }
command: { topic: /arm/follow_joint_trajectory, type: control_msgs/FollowJointTrajectory, interval_ms: 60, ahead_ms: 300 }
deadlines: { no_data_ms: 300, freshness_ms: 150 }`,
    'arm.yaml',
  );
  const robot = new RosbridgeRobot(file, clock);
  const controller = new Controller({
    robot,
    policy: swinging,
    clock,
    limits: file.limits,
    rate_hz: file.rate_hz,
    position_key: 'joint_position',
    freshness_ms: file.deadlines.freshness_ms,
    inference_ms: 500,
    lifetime_ms: 100,
    sink: new GoalsSink(robot.goals!, {
      clock,
      rate_hz: file.rate_hz,
      lifetime_ms: file.command.lifetime_ms,
      ...file.command.parts[0]!,
    }),
  });
  closers.push(async () => {
    clearInterval(timer);
    await controller.stop();
    await robot.close();
    await server.close();
  });
  await robot.connect();
  controller.start();
  await until('READY', () => controller.supervisor.state === 'READY');
  controller.go();
  return { arm, controller, server };
}

test('every goal begins where the robot is, keeps the limits, ends at rest, and replaces the one before', async () => {
  const { arm, controller } = await running();
  await until('many goals', () => arm.goals.length > 20);
  expect(controller.supervisor.state).toBe('RUNNING');
  expect(arm.aborted).toBeGreaterThan(10);
  for (const { points, from } of arm.goals) {
    expect(points.length).toBeGreaterThan(14);
    let last = from;
    points.forEach(({ at_ms, positions, velocities }, i) => {
      expect(at_ms).toBeCloseTo((i + 1) * 20, 6);
      for (const j of [0, 1]) {
        expect(Math.abs(velocities[j]!)).toBeLessThanOrEqual(VELOCITY * (1 + 1e-9));
        if (i > 0)
          expect(Math.abs(positions[j]! - last[j]!)).toBeLessThanOrEqual(VELOCITY * 0.02 * (1 + 1e-9));
      }
      last = positions;
    });
    expect(points.at(-1)!.velocities).toEqual([0, 0]);
    // The robot was under way on the goal before: what it did in the meantime is a few periods of motion at most.
    for (const j of [0, 1])
      expect(Math.abs(points[0]!.positions[j]! - from[j]!)).toBeLessThan(VELOCITY * 0.25);
  }
  const reach = arm.goals.map(({ points }) => Math.abs(points.at(-1)!.positions[0]!));
  expect(Math.max(...reach)).toBeGreaterThan(0.1);
});

test('a hold sends a goal that brakes; a stop cancels; both stay where they are', async () => {
  const { arm, controller } = await running();
  await until('motion', () => controller.underWay && arm.goals.length > 5);
  const before = arm.goals.length;
  controller.hold();
  await until('the goal that brakes', () => arm.goals.length > before);
  await until('rest', () => !controller.underWay);
  await wait(300);
  const rested = arm.position();
  await wait(200);
  expect(arm.position()).toEqual(rested);
  controller.resume();
  await until('motion again', () => controller.underWay);
  controller.emergencyStop();
  await until('the cancel', () => arm.cancelled === 1);
  const stopped = arm.position();
  await wait(200);
  expect(arm.position()).toEqual(stopped);
});

test('goals that stop coming leave a robot at rest, and a refused goal holds', async () => {
  const { arm, controller } = await running();
  await until('motion', () => controller.underWay && arm.goals.length > 5);
  arm.refuse = true;
  await until('HOLD', () => controller.supervisor.counts.send_failed > 0);
  controller.hold();
  await wait(700);
  const rested = arm.position();
  await wait(100);
  expect(arm.position()).toEqual(rested);
});

test('goals that nothing ever answers hold the robot, though newer ones take their places', async () => {
  const { controller } = await running(true);
  const held: string[] = [];
  controller.supervisor.onChange(({ to, cause }) => to === 'HOLD' && held.push(cause));
  await until('the hold', () => controller.supervisor.counts.send_failed > 0);
  expect(held.join()).toMatch(/follow_joint_trajectory .*did not answer/);
});
