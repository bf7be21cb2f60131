// The native executor by hand-made time: the same numbers in give the same numbers out as in control's own loop.

import { describe, expect, test } from 'vitest';
import { Limiter } from '../../src/control/limiter.js';
import { ChunkPlayer } from '../../src/control/player.js';
import { addon, native } from '../../src/native/index.js';
import { Random } from '../../src/sim/random.js';
import { RealTimeExecutor } from '../../src/sinks/index.js';
import type { ActionChunk, ExecutorOptions } from '../../src/types/index.js';

const LIMITS = { lower: [-1, -0.2, 0], upper: [1, 0.5, 3], velocity: [2, 0.5, 4] };
const PERIOD_NS = 1e6;

function open(more: Partial<ExecutorOptions> = {}) {
  const port = native(
    () => new (addon().Executor)({ joints: 3, rate_hz: 1000, limits: LIMITS, heartbeat_ms: 1e6, ...more }),
  );
  return { port, executor: new RealTimeExecutor(port, { now_ns: () => port.nowNs() }) };
}

function chunkOf(rows: readonly (readonly number[])[], stamp_ns: number, period_ns: number): ActionChunk {
  return {
    stamp_ns,
    period_ns,
    horizon: rows.length,
    action_dim: 3,
    actions: Float32Array.from(rows.flat()),
    n_candidates: 1,
    chosen: 0,
    timing: { queue_ns: 0, observe_ns: 0, denoise_ns: 0, total_ns: 0 },
  };
}

describe('the limits of the executor', () => {
  test.each([
    [undefined, undefined],
    [[20, 5, 40], undefined],
    [
      [20, 5, 40],
      [100, 200, 300],
    ],
  ])('are those of control, to the last bit (acceleration %s, jerk %s)', (acceleration, jerk) => {
    const limits = { ...LIMITS, acceleration, jerk };
    const { port } = open({ limits });
    const random = new Random(acceleration === undefined ? 5 : 6);
    const start = Float64Array.of(0, 0.1, 1);
    const limiter = new Limiter(limits, new Float64Array(3));
    limiter.restart(start);
    port.begin(start);
    const row = new Float64Array(port.row);
    const expected = new Float64Array(3);
    const different: unknown[] = [];
    for (let i = 1; i <= 50_000; i++) {
      // Near targets exercise the braking, far and broken ones the rest.
      const target = Float32Array.from(limiter.previous, (at) => {
        const kind = random.next();
        if (kind < 0.02) return Number.NaN;
        if (kind < 0.03) return Number.POSITIVE_INFINITY;
        return kind < 0.6 ? at + 0.01 * random.normal() : random.uniform(-1.5, 3.5);
      });
      port.feed(i * PERIOD_NS, PERIOD_NS, target);
      port.tick(i * PERIOD_NS);
      limiter.limit(target, PERIOD_NS / 1e9, expected);
      if (port.drain(row) !== 1) throw new Error('no command');
      const got = row.subarray(4);
      if (!expected.every((v, j) => v === got[j])) different.push([i, [...got], [...expected]]);
    }
    expect(different.slice(0, 3)).toEqual([]);
  });

  test.each(['linear', 'cubic', 'quintic'] as const)(
    '%s interpolation answers as player.ts',
    (interpolation) => {
      const wide = { lower: [-9, -9, -9], upper: [9, 9, 9], velocity: [1e4, 1e4, 1e4] };
      const { port } = open({ limits: wide, interpolation });
      const random = new Random(7);
      const chunk = chunkOf(
        Array.from({ length: 8 }, () => [random.normal(), random.normal(), random.normal()]),
        3e6,
        7e6,
      );
      const player = new ChunkPlayer(PERIOD_NS, interpolation);
      player.accept(chunk, 0, new Float64Array(3));
      port.begin(new Float64Array(3));
      port.feed(chunk.stamp_ns, chunk.period_ns, chunk.actions);
      const limiter = new Limiter(wide, new Float64Array(3));
      const [want, row] = [new Float64Array(3), new Float64Array(port.row)];
      for (let at = 0; at < 58e6; at += PERIOD_NS) {
        expect(player.at(at, want)).toBe(true);
        limiter.limit(want, PERIOD_NS / 1e9, want);
        port.tick(at);
        port.drain(row);
        expect([...row.subarray(4)]).toEqual([...want]);
      }
      port.tick(59e6);
      expect(port.stats()).toMatchObject({ phase: 'holding', used_up: 1, missed_holds: 0 });
    },
  );
});

describe('the executor', () => {
  test('gives its commands in the time of this process', () => {
    const { port } = open();
    const executor = new RealTimeExecutor(port, { now_ns: () => port.nowNs() - 5e12 });
    executor.begin([0, 0, 1]);
    const at = port.nowNs();
    port.tick(at);
    const seen: number[] = [];
    expect(
      executor.drain(({ stamp_ns, expires_ns, phase, sequence }) => {
        seen.push(stamp_ns, expires_ns - stamp_ns, sequence);
        expect(phase).toBe('holding');
      }),
    ).toBe(1);
    // The offset is known to half the time between two looks at a clock.
    expect(Math.abs(seen[0]! - (at - 5e12))).toBeLessThan(1e6);
    expect(seen.slice(1)).toEqual([100e6, 1]);
  });

  test('refuses in words what it cannot do', () => {
    expect(() => open({ rate_hz: 2000 })).toThrow('rate_hz');
    expect(() => open({ limits: { ...LIMITS, velocity: [1, -1, 1] } })).toThrow('velocity[1]');
    expect(() => open({ udp: { host: 'robot', port: 5000 } })).toThrow('address in numbers');
    const { port, executor } = open();
    expect(() => executor.begin([0, Number.NaN, 0])).toThrow('position 1');
    expect(() => port.feed(0, 1e6, new Float32Array(4))).toThrow('rows of 3 joints');
    expect(() => port.feed(0, 0, new Float32Array(3))).toThrow('period');
    expect(() => port.feed(0, 1e6, new Float32Array(3 * 257))).toThrow('256 rows');
    expect(() => port.feed(0, 1e6, [0, 0, 0] as unknown as Float32Array)).toThrow('Float32Array');
    port.start();
    expect(() => port.tick(0)).toThrow('close it first');
    port.close();
    port.close();
  });
});
