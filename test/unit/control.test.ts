import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { checkLimits, LIMITED, Limiter } from '../../src/control/limiter.js';
import { ChunkPlayer } from '../../src/control/player.js';
import { INTERVENTIONS, Supervisor } from '../../src/control/supervisor.js';
import { CONTROL_EVENTS, type ControlEvent, TRANSITIONS } from '../../src/control/transitions.js';
import { ObservationWindow } from '../../src/control/window.js';
import { Random } from '../../src/sim/random.js';
import { type ActionChunk, CONTROL_STATES } from '../../src/types/index.js';

const LIMITS = { lower: [-1, -0.2, 0], upper: [1, 0.5, 3], velocity: [2, 0.5, 4] };
const DT = 0.02;

/** Anything a broken policy might say. */
function nonsense(random: Random): number[] {
  const length = random.next() < 0.9 ? 3 : Math.floor(random.next() * 6);
  return Array.from({ length }, () => {
    const kind = random.next();
    if (kind < 0.1) return Number.NaN;
    if (kind < 0.15) return Number.POSITIVE_INFINITY;
    if (kind < 0.2) return Number.NEGATIVE_INFINITY;
    return kind < 0.6 ? random.uniform(-1.5, 3.5) : random.normal() * 10 ** random.uniform(-3, 6);
  });
}

