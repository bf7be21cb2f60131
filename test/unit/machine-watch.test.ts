// Whose a missed deadline was: a stall counts for what it covers of the lateness, on one processor at a time.

import { expect, test } from 'vitest';
import { MonotonicClock } from '../../src/control/index.js';
import { MachineWatch, reportOf } from '../../src/host/machine-watch.js';

const MS = 1e6;
const stall = (from: number, to: number, processor = 0) => ({
  from_ns: from * MS,
  to_ns: to * MS,
  processor,
});
const miss = (due: number, late: number) => ({ due_ns: due * MS, late_ns: late * MS });
const its = (stalls: ReturnType<typeof stall>[], late_ms: number): number =>
  reportOf(stalls, [miss(100, late_ms)], 20 * MS).its_misses;

test('a miss is the machine’s when the tick would otherwise have been in time', () => {
  expect(its([stall(95, 127)], 28)).toBe(1);
  expect(its([stall(105, 112)], 28)).toBe(0);
  expect(its([stall(105, 114)], 28)).toBe(1);
  expect(its([stall(105, 109), stall(110, 115)], 28)).toBe(1);
  // Two processors that stand still together take the time once.
  expect(its([stall(105, 109, 0), stall(105, 110, 1)], 28)).toBe(0);
  // What is over before the tick was due does not count.
  expect(its([stall(60, 100)], 28)).toBe(0);
  expect(its([], 28)).toBe(0);
});

test('the longest stall is told', () => {
  expect(reportOf([stall(0, 3), stall(5, 38), stall(40, 42)], [], 20 * MS)).toEqual({
    stalls: 3,
    worst_ms: 33,
    its_misses: 0,
  });
});

test('the watch reports in the clock’s time, or says what it was refused', () => {
  const report = new MachineWatch(new MonotonicClock()).end([], 20 * MS);
  if (typeof report === 'string') expect(report).toMatch(/SCHED_FIFO|processor/);
  else expect(report.stalls).toBeGreaterThanOrEqual(0);
});
