// What a session holds does not grow while it runs: with a robot that comes and goes, a page that is opened and left, a
// recording, and messages that are refused. Half a minute; TENDON_SOAK_MINUTES makes it longer.

import { fork } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { header, jointState, RosbridgeServer } from '../../src/rosbridge/index.js';
import { closedAfterEach } from './support.js';
import { writeTinyAct } from './tiny-act.js';

const PROGRAM = fileURLToPath(new URL('soak-program.mjs', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'tendon-soak-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const closers = closedAfterEach();

const minutes = Number(process.env.TENDON_SOAK_MINUTES ?? 0);
const SECONDS = minutes > 0 ? 60 * minutes : 20;
/** Rings that are still filling, and what is on its way at the moment of the count. */
const MOST = 600;

interface Report {
  readonly early: Record<string, number>;
  readonly late: Record<string, number>;
  /** Bytes, once a second. */
  readonly memory: readonly { readonly s: number; readonly rss: number; readonly heapUsed: number }[];
  readonly ticks: number;
}

/** The slope of a straight line through the second half of the samples, MB/h. */
function growth(memory: Report['memory'], key: 'rss' | 'heapUsed'): number {
  const half = memory.slice(memory.length >> 1);
  const mean = (of: (one: Report['memory'][number]) => number) =>
    half.reduce((sum, one) => sum + of(one), 0) / half.length;
  const [s, bytes] = [mean((one) => one.s), mean((one) => one[key])];
  const slope = mean((one) => (one.s - s) * (one[key] - bytes)) / mean((one) => (one.s - s) ** 2);
  return (slope * 3600) / 1e6;
}

test(
  'a session holds no more objects late than early',
  async () => {
    const server = await RosbridgeServer.start({ port: 0 });
    closers.push(() => server.close());
    const position = [0, 0];
    server.subscribe('/command', (msg) => position.splice(0, 2, ...(msg.data as number[])));
    const publish = server.advertise('/joint_states', 'sensor_msgs/JointState');
    let n = 0;
    const timer = setInterval(() => {
      // One in a hundred is refused.
      if (++n % 100 === 0) publish(jointState(header(), ['a', 'b'], [Number.NaN, 0]));
      else publish(jointState(header(), ['a', 'b'], position));
    }, 5);
    closers.push(() => clearInterval(timer));
    const robot = join(folder, 'arm.yaml');
    writeFileSync(
      robot,
      `
name: two
bridge: { url: '${server.url}' }
rate_hz: 100
joints:
  a: { lower: -9, upper: 9, velocity: 0.5, acceleration: 1 }
  b: { lower: -9, upper: 9, velocity: 0.5, acceleration: 1 }
measured: observation.state
observation:
  - { topic: /joint_states, type: sensor_msgs/JointState, features: { observation.state: { length: 2 } } }
command: { topic: /command, type: std_msgs/Float64MultiArray }
`,
    );
    const policy = writeTinyAct(join(folder, 'arm'), 2, [8, -8], 100);
    const child = fork(PROGRAM, [robot, policy, server.url, join(folder, 'soak.mcap'), String(SECONDS)]);
    closers.push(() => child.kill('SIGKILL'));
    let report: Report | undefined;
    child.on('message', (message: string | Report) => {
      if (typeof message === 'object') {
        report = message;
        return;
      }
      const visit = setInterval(() => {
        const page = new WebSocket(`${message.replace('http', 'ws')}live`);
        page.on('error', () => undefined);
        page.on('open', () => setTimeout(() => page.terminate(), 300));
      }, 500);
      closers.push(() => clearInterval(visit));
    });
    await new Promise((resolve) => child.once('exit', resolve));
    expect(report).toBeDefined();
    const { early, late, memory, ticks } = report!;
    const grown = Object.entries(late).map(([kind, count]) => [kind, count - early[kind]!] as const);
    console.log(
      `${ticks} periods in ${SECONDS} s; objects more than before: ${JSON.stringify(Object.fromEntries(grown))}; second half: ${growth(memory, 'rss').toFixed(1)} MB/h resident, ${growth(memory, 'heapUsed').toFixed(1)} MB/h of the heap`,
    );
    expect(ticks).toBeGreaterThan(5 * SECONDS);
    for (const [kind, more] of grown) expect(more, kind).toBeLessThan(MOST);
  },
  (SECONDS + 120) * 1000,
);