describe('the limiter', () => {
  test.each([
    [undefined, undefined],
    [[20, 5, 40], undefined],
    [
      [20, 5, 40],
      [100, 200, 300],
    ],
  ])(
    '5 × 10⁵ commands of any kind never leave the limits (acceleration %s, jerk %s)',
    (acceleration, jerk) => {
      const random = new Random(acceleration === undefined ? 1 : 2);
      const limiter = new Limiter({ ...LIMITS, acceleration, jerk }, new Float64Array(3));
      limiter.restart([0, 0, 1]);
      const out = new Float64Array(3);
      const before = limiter.previous.slice();
      const speed = new Float64Array(3);
      const rate = new Float64Array(3);
      let jerky = 0;
      let outside = 0;
      let fast = 0;
      let sudden = 0;
      for (let i = 0; i < 500_000; i++) {
        before.set(limiter.previous);
        limiter.limit(nonsense(random), DT, out);
        for (let j = 0; j < 3; j++) {
          if (!(out[j]! >= LIMITS.lower[j]! && out[j]! <= LIMITS.upper[j]!)) outside++;
          if (!(Math.abs(out[j]! - before[j]!) <= LIMITS.velocity[j]! * DT * (1 + 1e-9))) fast++;
          const now = (out[j]! - before[j]!) / DT;
          if (Math.abs(now - speed[j]!) > (acceleration?.[j] ?? Infinity) * DT * (1 + 1e-6)) sudden++;
          // Speeds are differences of positions, and their differences divided twice by the period.
          const jump = Math.abs((now - speed[j]!) / DT - rate[j]!) / DT;
          if (jump > (jerk?.[j] ?? Infinity) * (1 + 1e-6) + 1e-8) jerky++;
          rate[j] = (now - speed[j]!) / DT;
          speed[j] = now;
        }
      }
      expect({ outside, fast, sudden, jerky }).toEqual({ outside: 0, fast: 0, sudden: 0, jerky: 0 });
    },
  );

  test('a set-point is reached without going past it, at a bounded acceleration', () => {
    const limiter = new Limiter(
      { lower: [-1], upper: [1], velocity: [2], acceleration: [3] },
      new Float64Array(1),
    );
    const out = new Float64Array(1);
    let speed = 0;
    for (let i = 0; i < 200; i++) {
      const before = limiter.previous[0]!;
      limiter.limit([0.7], DT, out);
      expect(out[0]!).toBeLessThanOrEqual(0.7 + 1e-12);
      expect(Math.abs((out[0]! - before) / DT - speed)).toBeLessThanOrEqual(3 * DT + 1e-9);
      speed = (out[0]! - before) / DT;
    }
    expect(out[0]!).toBeCloseTo(0.7, 9);
  });

  test('with a jerk limit too, and soon: no later than half as long again as without', () => {
    const bounds = { lower: [-1], upper: [1], velocity: [2], acceleration: [3] };
    const ticks = [undefined, [60]].map((jerk) => {
      const limiter = new Limiter({ ...bounds, jerk }, new Float64Array(1));
      const out = new Float64Array(1);
      let tick = 0;
      for (; Math.abs(out[0]! - 0.7) > 1e-4 && tick < 1000; tick++) {
        limiter.limit([0.7], DT, out);
        expect(out[0]!).toBeLessThanOrEqual(0.7 + 1e-12);
      }
      return tick;
    });
    expect(ticks[1]!).toBeGreaterThan(ticks[0]!);
    expect(ticks[1]!).toBeLessThan(1.5 * ticks[0]!);
  });

  test('whatever the limits, the period, the target and where it was found: every step keeps them, and a target is reached', () => {
    const random = new Random(9);
    const between = (low: number, high: number): number => low * (high / low) ** random.next();
    const broken: unknown[] = [];
    const unreached: unknown[] = [];
    for (let machine = 0; machine < 300; machine++) {
      const dt = between(1e-3, 0.05);
      const velocity = between(0.05, 10);
      const acceleration = velocity * between(0.2, 100);
      const jerk = acceleration * between(0.2, 500);
      const limits = {
        lower: [-1],
        upper: [1],
        velocity: [velocity],
        acceleration: [acceleration],
        jerk: [jerk],
      };
      const limiter = new Limiter(limits, new Float64Array(1));
      let at = random.uniform(-1, 1);
      limiter.restart([at]);
      const out = new Float64Array(1);
      let [speed, rate] = [0, 0];
      const step = (target: number): void => {
        limiter.limit([target], dt, out);
        const now = (out[0]! - at) / dt;
        const change = (now - speed) / dt;
        // Positions near 1 are rounded to 1e-16; their differences are divided by the period up to three times.
        const rounding = 4e-16 / dt;
        if (
          !(Math.abs(out[0]!) <= 1) ||
          !(Math.abs(now) <= velocity * (1 + 1e-9) + rounding) ||
          !(Math.abs(change) <= acceleration * (1 + 1e-9) + (2 * rounding) / dt) ||
          !(Math.abs(change - rate) / dt <= jerk * (1 + 1e-6) + (4 * rounding) / dt ** 2)
        )
          broken.push({ ...limits, dt, at, out: out[0], speed, now, rate, change });
        [at, speed, rate] = [out[0]!, now, change];
      };
      let target = at;
      const kind = machine % 4;
      for (let i = 0; i < 1000; i++) {
        if (kind === 0 && i % 40 === 0) target = random.uniform(-1.2, 1.2);
        else if (kind === 1) target = random.uniform(-1.2, 1.2);
        else if (kind === 2) target += random.normal() * velocity * dt;
        else if (kind === 3) target = random.next() < 0.02 ? Number.NaN : 1.2 * Math.sin(i * dt * 2);
        step(target);
      }
      // What is left takes no longer than a standstill, the way at its slowest, and coming to rest.
      target = random.uniform(-1, 1);
      const periods = (8 * (2 / velocity + velocity / acceleration + acceleration / jerk)) / dt;
      for (let i = 0; i < periods && !(Math.abs(at - target) < 1e-12 && !limiter.moving); i++) step(target);
      if (Math.abs(at - target) > 1e-9 || limiter.moving) unreached.push({ ...limits, dt, at, target });
    }
    expect(broken.slice(0, 3)).toEqual([]);
    expect(unreached.slice(0, 3)).toEqual([]);
  });

  test('a robot found outside its range, at rest, is led back within its jerk limit', () => {
    const limits = { lower: [-1], upper: [1], velocity: [2], acceleration: [3], jerk: [60] };
    const limiter = new Limiter(limits, new Float64Array(1));
    limiter.restart([1.5]);
    const out = new Float64Array(1);
    let last = 1.5;
    for (let i = 0; i < 200; i++) {
      limiter.limit([1.5], DT, out);
      expect(out[0]!).toBeLessThanOrEqual(last + 1e-12);
      last = out[0]!;
    }
    expect(last).toBe(1);
  });

  test('periods of changing length: it stops as soon as the jerk limit lets it, within the limits', () => {
    const random = new Random(12);
    const limits = { lower: [-1], upper: [1], velocity: [1], acceleration: [4], jerk: [50] };
    const limiter = new Limiter(limits, new Float64Array(1));
    const out = new Float64Array(1);
    for (let i = 0; i < 20_000; i++) {
      const before = limiter.previous[0]!;
      const dt = 0.01 * random.uniform(0.5, 1.5);
      limiter.limit([Math.floor(i / 100) % 2 === 0 ? 1.2 : -1.2], dt, out);
      expect(Math.abs(out[0]!)).toBeLessThanOrEqual(1);
      expect(Math.abs(out[0]! - before) / dt).toBeLessThanOrEqual(1.05);
    }
  });

  test('goes on from a copy as from itself, and refuses to begin where nothing is known', () => {
    const limits = { lower: [-1], upper: [1], velocity: [2], acceleration: [3], jerk: [60] };
    const [one, two] = [new Limiter(limits, new Float64Array(1)), new Limiter(limits, new Float64Array(1))];
    const [a, b] = [new Float64Array(1), new Float64Array(1)];
    for (let i = 0; i < 20; i++) one.limit([1], DT, a);
    two.copy(one);
    for (let i = 0; i < 200; i++) {
      one.limit([-0.5], DT, a);
      two.limit([-0.5], DT, b);
      expect(b[0]).toBe(a[0]);
    }
    expect(() => one.restart([Number.NaN])).toThrow('finite');
  });

  test('a jerk limit needs an acceleration limit', () => {
    expect(() => checkLimits({ ...LIMITS, jerk: [1, 1, 1] }, 3)).toThrow('limits.acceleration');
  });

  test('a number that is not finite keeps the joint, and is said', () => {
    const limiter = new Limiter(LIMITS, Float64Array.of(0.1, 0.2, 0.3));
    const out = new Float64Array(3);
    expect(limiter.limit([Number.NaN, 0.2, 0.3], DT, out) & LIMITED.not_finite).toBe(LIMITED.not_finite);
    expect([...out]).toEqual([0.1, 0.2, 0.3]);
  });

  test('a robot found outside its range is led back, no faster than allowed', () => {
    const limiter = new Limiter(LIMITS, new Float64Array(3));
    limiter.restart([1.5, 0, 1]);
    const out = new Float64Array(3);
    let last = 1.5;
    for (let i = 0; i < 40; i++) {
      limiter.limit([1.5, 0, 1], DT, out);
      expect(out[0]!).toBeLessThanOrEqual(last);
      expect(last - out[0]!).toBeLessThanOrEqual(2 * DT + 1e-12);
      last = out[0]!;
    }
    expect(last).toBe(1);
  });

  test.each([
    [{ ...LIMITS, velocity: [1, Number.NaN, 1] }, 'velocity[1]'],
    [{ ...LIMITS, velocity: [1, -1, 1] }, 'velocity[1]'],
    [{ ...LIMITS, lower: [2, 0, 0] }, 'joint 0'],
    [{ ...LIMITS, upper: [1, 1] }, 'upper'],
    [{ ...LIMITS, acceleration: [0, 1, 1] }, 'acceleration[0]'],
  ])('limits that would not limit are refused by name: %#', (limits, name) => {
    expect(() => checkLimits(limits, 3)).toThrow(name);
  });
});

