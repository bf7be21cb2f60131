// The bridge is a process that is killed and started again 100 times while a controller drives through it, behind a network
// that delays, duplicates, reorders and truncates messages and puts garbage between them. The drive behind the bridge is
// as trusting as can be and acts on the newest of whatever arrives; when a command must no longer be acted on travels
// in the command itself, in this machine's time, so that no stamp of ours is believed.

import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { Controller, MonotonicClock } from '../../src/control/index.js';
import { parseRobotFile } from '../../src/robot/robot-file.js';
import { RosbridgeRobot } from '../../src/rosbridge/index.js';
import { Random } from '../../src/sim/random.js';
import type { Command } from '../../src/types/index.js';
import { network } from './chaos-network.js';
import { eyes, restless } from './chaos-parts.js';
import { closedAfterEach, until, wait } from './support.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const closers = closedAfterEach();
const clock = new MonotonicClock();

const KILLS = 100;
const RATE_HZ = 100;
/** The third joint carries the deadline. */
const LIMITS = {
  lower: [-1, -1, -1],
  upper: [1, 1, 1],
  velocity: [2, 2, 2],
  acceleration: [20, 20, 20],
};
const FRESHNESS_MS = 60;
/** Twice what the network delays by, for a machine that does other things too. */
const LIFETIME_MS = 400;
const SLOWEST_MS = 200;

/** Waits to be told where the robot is, then is bridge and drive; says what arrives as soon as it does. */
const BRIDGE = `
import { header, jointState, RosbridgeServer } from './dist/rosbridge/index.js';
process.stdin.once('data', async (data) => {
  let position = JSON.parse(data);
  let newest = 0;
  const server = await RosbridgeServer.start({ port: 0 });
  server.subscribe('/command', ({ data: [a, b, deadline_ms] }) => {
    const now_ms = performance.timeOrigin + performance.now();
    const acted = deadline_ms > newest;
    if (acted) [newest, position] = [deadline_ms, [a, b]];
    const { malformed } = server.stats();
    console.log(JSON.stringify({ a, b, deadline_ms, late_ms: now_ms - deadline_ms, acted, malformed }));
  });
  const publish = server.advertise('/joint_states', 'sensor_msgs/JointState');
  setInterval(() => publish(jointState(header(), ['a', 'b', 'deadline'], [...position, 0])), 5);
  console.log(JSON.stringify({ port: server.port }));
});
console.log(JSON.stringify({ up: true }));
`;

interface Arrival {
  readonly a: number;
  readonly b: number;
  readonly deadline_ms: number;
  readonly late_ms: number;
  readonly acted: boolean;
  readonly malformed: number;
}

/** The bridge's process, its successor already waiting; everything that arrives at any of them. */
function bridges() {
  const arrivals: Arrival[] = [];
  let position = [0, 0];
  const state = { port: 0, pid: 0, killed: 0 };
  const begin = () => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', BRIDGE], {
      cwd: root,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let up = (): void => undefined;
    const waiting = new Promise<void>((resolve) => {
      up = resolve;
    });
    createInterface(child.stdout).on('line', (line) => {
      const said = JSON.parse(line) as Partial<Arrival> & { up?: true; port?: number };
      if (said.up) up();
      else if (said.port !== undefined) state.port = said.port;
      else {
        arrivals.push(said as Arrival);
        if (said.acted) position = [said.a!, said.b!];
      }
    });
    return { child, waiting };
  };
  let next = begin();
  let running: ChildProcess | undefined;
  closers.push(() => {
    running?.kill('SIGKILL');
    next.child.kill('SIGKILL');
  });
  const start = async (): Promise<void> => {
    const { child, waiting } = next;
    await waiting;
    running = child;
    state.pid = child.pid!;
    child.stdin.write(JSON.stringify(position));
    next = begin();
    await until('a bridge', () => state.port !== 0);
  };
  const kill = async (): Promise<void> => {
    state.port = 0;
    const gone = new Promise((resolve) => running!.once('exit', resolve));
    running!.kill('SIGKILL');
    await gone;
    state.killed++;
  };
  return { arrivals, state, start, kill };
}

const epoch_ms = () => performance.timeOrigin + performance.now();

