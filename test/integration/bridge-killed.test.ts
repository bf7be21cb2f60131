// The bridge is a process that is killed and started again 100 times while a controller drives through it, behind a network
// that delays, duplicates, reorders and truncates messages and puts garbage between them. The drive behind the bridge is
// as trusting as can be and acts on the newest of whatever arrives; when a command must no longer be acted on travels
// in the command itself, in this machine's time, so that no stamp of ours is believed.

import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { Controller, MonotonicClock } from '../../src/control/index.js';
import { parseRobotFile } from '../../src/control/robot-file.js';
import { RosbridgeRobot } from '../../src/rosbridge/index.js';
import { Random } from '../../src/sim/random.js';
import type { Command } from '../../src/types/index.js';
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

/** Stands before whichever bridge is up. */
async function network(port: () => number, random: Random) {
  const near = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  const weather = { longest_ms: 0, twice: 0, torn: 0, garbage: 0 };
  const seen = { duplicated: 0, overtaken: 0, torn: 0, garbage: 0, left: 0, left_late_ms: -LIFETIME_MS };
  const links = new Set<{ client: WebSocket; far: WebSocket }>();
  const relay = (from: WebSocket, to: WebSocket, outward: boolean): void => {
    let [sequence, latest] = [0, 0];
    from.on('message', (data: Buffer, binary) => {
      const number = ++sequence;
      const text = String(data);
      const flows = text.startsWith('{"op":"publish"');
      if (outward && flows) {
        const { msg } = JSON.parse(text) as { msg: { data: number[] } };
        seen.left++;
        seen.left_late_ms = Math.max(seen.left_late_ms, epoch_ms() - msg.data[2]!);
      }
      const say = (what: Buffer, as_binary: boolean): void => {
        if (to.readyState === WebSocket.OPEN) to.send(what, { binary: as_binary });
      };
      if (random.next() < weather.garbage) {
        seen.garbage++;
        say(bytes(random), random.next() < 0.5);
      }
      // Of what flows anyway a part may be lost; of everything else a torn copy comes besides.
      const torn = random.next() < weather.torn;
      if (torn) {
        seen.torn++;
        say(data.subarray(0, Math.floor(random.next() * data.length)), binary);
        if (flows) return;
      }
      const pass = (): void => {
        if (number < latest) seen.overtaken++;
        latest = Math.max(latest, number);
        say(data, binary);
      };
      const copies = random.next() < weather.twice ? 2 : 1;
      seen.duplicated += copies - 1;
      for (let i = 0; i < copies; i++) {
        const delay_ms = random.next() ** 3 * weather.longest_ms;
        if (delay_ms < 1) pass();
        else setTimeout(pass, delay_ms);
      }
    });
  };
  near.on('connection', (client) => {
    const far = new WebSocket(`ws://127.0.0.1:${port() || 1}`, { perMessageDeflate: false });
    const link = { client, far };
    links.add(link);
    const early: [Buffer, boolean][] = [];
    const keep = (data: unknown, binary: boolean) => early.push([data as Buffer, binary]);
    client.on('message', keep);
    far.on('open', () => {
      client.off('message', keep);
      for (const [data, binary] of early) far.send(data, { binary });
      relay(client, far, true);
    });
    relay(far, client, false);
    for (const [end, other] of [
      [client, far],
      [far, client],
    ] as const) {
      end.on('error', () => end.terminate());
      end.on('close', () => {
        links.delete(link);
        other.terminate();
      });
    }
  });
  await new Promise((listening) => near.once('listening', listening));
  closers.push(() => {
    for (const { client } of links) client.terminate();
    near.close();
  });
  const address = near.address();
  const near_port = typeof address === 'object' && address !== null ? address.port : 0;
  /** Bytes that are no WebSocket frame, under the feet of one end. */
  const inject = (outward: boolean): void => {
    for (const { client, far } of links) {
      const socket = Reflect.get(outward ? far : client, '_socket') as Socket | null;
      socket?.write(Buffer.concat([Buffer.from([0xff]), bytes(random)]));
    }
  };
  return { url: `ws://127.0.0.1:${near_port}`, weather, seen, inject };
}

function bytes(random: Random): Buffer {
  return Buffer.from(Array.from({ length: 1 + Math.floor(random.next() * 40) }, () => random.next() * 256));
}

const epoch_ms = () => performance.timeOrigin + performance.now();

test(`${KILLS} killed bridges: nothing outside limits, nothing past its deadline, running again without help`, async () => {
  const random = new Random(23);
  const { arrivals, state, start, kill } = bridges();
  const storm = await network(() => state.port, random);
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
  expect(storm.seen.left_late_ms).toBeLessThanOrEqual(-LIFETIME_MS / 2);
  expect(robot.drops.expired).toBe(0);
  expect(supervisor.counts.internal_error).toBe(0);
  // It was as bad as it was meant to be.
  expect(state.killed).toBe(KILLS);
  expect(pids.size).toBe(KILLS + 1);
  expect(arrivals.length).toBeGreaterThan(5 * KILLS);
  expect(storm.seen.left).toBeGreaterThan(5 * KILLS);
  expect(storm.seen.duplicated).toBeGreaterThan(100);
  expect(storm.seen.overtaken).toBeGreaterThan(100);
  expect(storm.seen.torn).toBeGreaterThan(20);
  expect(storm.seen.garbage).toBeGreaterThan(20);
  expect(robot.client.counters().malformed).toBeGreaterThan(10);
  expect(Math.max(...arrivals.map(({ malformed }) => malformed))).toBeGreaterThan(0);
  expect(supervisor.counts.robot_lost).toBeGreaterThan(0);
  expect(robot.client.counters().opened).toBeGreaterThan(KILLS);
});