describe('the supervisor', () => {
  test('every state and event, as the table says', () => {
    for (const state of CONTROL_STATES)
      for (const event of Object.keys(CONTROL_EVENTS) as ControlEvent[]) {
        const supervisor = reach(state);
        const to = TRANSITIONS[state][event];
        expect([state, event, supervisor.event(event, 'test')]).toEqual([state, event, to !== undefined]);
        expect(supervisor.state).toBe(to ?? state);
      }
  });

  test('only a reset leaves STOPPED', () => {
    const supervisor = reach('STOPPED');
    for (const event of Object.keys(CONTROL_EVENTS) as ControlEvent[])
      if (event !== 'reset') supervisor.event(event, 'test');
    expect(supervisor.state).toBe('STOPPED');
  });

  test('what a person holds, recovery does not release', () => {
    const supervisor = reach('RUNNING');
    supervisor.event('hold', 'by hand');
    expect(supervisor.event('recovered', 'again')).toBe(false);
    expect(supervisor.state).toBe('HOLD');
    expect(supervisor.event('resume', 'by hand')).toBe(true);
  });

  test('interventions are counted by cause', () => {
    const supervisor = reach('RUNNING');
    supervisor.trouble('observation_stale');
    supervisor.count('velocity_limited');
    expect(supervisor.counts.observation_stale).toBe(1);
    expect(supervisor.interventions).toBe(2);
    expect(supervisor.cause).toContain(INTERVENTIONS.observation_stale);
  });

  test('docs/safety.md shows the table', () => {
    const text = readFileSync(new URL('../../docs/safety.md', import.meta.url), 'utf8');
    const rows = [...text.matchAll(/^\| ([A-Z]+) \| (\w+) \| ([A-Z]+) \|$/gm)].map((m) =>
      m.slice(1, 4).join(' '),
    );
    const table = Object.entries(TRANSITIONS).flatMap(([from, events]) =>
      Object.entries(events).map(([event, to]) => `${from} ${event} ${to}`),
    );
    expect(rows.sort()).toEqual(table.sort());
  });
});