test(`${KILLS} killed bridges: nothing outside limits, nothing past its deadline, running again without help`, async () => {
  const random = new Random(23);
  const { arrivals, state, start, kill } = bridges();
  const left = { commands: 0, late_ms: -LIFETIME_MS };
  const onLeave = (text: string): void => {
    if (!text.startsWith('{"op":"publish"')) return;
    const { msg } = JSON.parse(text) as { msg: { data: number[] } };
    left.commands++;
    left.late_ms = Math.max(left.late_ms, epoch_ms() - msg.data[2]!);
  };
  const storm = await network({ port: () => state.port, random, closers, onLeave });
  await start();
  const file = parseRobotFile(
    `
name: two
bridge: { url: '${storm.url}', dialect: embedded }
rate_hz: ${RATE_HZ}
joint_names: [a, b, deadline]
limits: ${JSON.stringify(LIMITS)}
observation:
  - { topic: /joint_states, type: sensor_msgs/JointState, features: { joint_position: { length: 3 } } }
command: { topic: /command, type: std_msgs/Float64MultiArray, lifetime_ms: ${LIFETIME_MS} }
deadlines: { no_data_ms: 300, freshness_ms: ${FRESHNESS_MS} }`,
    'two.yaml',
  );
  const robot = new RosbridgeRobot(file, clock, { backoff_ms: [5, 20] });
  closers.push(() => robot.close());
  const watched = Object.create(robot) as RosbridgeRobot;
  let controller: Controller;
  const { look, refused, wrong } = eyes({
    rate_hz: RATE_HZ,
    lifetime_ms: LIFETIME_MS,
    freshness_ms: FRESHNESS_MS,
    limits: LIMITS,
    observed_ns: () => robot.latest()?.stamp_ns,
    controller: () => controller,
  });
  watched.send = (command: Command): boolean => {
    look(command);
    const deadline_ms = performance.timeOrigin + command.expires_ns / 1e6;
    const values = Float64Array.of(...command.values.subarray(0, 2), deadline_ms);
    const sent = robot.send({ ...command, values });
    if (!sent) refused();
    return sent;
  };
  controller = new Controller({
    robot: watched,
    policy: restless(random, 3),
    clock,
    limits: LIMITS,
    rate_hz: RATE_HZ,
    position_key: 'joint_position',
    freshness_ms: FRESHNESS_MS,
    inference_ms: 500,
    lifetime_ms: LIFETIME_MS,
    // A process takes its time to start; without this an operator would be asked after a second.
    resume_within_ms: 60_000,
  });
  const { supervisor, stats } = controller;
  closers.push(() => controller.stop());
  await robot.connect();
  controller.start();
  await until('READY', () => supervisor.state === 'READY');
  controller.go();

  const pids = new Set<number>();
  for (let round = 0; round <= KILLS; round++) {
    pids.add(state.pid);
    // Nobody helps: the policy runs, and the drive behind this very bridge moves by it.
    const [had, actions] = [arrivals.length, stats.actions];
    await until(
      `running after ${round} kills: ${supervisor.state}, ${supervisor.cause}`,
      () => supervisor.state === 'RUNNING' && stats.actions > actions + 5 && arrivals.length > had + 5,
    );
    expect(arrivals.slice(had).some(({ acted }) => acted)).toBe(true);
    if (round === KILLS) break;
    storm.weather.longest_ms = round % 4 === 3 ? 0 : random.uniform(20, SLOWEST_MS);
    storm.weather.twice = random.uniform(0, 0.5);
    storm.weather.torn = random.uniform(0, 0.05);
    storm.weather.garbage = random.uniform(0, 0.05);
    await wait(random.uniform(20, 80));
    if (round % 5 === 4) {
      storm.inject(round % 2 === 0);
      await wait(random.uniform(0, 30));
    }
    await kill();
    // Now and then for longer than any command lives: one that waited for the bridge would be late.
    if (round % 10 === 9) await wait(LIFETIME_MS + 200);
    await start();
  }

  expect(wrong.slice(0, 5)).toEqual([]);
  expect(arrivals.filter(({ a, b }) => !(Math.abs(a) <= 1 && Math.abs(b) <= 1))).toEqual([]);
  expect(arrivals.filter(({ late_ms }) => !(late_ms <= 0)).slice(0, 5)).toEqual([]);
  // Nor had any waited on this side for the network to come back.
  expect(left.late_ms).toBeLessThanOrEqual(-LIFETIME_MS / 2);
  expect(robot.drops.expired).toBe(0);
  expect(supervisor.counts.internal_error).toBe(0);
  // It was as bad as it was meant to be.
  expect(state.killed).toBe(KILLS);
  expect(pids.size).toBe(KILLS + 1);
  expect(arrivals.length).toBeGreaterThan(5 * KILLS);
  expect(left.commands).toBeGreaterThan(5 * KILLS);
  expect(storm.seen.duplicated).toBeGreaterThan(100);
  expect(storm.seen.overtaken).toBeGreaterThan(100);
  expect(storm.seen.torn).toBeGreaterThan(20);
  expect(storm.seen.garbage).toBeGreaterThan(20);
  expect(robot.client.counters().malformed).toBeGreaterThan(10);
  expect(Math.max(...arrivals.map(({ malformed }) => malformed))).toBeGreaterThan(0);
  expect(supervisor.counts.robot_lost).toBeGreaterThan(0);
  expect(robot.client.counters().opened).toBeGreaterThan(KILLS);
});
