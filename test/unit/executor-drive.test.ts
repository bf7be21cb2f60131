// What drives the real-time executor, by hand-made time: chunks of every kind, and a robot that was not heard for a while.

import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { parse, stringify } from 'yaml';
import type { Controller } from '../../src/control/controller.js';
import { drive, RealTimeExecutor } from '../../src/control/executor.js';
import { addon, native } from '../../src/native/index.js';
import { parseRobotFile } from '../../src/robot/robot-file.js';
import type { ActionChunk, Command, ControlState } from '../../src/types/index.js';

const VELOCITY = 2;
const limits = { lower: [-3], upper: [3], velocity: [VELOCITY] };

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function chunkOf(actions: readonly number[], stamp_ns: number, period_ns: number): ActionChunk {
  return {
    stamp_ns,
    period_ns,
    horizon: actions.length,
    action_dim: 1,
    actions: Float32Array.from(actions),
    n_candidates: 1,
    chosen: 0,
    timing: { queue_ns: 0, observe_ns: 0, denoise_ns: 0, total_ns: 0 },
  };
}

/** A controller that says what it is told to, a robot that hears or not, and the thread stepped by hand. */
function scene() {
  const port = native(
    () => new (addon().Executor)({ joints: 1, rate_hz: 1000, limits, heartbeat_ms: 1e6, lifetime_ms: 100 }),
  );
  const origin = port.nowNs();
  let ms = 0;
  const clock = { now_ns: () => origin + ms * 1e6 };
  const executor = new RealTimeExecutor(port, { now_ns: () => port.nowNs() });
  let onChange = (_: { from: ControlState; to: ControlState; cause: string }): void => undefined;
  let onChunk = (_: ActionChunk): void => undefined;
  const supervisor = {
    state: 'READY' as ControlState,
    onChange: (listener: typeof onChange) => {
      onChange = listener;
      return () => undefined;
    },
  };
  const world = { position: 0, hears: true, sent: [] as number[] };
  const letGo = drive({
    controller: {
      supervisor,
      onChunk: (listener: typeof onChunk) => {
        onChunk = listener;
        return () => undefined;
      },
    } as unknown as Controller,
    executor,
    robot: {
      latest: () => ({ stamp_ns: clock.now_ns(), values: { position: Float32Array.of(world.position) } }),
      send: (command: Command) => {
        if (!world.hears) return false;
        world.position = command.values[0]!;
        world.sent.push(command.values[0]!);
        return true;
      },
    },
    position_key: 'position',
    publish_hz: 100,
    rate_hz: 50,
    sole: true,
    clock,
  });
  return {
    world,
    executor,
    now_ns: clock.now_ns,
    chunk: (chunk: ActionChunk) => onChunk(chunk),
    to: (to: ControlState) => {
      const from = supervisor.state;
      supervisor.state = to;
      onChange({ from, to, cause: '' });
    },
    run: (count: number) => {
      for (let i = 0; i < count; i++) {
        port.tick(clock.now_ns());
        ms++;
        vi.advanceTimersByTime(1);
      }
    },
    close: () => {
      letGo();
      executor.close();
    },
  };
}

test('a policy that does not know its rate is played at the control rate', () => {
  const { world, now_ns, chunk, to, run, close } = scene();
  to('RUNNING');
  chunk(chunkOf([0, 0.01, 0.02, 0.03], now_ns(), 0));
  run(70);
  expect(world.sent.at(-1)).toBeCloseTo(0.03, 2);
  close();
});

test('of a chunk longer than the thread holds the beginning is played', () => {
  const { world, now_ns, chunk, to, run, close } = scene();
  to('RUNNING');
  chunk(
    chunkOf(
      Array.from({ length: 400 }, (_, i) => 0.001 * i),
      now_ns(),
      5e6,
    ),
  );
  run(500);
  expect(world.sent.at(-1)).toBeCloseTo(0.1, 2);
  close();
});

test('a robot that was moved while it heard nothing is held where it is', () => {
  const { world, now_ns, chunk, to, run, close } = scene();
  to('RUNNING');
  chunk(chunkOf([0, 0.1, 0.2, 0.3], now_ns(), 50e6));
  run(100);
  expect(world.sent.at(-1)).toBeGreaterThan(0.05);
  world.hears = false;
  run(50);
  world.position = 2;
  to('HOLD');
  run(100);
  const { length } = world.sent;
  world.hears = true;
  run(100);
  const after = world.sent.slice(length);
  expect(after.length).toBeGreaterThan(3);
  for (const value of after) expect(value).toBeCloseTo(2, 6);
  close();
});

test.each([
  [
    'an executor and goals',
    {
      executor: { publish_hz: 50 },
      command: { topic: '/follow', type: 'control_msgs/FollowJointTrajectory' },
    },
    /executor: .*goals/,
  ],
  [
    'an executor and steps from what is measured',
    { executor: { publish_hz: 50 }, limits: { step_from_measured: Array(6).fill(0.1) } },
    /step_from_measured/,
  ],
  [
    'an offset of velocities',
    {
      units: { scale: Array(6).fill(1), offset: Array(6).fill(0.1), features: ['joint_position'] },
      command: { quantity: 'velocity' },
      deadlines: { no_data_ms: 60_000 },
    },
    /units\.offset/,
  ],
] as const)('%s are refused', (_, changes, why) => {
  const file = parse(readFileSync('launch/sim-arm.yaml', 'utf8'));
  for (const [key, value] of Object.entries(changes)) file[key] = { ...file[key], ...value };
  expect(() => parseRobotFile(stringify(file), 'x.yaml')).toThrow(why);
});
