// The window over observations as robots send them: stamps that jitter, topics faster than the policy, messages that are
// lost, late or repeated. Every step must be the observation nearest to its moment.

import { expect, test } from 'vitest';
import { ObservationWindow } from '../../src/control/index.js';
import { Random } from '../../src/sim/random.js';
import type { Observation } from '../../src/types/index.js';

const PERIOD_NS = 20e6;

interface Stream {
  /** Messages per period of the policy. */
  readonly rate: number;
  /** Of a stamp, either way, in periods of the topic. */
  readonly jitter: number;
  /** Chances of a message. */
  readonly lost: number;
  readonly late: number;
  readonly twice: number;
}

/** Messages in the order in which they arrive. */
function arrivals(random: Random, { rate, jitter, lost, late, twice }: Stream, count: number): Observation[] {
  const messages: { at: number; observation: Observation }[] = [];
  for (let i = 0; i < count; i++) {
    const step_ns = PERIOD_NS / rate;
    const stamp_ns = Math.round((i + random.uniform(-jitter, jitter)) * step_ns);
    if (random.next() < lost) continue;
    const at = i + (random.next() < late ? random.uniform(1, 4) : 0);
    const observation = { stamp_ns, values: {} };
    messages.push({ at, observation });
    if (random.next() < twice) messages.push({ at: at + 0.5, observation });
  }
  return messages.sort((a, b) => a.at - b.at).map(({ observation }) => observation);
}

/** By looking at everything that ever came. */
function expected(seen: readonly Observation[], steps: number) {
  const newest_ns = Math.max(...seen.map(({ stamp_ns }) => stamp_ns));
  const first_ns = Math.min(...seen.map(({ stamp_ns }) => stamp_ns));
  let whole = true;
  const offsets = Array.from({ length: steps }, (_, step) => {
    const moment_ns = newest_ns - (steps - 1 - step) * PERIOD_NS;
    const off_ns = Math.min(...seen.map(({ stamp_ns }) => Math.abs(stamp_ns - moment_ns)));
    if (off_ns > PERIOD_NS / 2 && moment_ns > first_ns) whole = false;
    return off_ns;
  });
  return { newest_ns, offsets, whole };
}

test('400 streams: every step is the observation nearest to its moment, and what could not be filled is counted', () => {
  const random = new Random(7);
  let unfilled = 0;
  let windows = 0;
  for (let n = 0; n < 400; n++) {
    const steps = 1 + Math.floor(random.next() * 4);
    const stream: Stream = {
      rate: 1 + Math.floor(random.next() * 10),
      jitter: random.next() * 0.45,
      lost: random.next() < 0.5 ? 0 : random.next() * 0.5,
      late: random.next() < 0.5 ? 0 : random.next() * 0.3,
      twice: random.next() * 0.2,
    };
    const window = new ObservationWindow(steps, PERIOD_NS);
    const seen: Observation[] = [];
    let counted = 0;
    for (const observation of arrivals(random, stream, 60)) {
      window.push(observation);
      seen.push(observation);
      const { newest_ns, offsets, whole } = expected(seen, steps);
      const found = window.window()!;
      windows++;
      if (!whole) counted++;
      expect(found.length).toBe(steps);
      expect(found.at(-1)!.stamp_ns).toBe(newest_ns);
      found.forEach(({ stamp_ns }, step) => {
        const moment_ns = newest_ns - (steps - 1 - step) * PERIOD_NS;
        expect(Math.abs(stamp_ns - moment_ns)).toBe(offsets[step]);
      });
    }
    expect(window.unfilled).toBe(counted);
    unfilled += counted;
  }
  expect(unfilled).toBeGreaterThan(100);
  expect(windows).toBeGreaterThan(10_000);
});

test.each([1, 2, 3, 10])(
  'stamps that jitter by 1 ms at %i× the rate never give a step of two periods',
  (rate) => {
    const random = new Random(rate);
    const window = new ObservationWindow(2, PERIOD_NS);
    const jitter = 1e6 / (PERIOD_NS / rate);
    for (const observation of arrivals(random, { rate, jitter, lost: 0, late: 0, twice: 0 }, 2000)) {
      window.push(observation);
      const [before, newest] = window.window()!;
      // In the first period the first one stands for those before it.
      if (newest!.stamp_ns < 2 * PERIOD_NS) continue;
      const apart_ns = newest!.stamp_ns - before!.stamp_ns;
      expect(apart_ns).toBeGreaterThan(0.5 * PERIOD_NS - 2e6);
      expect(apart_ns).toBeLessThan(1.5 * PERIOD_NS);
    }
    expect(window.unfilled).toBe(0);
  },
);

test('what is kept is bounded, however fast the topic is and however long it runs', () => {
  const window = new ObservationWindow(3, PERIOD_NS);
  for (let i = 0; i < 10_000; i++) window.push({ stamp_ns: i * 1e6, values: {} });
  expect(Reflect.get(window, 'kept').length).toBeLessThanOrEqual(42);
});
