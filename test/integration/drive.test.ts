// What the page's hands become: a point for the hand, through the live session's request, the controller's take-over and
// its limits, to the simulated robot.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LiveSession } from '../../src/session/sim-page.js';
import { findTask } from '../../src/sim/tasks.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

describe('pointAction is the inverse of actionPoint', () => {
  test.each([
    ['arm', [0.35, 0.2, 0.25]],
    ['block-push', [0.1, -0.2, 0.04]],
    ['pusht', [0.3, 0.2, 0.01]],
  ] as const)('%s', async (name, point) => {
    const twin = await findTask(name).create();
    const action = twin.pointAction(point);
    // Closed-form trigonometry in doubles.
    twin.actionPoint(action).forEach((value, i) => {
      expect(value).toBeCloseTo(point[i]!, 9);
    });
    // Out of reach: as near as it gets, within the limits.
    const { lower, upper } = twin.spec.limits;
    [...twin.pointAction([9, 9, 9])].forEach((value, i) => {
      expect(value).toBeGreaterThanOrEqual(lower[i]!);
      expect(value).toBeLessThanOrEqual(upper[i]!);
    });
    twin.dispose();
  });
});

describe('a person leads the hand of a running arm', () => {
  let live: LiveSession;
  beforeAll(async () => {
    const source = (await import(
      join(root, 'dist/session/sim-page.js')
    )) as typeof import('../../src/session/sim-page.js');
    live = await source.LiveSession.open({
      task: 'arm',
      load: { compute: { threads: 1 }, sampling: { steps: 3 } },
    });
  });
  afterAll(() => live?.close());
  const state = () => live.current.controller.supervisor.state;
  const hand = () => live.current.twin.actionPoint(live.current.controller.command);

  // A machine that stands still for longer than an observation is fresh holds the robot, rightly: once more then.
  test('to where the page points, and gives it back', { retry: 3 }, async () => {
    live.request({ kind: 'reset', seed: 3 });
    await expect.poll(state, { timeout: 20_000 }).toBe('RUNNING');
    const point = [0.4, -0.1, 0.35] as const;
    expect(live.request({ kind: 'teleop', engaged: true, point })).toMatchObject({ accepted: true });
    expect(state()).toBe('TELEOP');
    const apart = () => Math.hypot(...hand().map((value, i) => value - point[i]!));
    await expect.poll(apart, { timeout: 20_000 }).toBeLessThan(1e-3);
    expect(state()).toBe('TELEOP');
    expect(live.request({ kind: 'teleop', engaged: true, point, values: [0, 0, 0, 0, 0, 0] })).toEqual({
      accepted: false,
      reason: 'joint targets or a point for the hand, not both',
    });
    live.request({ kind: 'teleop', engaged: false });
    await expect.poll(state, { timeout: 20_000 }).toBe('RUNNING');
  });

  test('a page that goes on driving does not undo a hold', async () => {
    live.request({ kind: 'reset', seed: 4 });
    await expect.poll(state, { timeout: 20_000 }).toBe('RUNNING');
    const point = [0.4, -0.1, 0.35] as const;
    live.request({ kind: 'teleop', engaged: true, point });
    live.request({ kind: 'hold' });
    expect(live.request({ kind: 'teleop', engaged: true, repeat: true, point })).toEqual({
      accepted: false,
      reason: 'nobody drives any more: HOLD, held by the operator',
    });
    expect(state()).toBe('HOLD');
    // Taking over anew is a person's decision, and is.
    expect(live.request({ kind: 'teleop', engaged: true, point }).accepted).toBe(true);
  });

  test('nobody leads a robot that is stopped', async () => {
    live.request({ kind: 'stop' });
    const refused = live.request({ kind: 'teleop', engaged: true, point: [0.4, 0, 0.3] });
    expect(refused).toEqual({ accepted: false, reason: 'nobody can take over now (STOPPED)' });
  });
});

test('a stop that is pressed as an episode ends is no less latched', async () => {
  const { SimSession } = (await import(
    join(root, 'dist/session/sim-session.js')
  )) as typeof import('../../src/session/sim-session.js');
  let ended = (): void => undefined;
  const end = new Promise<void>((resolve) => {
    ended = resolve;
  });
  const session = await SimSession.open({
    task: 'arm',
    load: { compute: { threads: 1 }, sampling: { steps: 2 } },
    onEpisode: () => ended(),
  });
  const { supervisor } = session.controller;
  try {
    await expect.poll(() => supervisor.state, { timeout: 20_000 }).toBe('READY');
    session.controller.go();
    await end;
    session.controller.emergencyStop('pressed');
    await new Promise((resolve) => setTimeout(resolve, 2000));
    expect(supervisor.state).toBe('STOPPED');
    expect(supervisor.cause).toBe('pressed');
    await session.restart();
    await expect.poll(() => supervisor.state, { timeout: 20_000 }).toBe('RUNNING');
  } finally {
    await session.close();
  }
});
