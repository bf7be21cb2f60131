// A fault-injecting rig: a controller in a process of its own, behind a network that fails as the seed says, before a robot
// that holds every command against limits, continuity, age and what people said. Prints a table of what was injected.
// TENDON_RIG_S gives each run more time than the few seconds of a test, TENDON_RIG_SEED another seed.

import { afterEach, expect, test } from 'vitest';
import { Random } from '../../../src/sim/random.js';
import { EXECUTOR_PHASES } from '../../../src/types/index.js';
import { network } from '../chaos-network.js';
import { until, wait } from '../support.js';
import { Under } from './child.js';
import { AHEAD_MS, Drive, LIES, WAYS, type Way } from './drive.js';
import { LIFETIME_MS, LIMITS, RATE_HZ } from './judge.js';

const RUN_MS = 1e3 * Number(process.env.TENDON_RIG_S ?? 7);
const SEED = Number(process.env.TENDON_RIG_SEED ?? 1);
/** The slowest message is so long on its way, ms. */
const SLOWEST_MS = 250;
const RUNS = WAYS.flatMap((way) => [false, true].map((socket_thread) => [way, socket_thread] as const));

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});
const table: Record<string, Record<string, number | string>> = {};

function fileOf(way: Way, url: string, socket_thread: boolean, udp_port: number): string {
  const command = {
    topic: '{ topic: /command, type: trajectory_msgs/JointTrajectory, lifetime_ms: LIFE }',
    udp: '{ topic: /command, type: trajectory_msgs/JointTrajectory, lifetime_ms: LIFE }',
    base: '{ topic: /command, type: geometry_msgs/TwistStamped, names: [linear.x, angular.z], lifetime_ms: LIFE }',
    jog: '{ topic: /command, type: control_msgs/JointJog, lifetime_ms: LIFE }',
    goals: `{ topic: /follow, type: control_msgs/FollowJointTrajectory, interval_ms: 80, ahead_ms: ${AHEAD_MS}, lifetime_ms: LIFE }`,
  }[way].replace('LIFE', String(LIFETIME_MS));
  const joint = (i: number) =>
    `{ lower: ${LIMITS.lower[i]}, upper: ${LIMITS.upper[i]}, velocity: ${LIMITS.velocity[i]}, acceleration: ${LIMITS.acceleration[i]} }`;
  return `
name: rig
bridge: { url: '${url}', dialect: embedded, socket_thread: ${socket_thread} }
rate_hz: ${RATE_HZ}
joints:
  a: ${joint(0)}
  b: ${joint(1)}
observation:
  - { topic: /joint_states, type: sensor_msgs/JointState, features: { joint_position: { length: 2 } } }
command: ${command}
stop: { topic: /estop, type: std_msgs/Bool }
${way === 'udp' ? `executor: { rate_hz: 500, udp: { host: 127.0.0.1, port: ${udp_port} } }` : ''}
deadlines: { no_data_ms: ${way === 'base' || way === 'jog' ? 1500 : 300}, freshness_ms: 150, resume_within_ms: 700, connect_ms: 30000 }`;
}

