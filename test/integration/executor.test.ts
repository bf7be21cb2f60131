// The executor's thread on a real UDP socket, with this process fed, stalled and stopped.

import { spawn } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { MonotonicClock } from '../../src/control/index.js';
import { addon } from '../../src/native/index.js';
import { Random } from '../../src/sim/random.js';
import { RealTimeExecutor } from '../../src/sinks/index.js';
import type { ActionChunk } from '../../src/types/index.js';
import { closedAfterEach, until, wait } from './support.js';

interface Datagram {
  readonly phase: number;
  readonly sequence: number;
  readonly stamp_ns: bigint;
  readonly expires_ns: bigint;
  readonly values: number[];
}

function read(bytes: Buffer): Datagram {
  expect(bytes.subarray(0, 4).toString()).toBe('TND1');
  const joints = bytes.readUInt16LE(4);
  expect(bytes.length).toBe(32 + 8 * joints);
  return {
    phase: bytes.readUInt16LE(6),
    sequence: Number(bytes.readBigUInt64LE(8)),
    stamp_ns: bytes.readBigInt64LE(16),
    expires_ns: bytes.readBigInt64LE(24),
    values: Array.from({ length: joints }, (_, i) => bytes.readDoubleLE(32 + 8 * i)),
  };
}

const closers = closedAfterEach();
const clock = new MonotonicClock();
/** Nothing of this process runs but native threads. */
const stall = (ms: number): void => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
};

const LIMITS = { lower: [-1, -1], upper: [1, 1], velocity: [1, 1], acceleration: [10, 10] };

async function drive() {
  const socket: Socket = createSocket('udp4');
  const got: Datagram[] = [];
  socket.on('message', (bytes) => got.push(read(bytes)));
  await new Promise<void>((bound) => socket.bind(0, '127.0.0.1', bound));
  // What a second of commands at 1 kHz needs while nobody reads.
  socket.setRecvBufferSize(1 << 20);
  closers.push(() => socket.close());
  const { port } = socket.address() as AddressInfo;
  const executor = new RealTimeExecutor(
    new (addon().Executor)({
      joints: 2,
      rate_hz: 1000,
      limits: LIMITS,
      heartbeat_ms: 60,
      lifetime_ms: 40,
      gap_ms: 60_000, // a busy machine is not what these tests are about
      udp: { host: '127.0.0.1', port },
    }),
    clock,
  );
  closers.push(() => executor.close());
  executor.start();
  return { executor, got };
}

/** From 0 to `to` at 0.5 per s in rows of 20 ms. */
function ramp(rows: number, stamp_ns = clock.now_ns()): ActionChunk {
  return {
    stamp_ns,
    period_ns: 20e6,
    horizon: rows,
    action_dim: 2,
    actions: Float32Array.from({ length: 2 * rows }, (_, i) => 0.01 * (i >> 1)),
    n_candidates: 1,
    chosen: 0,
    timing: { queue_ns: 0, observe_ns: 0, denoise_ns: 0, total_ns: 0 },
  };
}

/** Nothing in a row of commands breaks a limit. Sequences without a gap: every step is one period. */
function withinLimits(commands: readonly Datagram[]): void {
  for (let j = 0; j < 2; j++) {
    let speed: number | undefined;
    for (let i = 1; i < commands.length; i++) {
      const [a, b] = [commands[i - 1]!, commands[i]!];
      expect(Math.abs(b.values[j]!)).toBeLessThanOrEqual(1);
      if (b.sequence !== a.sequence + 1) {
        speed = undefined;
        continue;
      }
      const now = (b.values[j]! - a.values[j]!) / 1e-3;
      expect(Math.abs(now)).toBeLessThanOrEqual(1 + 1e-9);
      // Two differences of positions near 1, each rounded to 2^-53, over 1 ms twice.
      if (speed !== undefined) expect(Math.abs(now - speed) / 1e-3).toBeLessThanOrEqual(10 + 1e-6);
      speed = now;
    }
  }
}

