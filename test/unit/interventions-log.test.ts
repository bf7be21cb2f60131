// What a log is told of interventions: faults as they come, limits folded.

import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Supervisor } from '../../src/control/index.js';
import { type InterventionReport, watchInterventions } from '../../src/metrics/interventions.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it('a limit that cuts for minutes is a dozen lines, with every cut counted', () => {
  const supervisor = new Supervisor();
  const told: InterventionReport[] = [];
  const stop = watchInterventions(supervisor, (report) => told.push(report));
  for (let tick = 0; tick < 50 * 300; tick++) {
    supervisor.count('velocity_limited');
    vi.advanceTimersByTime(20);
  }
  stop();
  expect(told.length).toBeLessThan(15);
  expect(told.length).toBeGreaterThan(5);
  expect(told.reduce((sum, { times }) => sum + times, 0)).toBe(15_000);
  expect(told.at(-1)!.total).toBe(15_000);
});

it('a fault is told at every look', () => {
  const supervisor = new Supervisor();
  const told: InterventionReport[] = [];
  const stop = watchInterventions(supervisor, (report) => told.push(report));
  for (let second = 0; second < 5; second++) {
    supervisor.count('send_failed');
    vi.advanceTimersByTime(1000);
  }
  stop();
  expect(told.map(({ times }) => times)).toEqual([1, 1, 1, 1, 1]);
});

it('a limit that was quiet is told at once when it cuts again', () => {
  const supervisor = new Supervisor();
  const told: InterventionReport[] = [];
  const stop = watchInterventions(supervisor, (report) => told.push(report));
  for (let second = 0; second < 20; second++) {
    supervisor.count('jerk_limited');
    vi.advanceTimersByTime(1000);
  }
  const before = told.length;
  vi.advanceTimersByTime(120_000);
  const quiet = told.length;
  supervisor.count('jerk_limited');
  vi.advanceTimersByTime(1000);
  expect([before < 7, quiet - before, told.length - quiet]).toEqual([true, 1, 1]);
  stop();
});