test.each(RUNS)(
  '%s, socket thread %s: nothing outside the limits, nothing old, no leap, no stop lost',
  async (way, socket_thread) => {
    const random = new Random(SEED * 100 + RUNS.findIndex(([w, t]) => w === way && t === socket_thread));
    const drive = await Drive.start(way);
    closers.push(() => drive.close());
    let away = false;
    const storm = await network({
      port: () => (away ? 0 : drive.server.port),
      random,
      closers,
      // A drive refuses what was overtaken, by its stamp; a controller of trajectories has no reason to expect it.
      ordered: way === 'goals',
      onArrive: (text, passage) => drive.passes(text, passage),
    });
    const under = new Under(fileOf(way, storm.url, socket_thread, drive.udp_port), SEED);
    closers.push(() => under.kill());
    drive.ahead_ms = () => under.now.ahead_ms;
    const counts: Record<string, number> = {};
    const lost: string[] = [];
    const running = () => under.now.state === 'RUNNING';

    /** An operator looks at the robot and sets it going again, whatever stands in the way, until it is commanded. */
    const goOn = async (): Promise<void> => {
      let had = drive.commands;
      for (let tries = 0; tries < 1000; tries++) {
        const { state, held } = under.now;
        if (running() && drive.commands > had + (way === 'goals' ? 1 : 3)) return;
        if (!running()) had = drive.commands;
        if (state === 'STOPPED') under.say('reset');
        else if (state === 'READY') under.say('go');
        else if (state === 'TELEOP') under.say('release');
        else if (state === 'HOLD' && (held || tries % 40 === 39)) under.say('resume');
        await wait(30);
      }
      throw new Error(`never commanded: ${under.now.state}, ${under.now.cause} ${under.errors}`);
    };
    /** Nothing may set it going but a person. */
    const waits = async (why: string): Promise<void> => {
      await wait(300);
      if (running()) lost.push(why);
    };
    const lies = async (lie: (typeof LIES)[number], longest_ms: number): Promise<void> => {
      drive.lie = lie;
      await wait(random.next() < 0.7 ? 6 : random.uniform(20, longest_ms));
      drive.lie = undefined;
    };
    const leaves = async (ms: number): Promise<void> => {
      away = true;
      storm.cut();
      await wait(ms);
      away = false;
    };

    const faults: Record<string, () => Promise<void>> = {
      ...Object.fromEntries(LIES.map((lie) => [`what it says: ${lie}`, () => lies(lie, 300)])),
      'a long silence': () => lies('silence', 900),
      'a cut': async () => {
        storm.cut();
        await wait(random.uniform(0, 100));
      },
      'one line cut': async () => {
        storm.cut(Math.floor(random.next() * 3));
        await wait(random.uniform(0, 100));
      },
      'a bridge away': () => leaves(random.uniform(50, 1000)),
      slow: async () => {
        storm.weather.longest_ms = random.uniform(20, SLOWEST_MS);
        await wait(random.uniform(100, 400));
        storm.weather.longest_ms = 0;
      },
      doubled: async () => {
        Object.assign(storm.weather, { longest_ms: 20, twice: 0.5 });
        await wait(random.uniform(50, 150));
        Object.assign(storm.weather, { longest_ms: 0, twice: 0 });
      },
      torn: async () => {
        storm.weather.torn = 0.1;
        await wait(random.uniform(50, 150));
        storm.weather.torn = 0;
      },
      garbage: async () => {
        storm.weather.garbage = 0.2;
        await wait(random.uniform(50, 150));
        storm.weather.garbage = 0;
      },
      'an end that does not read': async () => {
        storm.read(false);
        await wait(random.uniform(10, 400));
        storm.read(true);
      },
      'a process that stands still': async () => {
        under.stand();
        await wait(50);
        // Nothing is commanded any more: other hands move the robot.
        if (drive.silent_ms > 40) drive.moved([random.uniform(-0.9, 0.9), random.uniform(-0.9, 0.9)]);
        await wait(random.uniform(0, 1) ** 2 * 1000);
        under.goOn();
      },
      'a stop': async () => {
        drive.stop(true);
        await until('STOPPED', () => under.now.state === 'STOPPED');
        drive.stop(false);
        await waits('a stop');
      },
      'a stop that nobody hears': async () => {
        away = true;
        storm.cut();
        await wait(60);
        drive.stop(true);
        await wait(60);
        away = false;
        await waits('a stop while the bridge was away');
      },
      'a stop while it stands still': async () => {
        under.stand();
        await wait(20);
        drive.stop(true);
        await wait(random.uniform(50, 200));
        under.goOn();
        await until('STOPPED', () => under.now.state === 'STOPPED');
        drive.stop(false);
        await waits('a stop while the process stood still');
      },
      'a hold': async () => {
        under.say('hold');
        await until('HOLD', () => under.now.state !== 'RUNNING');
        await waits('a hold');
      },
      'a person who falls silent': async () => {
        under.say(JSON.stringify([0.5, -0.5]));
        await until('TELEOP', () => under.now.state === 'TELEOP' || !running());
        await until('silence noticed', () => under.now.state !== 'TELEOP');
        await waits('a silent person');
      },
    };

    await until('READY', () => under.now.state === 'READY' || under.gone, 30_000);
    expect(under.gone ? under.errors : []).toEqual([]);
    await goOn();
    // A real-time thread that goes on where it stood when the process is continued would leap: one that cannot be
    // interrupted is not stopped, and the table says so.
    const spared = way === 'udp' && !(EXECUTOR_PHASES as readonly string[]).includes('interrupted');
    if (spared) for (const name of Object.keys(faults)) if (/still/.test(name)) delete faults[name];
    // Each in turn, in an order of the seed's.
    const names = Object.keys(faults)
      .map((name) => ({ name, at: random.next() }))
      .sort((a, b) => a.at - b.at)
      .map(({ name }) => name);
    const { judge } = drive;
    const found: string[] = [];
    let injected = 0;
    const end_ms = performance.now() + RUN_MS;
    while (performance.now() < end_ms || injected < 4) {
      const name = names[injected++ % names.length]!;
      counts[name] = (counts[name] ?? 0) + 1;
      await faults[name]!();
      await goOn();
      await wait(random.uniform(20, 100));
      for (const one of judge.broken.splice(0)) found.push(`${injected}, ${name}: ${one}`);
    }
    table[`${way}${socket_thread ? ', thread' : ''}`] = {
      commands: drive.commands,
      'late by the network': drive.late,
      faults: injected,
      broken: found.length,
      'stops lost': lost.length,
      'oldest, ms': Math.round(judge.oldest_ms),
      'stood still': spared ? 'left out' : (counts['a process that stands still'] ?? 0),
    };
    expect(found.slice(0, 20)).toEqual([]);
    expect(lost).toEqual([]);
    expect(under.gone).toBe(false);
    expect(injected).toBeGreaterThan(3);
    expect(drive.commands).toBeGreaterThan(10);
  },
  60_000 + 4 * RUN_MS,
);

test('what was injected', () => {
  console.table(table);
  expect(Object.keys(table).length).toBe(RUNS.length);
});
