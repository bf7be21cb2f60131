// The sink that lets the real-time thread follow chunks, by hand-made time: chunks of every kind, a person's targets, and
// a robot that did not take its commands for a while.

import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { parse, stringify } from 'yaml';
import { addon, native } from '../../src/native/index.js';
import { parseRobotFile } from '../../src/robot/robot-file.js';
import { ExecutorSink, RealTimeExecutor } from '../../src/sinks/index.js';
import type { ActionChunk, Command, CommandCause } from '../../src/types/index.js';

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

/** A robot that takes commands or not, and the thread stepped by hand. */
function scene() {
  const port = native(
    () => new (addon().Executor)({ joints: 1, rate_hz: 1000, limits, heartbeat_ms: 1e6, lifetime_ms: 100 }),
  );
  const origin = port.nowNs();
  let ms = 0;
  const clock = { now_ns: () => origin + ms * 1e6 };
  const executor = new RealTimeExecutor(port, { now_ns: () => port.nowNs() });
  const world = { position: 0, takes: true, sent: [] as number[] };
  const robot = {
    send: (command: Command) => {
      if (!world.takes) return false;
      world.position = command.values[0]!;
      world.sent.push(command.values[0]!);
      return true;
    },
  };
  const sink = new ExecutorSink({
    executor,
    executor_hz: 1000,
    robot,
    publish_hz: 100,
    sole: true,
    rate_hz: 50,
    clock,
  });
  const command = (cause: CommandCause, value = 0) =>
    sink.command(
      { stamp_ns: clock.now_ns(), expires_ns: clock.now_ns() + 1e8, values: Float64Array.of(value) },
      cause,
    );
  return {
    world,
    sink,
    command,
    now_ns: clock.now_ns,
    run: (count: number) => {
      for (let i = 0; i < count; i++) {
        port.tick(clock.now_ns());
        ms++;
        vi.advanceTimersByTime(1);
      }
    },
    close: () => {
      sink.close();
      executor.close();
    },
  };
}

test('nothing leaves before commands begin, nor after a stop or a suspension', () => {
  const { world, sink, now_ns, command, run, close } = scene();
  run(30);
  sink.follow(chunkOf([0, 0.5], now_ns(), 100e6), 0);
  expect(command('policy')).toBe('none');
  run(30);
  expect(world.sent).toEqual([]);
  for (const end of ['stop', 'suspend'] as const) {
    sink.begin([0]);
    sink.follow(chunkOf([0, 0.5, 1], now_ns(), 100e6), 0);
    command('policy');
    run(40);
    expect(sink.state()).toMatchObject({ live: true, moving: true });
    sink[end]();
    const { length } = world.sent;
    expect(length).toBeGreaterThan(2);
    run(40);
    expect(world.sent.length).toBe(length);
    expect(sink.state()).toMatchObject({ live: false, moving: false });
  }
  close();
});

test('a chunk that came before commands begin is followed from then on', () => {
  const { world, sink, now_ns, command, run, close } = scene();
  sink.follow(chunkOf([0.1, 0.1, 0.1], now_ns(), 100e6), 0);
  sink.begin([0]);
  command('policy');
  run(100);
  expect(world.sent.at(-1)).toBeCloseTo(0.1, 6);
  close();
});

test('a policy that does not know its rate is played at the period that it is given', () => {
  const { world, sink, now_ns, command, run, close } = scene();
  sink.begin([0]);
  sink.follow(chunkOf([0, 0.01, 0.02, 0.03], now_ns(), 0), 20e6);
  command('policy');
  run(70);
  expect(world.sent.at(-1)).toBeCloseTo(0.03, 2);
  close();
});

test('of a chunk longer than the thread holds the beginning is played', () => {
  const { world, sink, now_ns, command, run, close } = scene();
  sink.begin([0]);
  const rows = Array.from({ length: 400 }, (_, i) => 0.001 * i);
  sink.follow(chunkOf(rows, now_ns(), 5e6), 0);
  command('policy');
  run(500);
  expect(world.sent.at(-1)).toBeCloseTo(0.1, 2);
  close();
});

test('a person’s target is followed for as long as they repeat it', () => {
  const { world, sink, command, run, close } = scene();
  sink.begin([0]);
  for (let i = 0; i < 10; i++) {
    command('person', 0.1);
    run(20);
  }
  expect(world.sent.at(-1)).toBeCloseTo(0.1, 6);
  command('person', 1);
  run(400);
  // 100 ms of it at full speed, and no more.
  expect(world.sent.at(-1)).toBeLessThan(0.1 + 0.11 * VELOCITY);
  close();
});

test('a robot that does not take its commands is not driven on: they must begin anew', () => {
  const { world, sink, now_ns, command, run, close } = scene();
  sink.begin([0]);
  sink.follow(chunkOf([0, 0.1, 0.2, 0.3], now_ns(), 50e6), 0);
  command('policy');
  run(100);
  expect(world.sent.at(-1)).toBeGreaterThan(0.05);
  world.takes = false;
  run(40);
  expect(command('policy')).toBe('refused');
  run(80);
  expect(sink.state().live).toBe(false);
  world.takes = true;
  const { length } = world.sent;
  run(100);
  expect(world.sent.length).toBe(length);
  sink.begin([2]);
  command('hold');
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
    {
      executor: { publish_hz: 50 },
      joints: { base_yaw: { lower: -1, upper: 1, velocity: 3, step_from_measured: 0.1 } },
    },
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
