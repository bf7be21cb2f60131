// A server's clock against this process': bounds from questions and answers, steps, slow lines, and no clock at all.

import { describe, expect, test } from 'vitest';
import { ClockKeeper } from '../../src/rosbridge/client/clock-keeper.js';
import { ClockOffset } from '../../src/rosbridge/client/clock-offset.js';
import { Random } from '../../src/sim/random.js';
import { TendonError } from '../../src/types/index.js';

const MS = 1e6;
const S = 1e9;
const EPOCH_S = 1_700_000_000;
/** The server's time at a local moment, `ahead_ns` ahead. */
const server = (local_ns: number, ahead_ns = 0) => {
  const since = local_ns + ahead_ns;
  return { sec: EPOCH_S + Math.floor(since / S), nanosec: Math.round(since - Math.floor(since / S) * S) };
};

describe('measured', () => {
  test('half of the round trip bounds the error, wherever on the way the time was lost', () => {
    const random = new Random(3);
    for (let i = 0; i < 1000; i++) {
      const clock = new ClockOffset();
      const asked_ns = Math.floor(random.next() * 100 * S);
      const there_ns = Math.floor(random.next() * 2 * S);
      const back_ns = Math.floor(random.next() * 2 * S);
      const answered_ns = asked_ns + there_ns + back_ns;
      clock.measured(server(asked_ns + there_ns), asked_ns, answered_ns);
      const stamp_ns = clock.toLocal(server(answered_ns), answered_ns, 5 * S);
      expect(Math.abs(stamp_ns - answered_ns)).toBeLessThanOrEqual(clock.uncertainty(answered_ns) + 1);
      expect(clock.uncertainty(answered_ns)).toBeLessThanOrEqual((there_ns + back_ns) / 2 + 1);
    }
  });

  test('later answers only narrow it: with random delays the truth stays within, and the bound becomes small', () => {
    const random = new Random(5);
    const clock = new ClockOffset();
    let now_ns = 0;
    for (let i = 0; i < 500; i++) {
      const there_ns = 1 * MS + random.next() ** 4 * 400 * MS;
      const back_ns = 1 * MS + random.next() ** 4 * 400 * MS;
      clock.measured(server(now_ns + there_ns), now_ns, now_ns + there_ns + back_ns);
      now_ns += there_ns + back_ns;
      const stamp_ns = clock.toLocal(server(now_ns), now_ns, 5 * S);
      expect(Math.abs(stamp_ns - now_ns)).toBeLessThanOrEqual(clock.uncertainty(now_ns) + 1);
    }
    expect(clock.uncertainty(now_ns)).toBeLessThan(10 * MS);
    expect(clock.steps).toBe(0);
  });

  test('a clock that was set is a new epoch with the next answer, by 0.1 s as by an hour, forwards and backwards', () => {
    for (const step_ns of [0.1 * S, -0.1 * S, 3600 * S, -3600 * S]) {
      const clock = new ClockOffset();
      for (let i = 0; i < 20; i++) clock.measured(server(i * S + 0.5 * MS), i * S, i * S + 1 * MS);
      clock.measured(server(20 * S + 40 * MS, step_ns), 20 * S, 20 * S + 80 * MS);
      const stamp_ns = clock.toLocal(server(21 * S, step_ns), 21 * S);
      expect(Math.abs(stamp_ns - 21 * S)).toBeLessThan(41 * MS);
      expect(clock.steps).toBe(1);
    }
  });

  test('a clock that drifts by 200 ppm is followed and is no step', () => {
    const clock = new ClockOffset();
    for (let i = 0; i < 600; i++) {
      const drift_ns = i * S * 200e-6;
      clock.measured(server(i * S + 0.5 * MS, drift_ns), i * S, i * S + 1 * MS);
      expect(Math.abs(clock.toLocal(server(i * S, drift_ns), i * S) - i * S)).toBeLessThan(2 * MS);
    }
    expect(clock.steps).toBe(0);
  });
});

describe('without a clock to ask for', () => {
  const refused = () => Promise.reject(new TendonError('bridge_protocol', 'no such service'));

  test('the quickest message bounds it to within the time on the line', () => {
    const clock = new ClockOffset();
    clock.toLocal(server(0), 700 * MS, 800 * MS);
    expect(clock.uncertainty(700 * MS)).toBe(400 * MS);
    clock.toLocal(server(1 * S), 1 * S + 2 * MS, 3 * MS);
    expect(clock.uncertainty(1 * S + 2 * MS)).toBe(1.5 * MS);
    clock.toLocal(server(2 * S), 2 * S + 900 * MS, 1000 * MS);
    expect(clock.uncertainty(2 * S + 2 * MS)).toBeCloseTo(2.5 * MS, -3);
  });

  test('nor is a clock that is slow to answer a slow line: the quickest message says more, and is never believed against it', () => {
    const clock = new ClockOffset();
    clock.measured(server(690 * MS), 0, 700 * MS);
    expect(clock.uncertainty(700 * MS)).toBe(350 * MS);
    const at_ns = 800 * MS;
    expect(at_ns - clock.toLocal(server(at_ns - 1 * MS), at_ns, 2 * MS)).toBeLessThan(2 * MS);
    expect(clock.uncertainty(at_ns)).toBeLessThan(2 * MS);
    // Stamps of another clock, an hour ahead: outside of what the answers allow.
    const other = new ClockOffset();
    other.measured(server(350 * MS), 0, 700 * MS);
    other.toLocal(server(at_ns, 3600 * S), at_ns, 2 * MS);
    expect(other.uncertainty(at_ns)).toBeGreaterThan(349 * MS);
  });

  test('stamps that stay impossible on a quick line begin a new epoch after a second; on a slow one they never do', async () => {
    for (const quick of [true, false]) {
      let now_ns = 1 * S;
      const keeper = new ClockKeeper({ now_ns: () => now_ns, ask: refused });
      keeper.restart();
      expect(await keeper.ask()).toBe('refused');
      keeper.offset.toLocal(server(now_ns), now_ns, 1 * MS);
      // The robot's clock is set back by 5 s: every message seems 5 s old.
      for (let i = 0; i < 110; i++, now_ns += 10 * MS) keeper.doubt(quick);
      expect(keeper.offset.source).toBe(quick ? 'none' : 'arrival');
      const stamp_ns = keeper.offset.toLocal(server(now_ns, -5 * S), now_ns, 1 * MS);
      if (quick) expect(Math.abs(stamp_ns - now_ns)).toBeLessThan(2 * MS);
      else expect(now_ns - stamp_ns).toBeGreaterThan(4.9 * S);
    }
  });

  test('a good stamp in between is the end of the doubt', async () => {
    let now_ns = 1 * S;
    const keeper = new ClockKeeper({ now_ns: () => now_ns, ask: refused });
    keeper.restart();
    await keeper.ask();
    keeper.offset.toLocal(server(now_ns), now_ns, 1 * MS);
    for (let i = 0; i < 500; i++, now_ns += 10 * MS) {
      keeper.doubt(true);
      if (i % 50 === 0) keeper.trust();
    }
    expect(keeper.offset.source).toBe('arrival');
  });
});
