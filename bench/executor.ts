// `tendon bench --executor`: how late the real-time thread is while inference takes every core and the event loop now
// and then stands still, and whether every hold that was due began in the period it was due in.

import { setTimeout as sleep } from 'node:timers/promises';
import { MonotonicClock } from '../src/control/index.js';
import { MachineWatch, ofItself } from '../src/host/machine-watch.js';
import { addon, native } from '../src/native/index.js';
import { loadPolicy } from '../src/policies/index.js';
import { RealTimeExecutor } from '../src/sinks/index.js';
import { NS_PER_S } from '../src/types/index.js';

export interface ExecutorBench {
  readonly policy: string;
  readonly seconds: number;
  readonly threads: number;
  /** As an ordinary thread: neither SCHED_FIFO nor locked memory is asked for. */
  readonly plain: boolean;
}

const RATE_HZ = 1000;
const HEARTBEAT_MS = 100;
const FIFO_PRIORITY = 80;
/** Every so often nothing is fed until the chunk is over, and JavaScript stands still for longer than a heartbeat. */
const STARVE_EVERY_S = 2;
const STALL_EVERY_S = 5;
const STALL_MS = 250;
const CANDIDATES = 128;

export async function benchExecutor(options: ExecutorBench, say: (line: string) => void): Promise<number> {
  const { seconds, threads, plain } = options;
  // Inferences much longer than their hand-over, and a second policy beside the first: no core is idle between two.
  const load = { compute: { threads }, sampling: { candidates: CANDIDATES } };
  const policy = await loadPolicy(options.policy, load);
  const second = await loadPolicy(options.policy, load);
  const { spec } = policy;
  const joints = spec.action_dim;
  const clock = new MonotonicClock();
  const executor = new RealTimeExecutor(
    native(
      () =>
        new (addon().Executor)({
          joints,
          rate_hz: RATE_HZ,
          limits: {
            lower: new Array(joints).fill(-10),
            upper: new Array(joints).fill(10),
            velocity: new Array(joints).fill(5),
            acceleration: new Array(joints).fill(50),
          },
          interpolation: 'cubic',
          heartbeat_ms: HEARTBEAT_MS,
          ring_rows: 8192,
          ...(plain ? {} : { fifo_priority: FIFO_PRIORITY, lock_memory: true }),
        }),
    ),
    clock,
  );
  const values = Object.fromEntries(
    Object.entries(spec.observation_dims).map(([key, length]) => [key, new Float32Array(length)]),
  );
  const goal = Object.fromEntries(
    Object.entries(spec.goal_dims).map(([key, length]) => [key, new Float32Array(length)]),
  );
  const began_s = performance.now() / 1000;
  const elapsed = (): number => performance.now() / 1000 - began_s;
  executor.start();
  executor.begin(new Float64Array(joints));
  const beats = setInterval(() => executor.beat(), 10);
  const before = process.resourceUsage();
  const watch = new MachineWatch(clock);
  let inferences = 0;
  const infer = async (by = policy) => {
    const chunk = await by.infer({ stamp_ns: clock.now_ns(), values }, { goal });
    inferences++;
    return chunk;
  };
  const beside = (async () => {
    while (elapsed() < seconds) await infer(second);
  })();
  let starved = 0;
  let stalled = 0;
  let drained = 0;
  try {
    while (elapsed() < seconds) {
      const chunk = await infer();
      executor.feed({ ...chunk, period_ns: chunk.period_ns || NS_PER_S / (spec.rate_hz ?? 50) });
      if (elapsed() > STARVE_EVERY_S * (starved + 1)) {
        starved++;
        const held = executor.stats().used_up;
        while (executor.stats().used_up === held && elapsed() < seconds) await infer();
      }
      if (elapsed() > STALL_EVERY_S * (stalled + 1)) {
        stalled++;
        const until = performance.now() + STALL_MS;
        while (performance.now() < until);
      }
      drained += executor.drain(() => undefined);
      await sleep(0);
    }
    await beside;
  } finally {
    clearInterval(beats);
    executor.close();
    policy.close();
    second.close();
  }
  const used = process.resourceUsage();
  const cores = (used.userCPUTime + used.systemCPUTime - before.userCPUTime - before.systemCPUTime) / 1e6;
  const stats = executor.stats();
  const machine = watch.end([], NS_PER_S / RATE_HZ);
  const us = (ns: number): string => `${(ns / 1000).toFixed(0)} µs`;
  say(`executor: ${RATE_HZ} Hz for ${seconds} s, ${joints} joints, ${plain ? 'an ordinary thread' : `SCHED_FIFO ${FIFO_PRIORITY} and locked memory asked for`}${stats.refused === '' ? '' : `; refused: ${stats.refused}`}
  load             ${inferences} inferences of ${options.policy}, two at a time, ${CANDIDATES} candidates, ${threads} threads each: ${(cores / elapsed()).toFixed(2)} cores busy
  lateness         p50 ${us(stats.late_p50_ns)}, p99 ${us(stats.late_p99_ns)}, p99.9 ${us(stats.late_p999_ns)}, max ${us(stats.late_max_ns)}
  ticks            ${stats.ticks}, ${stats.missed_ticks} missed; ${stats.commands} commands, ${drained} drained, ${stats.ring_full} found the ring full
  holds            ${stats.used_up} for chunks used up, ${stats.heartbeats_lost} for lost heartbeats (event loop blocked ${stalled} × ${STALL_MS} ms)
  missed holds     ${stats.missed_holds}
  the machine      ${ofItself(machine)}`);
  return stats.missed_holds === 0 ? 0 : 1;
}
