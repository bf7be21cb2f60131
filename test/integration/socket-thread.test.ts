// Sockets on threads of their own, from the built program: while this process is held up the server's queue is drained,
// and what is acted on afterwards is fresh. The server is a process of its own, so that it goes on.

import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { ClientOptions } from '../../src/rosbridge/client/options.js';
import { closedAfterEach, wait } from './support.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const { BridgeClient } = (await import(
  join(root, 'dist/rosbridge/index.js')
)) as typeof import('../../src/rosbridge/index.js');

/** 100 frames a second of 60 kB, each with when it was sent; says what the server thinks of its client when asked. */
const SERVER = `
import { RosbridgeServer } from './dist/rosbridge/index.js';
const server = await RosbridgeServer.start({ port: 0 });
const publish = server.advertise('/frames', 'demo/Frame');
const filler = 'x'.repeat(60_000);
let sequence = 0;
setInterval(() => publish({ sequence: ++sequence, sent_ms: Date.now(), filler }), 10);
server.service('/add', 'demo/Add', ({ a, b }) => ({ sum: a + b }));
console.log(server.url);
process.stdin.on('data', () => console.log(JSON.stringify({ sequence, ...server.stats() })));
`;

const closers = closedAfterEach();

async function serve() {
  const child: ChildProcess = spawn(process.execPath, ['--input-type=module', '-e', SERVER], {
    cwd: root,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  closers.push(() => child.kill());
  const line = () =>
    new Promise<string>((resolve) => child.stdout!.once('data', (data) => resolve(String(data).trim())));
  const url = await line();
  const stats = async () => {
    const answer = line();
    child.stdin!.write('?');
    return JSON.parse(await answer) as { sequence: number; dropped: number };
  };
  return { url, stats };
}

interface Frame {
  readonly sequence: number;
  readonly sent_ms: number;
  /** When it came by this process' clock, and when it was looked at, ms. */
  readonly arrived_ms: number;
  readonly seen_ms: number;
}

async function watch(url: string, more: Partial<ClientOptions>) {
  const frames: Frame[] = [];
  const client = new BridgeClient({ url, now_ns: () => Math.round(performance.now() * 1e6), ...more });
  closers.push(() => client.close());
  client.subscribe('/frames', 'demo/Frame', ({ sequence, sent_ms }, arrived_ns) => {
    const seen_ms = performance.now();
    frames.push({ sequence, sent_ms, arrived_ms: arrived_ns / 1e6, seen_ms } as Frame);
  });
  await client.connect();
  for (const end = performance.now() + 10_000; frames.length < 20 && performance.now() < end; ) await wait(5);
  expect(frames.length).toBeGreaterThan(19);
  return { client, frames };
}

/** The event loop of this process does nothing for so long. */
const stall = (ms: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

test('held up for three seconds: the server loses nothing to wait for, and what comes then is new or known to be old', async () => {
  const { url, stats } = await serve();
  const { client, frames } = await watch(url, { socket_thread: true });
  await wait(200);
  const before = await stats();
  const heard = frames.length;
  stall(3000);
  const resumed_ms = performance.now();
  const isNew = ({ arrived_ms }: Frame): boolean => arrived_ms > resumed_ms - 100;
  for (const end = resumed_ms + 10_000; frames.filter(isNew).length < 11 && performance.now() < end; )
    await wait(20);
  const after = await stats();
  const later = frames.slice(heard);
  const told = after.sequence - before.sequence;
  expect(told).toBeGreaterThan(60);
  // The thread read all along; a machine that is busy with other things may make it miss a few.
  expect(after.dropped - before.dropped).toBeLessThan(told / 4);
  // A handful of messages instead of 300: what lay there from before, and the newest.
  const first = later.filter(({ seen_ms }) => seen_ms - resumed_ms < 50);
  expect(first.length).toBeLessThan(20);
  for (const { arrived_ms, seen_ms, sent_ms } of later) {
    const age_ms = Date.now() - performance.now() + seen_ms - sent_ms;
    // Its arrival is told as it was: nothing of three seconds ago passes for new.
    expect(Math.abs(age_ms - (seen_ms - arrived_ms))).toBeLessThan(1000);
  }
  expect(later.filter(isNew).length).toBeGreaterThan(10);
  expect(frames.every(({ sequence }, i) => i === 0 || sequence > frames[i - 1]!.sequence)).toBe(true);
  expect(client.counters().malformed).toBe(0);
});

test('without the thread the same stall backs up into the server, which is what it is for', async () => {
  const { url, stats } = await serve();
  await watch(url, {});
  await wait(200);
  const before = await stats();
  stall(3000);
  const after = await stats();
  expect(after.dropped - before.dropped).toBeGreaterThan(50);
});

test('calls, a server that goes and comes back, and separate sockets work as without threads', async () => {
  const { url } = await serve();
  const { client, frames } = await watch(url, {
    socket_thread: true,
    separate_connections: true,
    backoff_ms: [5, 20],
  });
  expect(await client.call('/add', 'demo/Add', { a: 2, b: 3 })).toEqual({ sum: 5 });
  const states: boolean[] = [];
  client.onStatus(({ connected }) => states.push(connected));
  await closers.splice(0, 1)[0]!();
  for (const end = performance.now() + 10_000; !states.includes(false) && performance.now() < end; )
    await wait(5);
  expect(states).toContain(false);
  const heard = frames.length;
  await wait(100);
  expect(frames.length - heard).toBeLessThan(5);
  await expect(client.call('/add', 'demo/Add', { a: 1, b: 1 }, 200)).rejects.toThrow();
});