describe('the executor on a socket', () => {
  test('a chunk goes out at the control rate, stamped, in order, expiring', async () => {
    const { executor, got } = await drive();
    executor.begin([0, 0]);
    executor.feed(ramp(20));
    await until('100 commands', () => {
      executor.beat();
      return got.length >= 100;
    });
    const here_ns = BigInt(Date.now()) * 1_000_000n;
    for (const { stamp_ns, expires_ns } of got) expect(expires_ns - stamp_ns).toBe(40_000_000n);
    got.forEach(({ sequence }, i) => {
      expect(sequence).toBe(i + 1);
    });
    const age_ns = Number(here_ns - got[0]!.stamp_ns);
    expect(Math.abs(age_ns)).toBeLessThan(10e9);
    expect(got.at(-1)!.values[0]).toBeGreaterThan(0);
    withinLimits(got);
    const drained: number[] = [];
    executor.drain(({ sequence, values }) => {
      drained.push(sequence);
      const same = got.find((d) => d.sequence === sequence);
      if (same !== undefined) expect([...values]).toEqual(same.values);
    });
    expect(drained.length).toBeGreaterThanOrEqual(100);
  });

  test('with JavaScript stalled it goes on, finishes, brakes and holds; a new chunk sets it going', async () => {
    const { executor, got } = await drive();
    executor.begin([0, 0]);
    executor.feed(ramp(5)); // 100 ms, but the heartbeat is good for 60
    stall(300);
    await until('what was sent in the meantime', () => got.length >= 250);
    withinLimits(got);
    const held = got.at(-1)!;
    expect(held.phase).toBe(2);
    expect(got.some(({ phase }) => phase === 1)).toBe(true);
    // It came to rest while nobody looked: the last 100 commands are one position.
    expect(new Set(got.slice(-100).map(({ values }) => values[0])).size).toBe(1);
    expect(executor.stats()).toMatchObject({ heartbeats_lost: 1, phase: 'holding' });
    executor.feed(ramp(50));
    await until('it follows again', () => {
      executor.beat();
      return got.at(-1)!.phase === 1;
    });
    withinLimits(got);
  });

  test('an emergency stop: at most the command of the tick under way, then none until a new beginning', async () => {
    const { executor, got } = await drive();
    executor.begin([0, 0]);
    executor.feed(ramp(50));
    await until('commands', () => got.length > 20);
    const before = executor.stats().commands;
    executor.emergencyStop();
    stall(20);
    const after = executor.stats().commands;
    // The stop came during a tick or between two; `before` was read up to a few ticks earlier.
    stall(50);
    executor.feed(ramp(50));
    stall(20);
    expect(executor.stats()).toMatchObject({ commands: after, phase: 'stopped' });
    expect(after).toBeGreaterThanOrEqual(before);
    await wait(20);
    const last = got.at(-1)!;
    expect(last.sequence).toBe(after);
    executor.begin([0.5, 0.5]);
    await until('commands again', () => got.at(-1)!.sequence > after);
    const first = got.find(({ sequence }) => sequence === after + 1)!;
    expect(first.values).toEqual([0.5, 0.5]);
  });

  test('a thousand chunks of any kind, late and early, while it runs: nothing leaves the limits', async () => {
    const { executor, got } = await drive();
    const random = new Random(3);
    executor.begin([0, 0]);
    for (let i = 0; i < 1000; i++) {
      const rows = 1 + Math.floor(random.next() * 8);
      const actions = Float32Array.from({ length: 2 * rows }, () =>
        random.next() < 0.1 ? Number.NaN : random.normal() * 10 ** random.uniform(-2, 3),
      );
      const stamp_ns = clock.now_ns() + random.uniform(-50e6, 50e6);
      executor.feed({ ...ramp(1), actions, horizon: rows, stamp_ns: Math.round(stamp_ns) });
      if (i % 10 === 0) await wait(1);
    }
    await until('commands', () => got.length > 100);
    withinLimits(got);
  });

  test('a process that was stopped and continued sends nothing until it begins anew where the robot is', async () => {
    const socket = createSocket('udp4');
    const got: Datagram[] = [];
    socket.on('message', (bytes) => got.push(read(bytes)));
    await new Promise<void>((bound) => socket.bind(0, '127.0.0.1', bound));
    closers.push(() => socket.close());
    const { port } = socket.address() as AddressInfo;
    const addonPath = fileURLToPath(new URL('../../build/Release/tendon.node', import.meta.url));
    // It feeds and beats by itself all the time: going on is what it would do if it could.
    const child = spawn(
      process.execPath,
      [
        '-e',
        `const { Executor } = require(${JSON.stringify(addonPath)});
         const e = new Executor({ joints: 2, rate_hz: 500, lifetime_ms: 400, gap_ms: 200, udp: { host: '127.0.0.1', port: ${port} },
           limits: { lower: [-9, -9], upper: [9, 9], velocity: [1, 1], acceleration: [10, 10] } });
         e.start();
         e.begin(Float64Array.of(0, 0));
         setInterval(() => { e.beat(); e.feed(e.nowNs(), 2e9, Float32Array.of(9, 9)); }, 10);
         process.stdin.on('data', (text) => {
           if (String(text).startsWith('begin')) e.begin(Float64Array.of(-3, -3));
           console.log(e.phase + ' ' + e.stats().interruptions);
         });`,
      ],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    closers.push(() => child.kill('SIGKILL'));
    const said: string[] = [];
    child.stdout.on('data', (text) => said.push(...String(text).trim().split('\n')));
    await until('it moves', () => (got.at(-1)?.values[0] ?? 0) > 0.05);
    for (let round = 1; round <= 3; round++) {
      child.kill('SIGSTOP');
      await wait(500);
      const before = got.length;
      child.kill('SIGCONT');
      child.stdin.write('phase\n');
      await until('it says its phase', () => said.length === 2 * round - 1);
      await wait(100);
      expect(said.at(-1)).toBe(`interrupted ${round}`);
      expect(got.length).toBe(before);
      child.stdin.write('begin\n');
      await until('commands again', () => got.length > before + 20);
      // The first command may have begun to follow what was fed since: a period at 10 per s².
      for (const value of got[before]!.values) expect(Math.abs(value + 3)).toBeLessThan(1e-4);
      const leaps = got
        .slice(before + 1)
        .filter((d, i) => Math.abs(d.values[0]! - got[before + i]!.values[0]!) > 0.1);
      expect(leaps).toEqual([]);
    }
  });
});
