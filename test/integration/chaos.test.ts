// A whole controller behind a network that delays, duplicates and reorders every message and now and then cuts the
// connection: what leaves stays within the limits and is young, what the network made old is recognised, a stale robot is
// held in the very tick that finds it stale, and when the storm is over everything runs again without help.

import { expect, test } from 'vitest';
import { Controller, MonotonicClock } from '../../src/control/index.js';
import { parseRobotFile } from '../../src/robot/robot-file.js';
import {
  header,
  jointState,
  type Message,
  RosbridgeRobot,
  RosbridgeServer,
} from '../../src/rosbridge/index.js';
import { Random } from '../../src/sim/random.js';
import type { Command } from '../../src/types/index.js';
import { network } from './chaos-network.js';
import { eyes, restless } from './chaos-parts.js';
import { closedAfterEach, until, wait } from './support.js';

const closers = closedAfterEach();
const clock = new MonotonicClock();

const RATE_HZ = 100;
const LIMITS = { lower: [-1, -1], upper: [1, 1], velocity: [2, 2], acceleration: [20, 20] };
const FRESHNESS_MS = 60;
const LIFETIME_MS = 100;
/** Stamps are in the server's time, known to half of the 500 ms that it may take to tell it. */
const OFFSET_MS = 250;

/** How old the command in a message is, by its stamp; undefined for any other message. */
function ageOf(data: string): number | undefined {
  const { op, topic, msg } = JSON.parse(data) as { op: string; topic?: string; msg?: Message };
  return op === 'publish' && topic === '/command' ? Date.now() - stampOf(msg!) : undefined;
}

function stampOf(msg: Message): number {
  const { stamp } = msg.header as { stamp: { sec: number; nanosec: number } };
  return stamp.sec * 1e3 + stamp.nanosec / 1e6;
}

/** A drive as docs/safety.md asks for: refuses what is old, repeated or out of order, and moves by the rest. */
async function drive() {
  const server = await RosbridgeServer.start({ port: 0 });
  const state = { position: [0, 0], acted: 0, refused: 0, outside: 0 };
  let latest_ms = 0;
  server.subscribe('/command', (msg: Message) => {
    const stamp_ms = stampOf(msg);
    const age_ms = Date.now() - stamp_ms;
    const positions = (msg.points as { positions: number[] }[])[0]!.positions;
    // Whether it is acted on or not.
    if (!positions.every((v, j) => v >= LIMITS.lower[j]! && v <= LIMITS.upper[j]!)) state.outside++;
    if (stamp_ms <= latest_ms || age_ms > LIFETIME_MS) {
      state.refused++;
      return;
    }
    latest_ms = stamp_ms;
    state.acted++;
    state.position = [...positions];
  });
  const publish = server.advertise('/joint_states', 'sensor_msgs/JointState');
  const timer = setInterval(() => publish(jointState(header(), ['a', 'b'], state.position)), 5);
  closers.push(async () => {
    clearInterval(timer);
    await server.close();
  });
  return { server, state };
}

test('40 storms: nothing outside limits, nothing expired, held at once, running again by itself', async () => {
  const random = new Random(11);
  const { server, state } = await drive();
  const left = { commands: 0, oldest_ms: 0 };
  const onLeave = (text: string): void => {
    const age_ms = ageOf(text);
    if (age_ms === undefined) return;
    left.commands++;
    left.oldest_ms = Math.max(left.oldest_ms, age_ms);
  };
  const storm = await network({ port: () => server.port, random, closers, onLeave });
  const file = parseRobotFile(
    `
name: two
bridge: { url: '${storm.url}', dialect: embedded }
rate_hz: ${RATE_HZ}
joint_names: [a, b]
limits: ${JSON.stringify(LIMITS)}
observation:
  - { topic: /joint_states, type: sensor_msgs/JointState, features: { joint_position: { length: 2 } } }
command: { topic: /command, type: trajectory_msgs/JointTrajectory, lifetime_ms: ${LIFETIME_MS} }
deadlines: { no_data_ms: 300, freshness_ms: ${FRESHNESS_MS} }`,
    'two.yaml',
  );
  const robot = new RosbridgeRobot(file, clock, { backoff_ms: [5, 20] });
  closers.push(() => robot.close());

  const watched = Object.create(robot) as RosbridgeRobot;
  let controller: Controller;
  const { look, refused, wrong, seen } = eyes({
    rate_hz: RATE_HZ,
    lifetime_ms: LIFETIME_MS,
    freshness_ms: FRESHNESS_MS,
    limits: LIMITS,
    observed_ns: () => robot.latest()?.stamp_ns,
    controller: () => controller,
  });
  watched.send = (command: Command): boolean => {
    look(command);
    const sent = robot.send(command);
    if (!sent) refused();
    return sent;
  };
  controller = new Controller({
    robot: watched,
    policy: restless(random, 2),
    clock,
    limits: LIMITS,
    rate_hz: RATE_HZ,
    position_key: 'joint_position',
    freshness_ms: FRESHNESS_MS,
    inference_ms: 500,
    lifetime_ms: LIFETIME_MS,
    // A busy machine may make a storm longer than it was meant to be.
    resume_within_ms: 60_000,
  });
  const { supervisor } = controller;
  closers.push(() => controller.stop());
  await robot.connect();
  controller.start();
  await until('READY', () => supervisor.state === 'READY');
  controller.go();
  await until('RUNNING', () => supervisor.state === 'RUNNING');

  for (let round = 0; round < 40; round++) {
    storm.weather.longest_ms = round % 4 === 3 ? 0 : random.uniform(50, 400);
    // Every fourth time nothing arrives fresh, on a connection that stays.
    storm.weather.shortest_ms = round % 4 === 2 ? 2 * FRESHNESS_MS : 0;
    storm.weather.twice = random.uniform(0, 0.5);
    if (round % 2 === 1) storm.cut();
    await wait(random.uniform(60, 160));
  }
  const held = supervisor.counts.observation_stale + supervisor.counts.robot_lost;
  storm.weather.longest_ms = 0;
  storm.weather.shortest_ms = 0;
  storm.weather.twice = 0;
  await until('running again', () => supervisor.state === 'RUNNING');
  const acted = state.acted;
  await until('the robot moves again', () => state.acted > acted + 20);

  expect(wrong.slice(0, 5)).toEqual([]);
  expect(state.outside).toBe(0);
  // Nothing left too old: what arrived so was made old on the way, and the drive could tell by its stamp.
  expect(left.commands).toBeGreaterThan(100);
  expect(left.oldest_ms).toBeLessThanOrEqual(LIFETIME_MS + OFFSET_MS);
  // The storm was one: it delayed, doubled and reordered, and the drive had something to refuse.
  expect(storm.seen.duplicated).toBeGreaterThan(50);
  expect(storm.seen.overtaken).toBeGreaterThan(50);
  expect(state.refused).toBeGreaterThan(20);
  expect(held).toBeGreaterThan(10);
  expect(seen.stale).toBeGreaterThan(0);
  expect(robot.drops.expired).toBe(0);
  expect(supervisor.counts.internal_error).toBe(0);
});