function reach(state: (typeof CONTROL_STATES)[number]): Supervisor {
  const supervisor = new Supervisor();
  const way: Record<string, ControlEvent[]> = {
    INIT: [],
    READY: ['observed'],
    RUNNING: ['observed', 'start'],
    TELEOP: ['observed', 'engage'],
    HOLD: ['observed', 'start', 'trouble'],
    STOPPED: ['stop'],
  };
  for (const event of way[state]!) supervisor.event(event, 'test');
  expect(supervisor.state).toBe(state);
  return supervisor;
}

const chunk = (stamp_ns: number, rows: number[]): ActionChunk => ({
  stamp_ns,
  period_ns: 100,
  horizon: rows.length,
  action_dim: 1,
  actions: Float32Array.from(rows),
  n_candidates: 1,
  chosen: 0,
  timing: { queue_ns: 0, observe_ns: 0, denoise_ns: 0, total_ns: 0 },
});

describe('the chunk player', () => {
  test('a late chunk is entered where it belongs and ends when it is used up', () => {
    const player = new ChunkPlayer(100);
    const out = new Float64Array(1);
    expect(player.at(0, out)).toBe(false);
    player.accept(chunk(1000, [10, 11, 12, 13]), 1250, out);
    expect(player.at(1250, out) && out[0]).toBe(12);
    expect(player.at(1399, out) && out[0]).toBe(13);
    expect(player.at(1400, out)).toBe(false);
    player.accept(chunk(1200, [20, 21]), 1300, out);
    expect(player.at(1300, out) && out[0]).toBe(21);
  });

  test('linear interpolation between rows', () => {
    const player = new ChunkPlayer(100, 'linear');
    const out = new Float64Array(1);
    player.accept(chunk(0, [0, 10, 20]), 0, out);
    expect(player.at(50, out) && out[0]).toBe(5);
    expect(player.at(250, out) && out[0]).toBe(20);
  });
});

test('the window gives observations a period apart, the first repeated', () => {
  const seen = new ObservationWindow(3, 100);
  const push = (stamp_ns: number): void => seen.push({ stamp_ns, values: {} });
  expect(seen.window()).toBeUndefined();
  push(1000);
  expect(seen.window()?.map((o) => o.stamp_ns)).toEqual([1000, 1000, 1000]);
  for (let t = 1020; t <= 1300; t += 20) push(t);
  push(1100); // comes twice
  expect(seen.window()?.map((o) => o.stamp_ns)).toEqual([1100, 1200, 1300]);
  expect(seen.unfilled).toBe(0);
});
