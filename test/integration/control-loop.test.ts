import { afterEach, describe, expect, test } from 'vitest';
import { Controller, type ControllerOptions, MonotonicClock } from '../../src/control/index.js';
import { DrySink } from '../../src/sinks/index.js';
import {
  type ActionChunk,
  type Command,
  NS_PER_MS,
  type Observation,
  type Policy,
  type Robot,
  type RobotStatus,
} from '../../src/types/index.js';

const clock = new MonotonicClock();
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Stands in for hardware: follows commands at once and publishes at 200 Hz. */
class FakeRobot implements Robot {
  readonly observation_dims = { position: 1 };
  readonly action_dim = 1;
  readonly sent: { at_ns: number; value: number; expires_ns: number }[] = [];
  position = 0;
  publishing = true;
  ahead_ns = 0;
  broken: 'nan' | 'short' | undefined;
  /** Nothing gets through, as with a socket that is backed up. */
  deaf = false;
  private newest: Observation | undefined;
  private listener: ((status: RobotStatus) => void) | undefined;
  private readonly timer = setInterval(() => this.publish(), 5);

  connect = async (): Promise<void> => undefined;
  latest = (): Observation | undefined => this.newest;
  send(command: Command): boolean {
    if (this.deaf) return false;
    this.position = command.values[0]!;
    this.sent.push({ at_ns: clock.now_ns(), value: command.values[0]!, expires_ns: command.expires_ns });
    return true;
  }
  onStatus(listener: (status: RobotStatus) => void): () => void {
    this.listener = listener;
    listener({ connected: true, cause: 'connected' });
    return () => undefined;
  }
  drop(connected: boolean): void {
    this.listener?.({ connected, cause: connected ? 'connected' : 'the cable is out' });
  }
  call = async (): Promise<Record<string, unknown>> => ({});
  close = async (): Promise<void> => clearInterval(this.timer);

  private publish(): void {
    if (!this.publishing) return;
    const value = this.broken === 'nan' ? Number.NaN : this.position;
    this.newest = {
      stamp_ns: clock.now_ns() + this.ahead_ns,
      values: { position: this.broken === 'short' ? new Float32Array(0) : Float32Array.of(value) },
    };
  }
}

/** Moves at 0.1 a period from where the robot is; misbehaves on request. */
class ScriptedPolicy implements Policy {
  mode: 'fine' | 'throws' | 'never' | 'nan' | 'short' | 'wide' = 'fine';
  delay_ms = 2;
  readonly spec = {
    family: 'scripted',
    n_obs_steps: 1,
    horizon: 10,
    n_action_steps: 4,
    action_dim: 1,
    observation_dims: { position: 1 },
    image_shapes: {},
    goal_dims: {},
    rate_hz: 50,
  };
  reset = (): void => undefined;
  close = (): void => undefined;
  async infer(
    window: Observation | readonly Observation[],
    options?: { signal?: AbortSignal },
  ): Promise<ActionChunk> {
    const newest = (window as readonly Observation[]).at(-1)!;
    await sleep(this.delay_ms);
    if (this.mode === 'never')
      await new Promise((_, reject) =>
        options?.signal?.addEventListener('abort', () => reject(new Error('aborted'))),
      );
    if (this.mode === 'throws') throw new Error('out of order');
    const from = newest.values.position![0]!;
    const actions = Float32Array.from({ length: 10 }, (_, i) =>
      this.mode === 'nan' ? Number.NaN : from + 0.01 * (i + 1),
    );
    const horizon = this.mode === 'short' ? 2 : 10;
    return {
      stamp_ns: newest.stamp_ns,
      period_ns: 20 * NS_PER_MS,
      horizon,
      action_dim: this.mode === 'wide' ? 2 : 1,
      actions: actions.slice(0, horizon),
      n_candidates: 1,
      chosen: 0,
      timing: { queue_ns: 0, observe_ns: 0, denoise_ns: 0, total_ns: 0 },
    };
  }
}

const opened: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0)) await close();
});

async function begin(options: Partial<ControllerOptions> = {}) {
  const robot = new FakeRobot();
  const policy = new ScriptedPolicy();
  const controller = new Controller({
    robot,
    policy,
    clock,
    limits: { lower: [-100], upper: [100], velocity: [1] },
    rate_hz: 100,
    position_key: 'position',
    freshness_ms: 60,
    inference_ms: 150,
    lifetime_ms: 50,
    ...options,
  });
  opened.push(async () => {
    await controller.stop();
    await robot.close();
  });
  controller.start();
  await until(() => controller.supervisor.state === 'READY');
  controller.go();
  await until(() => robot.sent.length > 5);
  return { robot, policy, controller, supervisor: controller.supervisor };
}

async function until(condition: () => boolean, ms = 4000): Promise<void> {
  const end = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${condition}`);
    await sleep(2);
  }
}

describe('the controller', () => {
  test('runs, within the velocity limit, with commands that expire', async () => {
    const { robot, supervisor } = await begin();
    await until(() => robot.sent.length > 60);
    expect(supervisor.state).toBe('RUNNING');
    expect(robot.position).toBeGreaterThan(0.05);
    robot.sent.forEach((c, i) => {
      expect(c.expires_ns).toBeGreaterThan(c.at_ns - 20 * NS_PER_MS);
      if (i > 0) expect(Math.abs(c.value - robot.sent[i - 1]!.value)).toBeLessThanOrEqual(0.01 + 1e-9);
    });
  });

  test('a stale observation holds the robot; fresh ones let it go on by themselves', async () => {
    const { robot, supervisor } = await begin();
    robot.publishing = false;
    await until(() => supervisor.state === 'HOLD');
    expect(supervisor.counts.observation_stale).toBeGreaterThan(0);
    const sent = robot.sent.length;
    await sleep(100);
    expect(robot.sent.length).toBe(sent);
    robot.publishing = true;
    await until(() => supervisor.state === 'RUNNING');
    await until(() => robot.sent.length > sent + 5);
  });

  test('a stream that goes stale at speed brakes within the acceleration limit, then ends', async () => {
    const { robot, supervisor } = await begin({
      limits: { lower: [-100], upper: [100], velocity: [1], acceleration: [4] },
    });
    await until(() => supervisor.counts.acceleration_limited > 0 && robot.sent.length > 40);
    robot.publishing = false;
    await until(() => supervisor.state === 'HOLD');
    await sleep(300);
    const speeds = robot.sent.slice(1).map((c, i) => (c.value - robot.sent[i]!.value) * 100);
    const changes = speeds.slice(1).map((v, i) => Math.abs(v - speeds[i]!));
    expect(Math.max(...changes)).toBeLessThanOrEqual(0.04 + 1e-6);
    expect(speeds.at(-1)!).toBeCloseTo(0, 9);
    const sent = robot.sent.length;
    await sleep(60);
    expect(robot.sent.length).toBe(sent);
  });

  test('a stream that is fresh again while it brakes goes on from its speed', async () => {
    const { robot, supervisor } = await begin({
      limits: { lower: [-100], upper: [100], velocity: [1], acceleration: [1] },
    });
    // At 0.2 per s braking takes 20 periods, each of which the robot may come back in.
    const speed = () => (robot.sent.at(-1)!.value - robot.sent.at(-2)!.value) * 100;
    for (let round = 0; round < 3; round++) {
      await until(() => supervisor.state === 'RUNNING' && speed() > 0.2);
      robot.publishing = false;
      await until(() => supervisor.state === 'HOLD');
      robot.publishing = true;
    }
    const speeds = robot.sent.slice(1).map((c, i) => (c.value - robot.sent[i]!.value) * 100);
    const changes = speeds.slice(1).map((v, i) => Math.abs(v - speeds[i]!));
    expect(Math.max(...changes)).toBeLessThanOrEqual(0.01 + 1e-6);
  });

  test('a robot that does not follow is not left further behind than its step limit', async () => {
    const { robot, supervisor } = await begin({
      limits: { lower: [-100], upper: [100], velocity: [1], acceleration: [20], step_from_measured: [0.015] },
    });
    const stuck = robot.position;
    // Commands arrive, the joint does not move.
    robot.send = (command) => {
      robot.sent.push({ at_ns: 0, value: command.values[0]!, expires_ns: command.expires_ns });
      return true;
    };
    await until(() => supervisor.counts.step_limited > 20);
    // Braking from 1 per s takes 1/40, which may lie behind the target; positions come as float32.
    expect(Math.max(...robot.sent.map((c) => c.value))).toBeLessThanOrEqual(stuck + 0.015 + 0.025 + 1e-6);
    expect(supervisor.state).toBe('RUNNING');
  });

  test('a stamp from the future is not fresh', async () => {
    const { robot, supervisor } = await begin();
    robot.ahead_ns = 3600e9;
    await until(() => supervisor.state === 'HOLD');
    expect(supervisor.counts.observation_stale).toBeGreaterThan(0);
  });

  test('those who listen may throw, and the robot runs on', async () => {
    const { controller, supervisor, robot } = await begin();
    controller.onChunk(() => {
      throw new Error('the page is gone');
    });
    supervisor.onChange(() => {
      throw new Error('the log is full');
    });
    await until(() => controller.stats.listener_errors > 3);
    expect(supervisor.counts.inference_failed).toBe(0);
    controller.hold();
    controller.resume();
    expect(supervisor.listener_errors).toBe(2);
    const sent = robot.sent.length;
    await until(() => robot.sent.length > sent + 5);
  });

  test('a tick that fails holds, and the next one comes', async () => {
    const { robot, supervisor } = await begin();
    const send = robot.send.bind(robot);
    robot.send = () => {
      throw new Error('the socket is gone');
    };
    await until(() => supervisor.state === 'HOLD');
    expect(supervisor.counts.internal_error).toBeGreaterThan(0);
    expect(supervisor.cause).toContain('the socket is gone');
    robot.send = send;
    const sent = robot.sent.length;
    await until(() => robot.sent.length > sent + 5);
  });

  test('a lost robot holds, says why, and resumes', async () => {
    const { robot, supervisor } = await begin();
    robot.drop(false);
    await until(() => supervisor.state === 'HOLD');
    expect(supervisor.cause).toContain('the cable is out');
    robot.drop(true);
    await until(() => supervisor.state === 'RUNNING');
  });

  test.each(['nan', 'short'] as const)('a broken observation (%s) sends nothing', async (broken) => {
    const { robot, supervisor } = await begin();
    robot.broken = broken;
    await until(() => supervisor.state === 'HOLD');
    const sent = robot.sent.length;
    await sleep(80);
    expect(robot.sent.length).toBe(sent);
    expect(supervisor.counts.observation_invalid).toBeGreaterThan(0);
    robot.broken = undefined;
    await until(() => supervisor.state === 'RUNNING');
  });

  test.each(['throws', 'nan', 'never', 'wide'] as const)(
    'a policy that %s is held after what the chunk bridges',
    async (mode) => {
      const { robot, policy, supervisor } = await begin();
      policy.mode = mode;
      // A machine that stands still may hold for a stale observation before.
      const held = () =>
        supervisor.counts.inference_failed +
        supervisor.counts.inference_late +
        supervisor.counts.chunk_underrun;
      await until(() => supervisor.state === 'HOLD' && held() > 0);
      expect(robot.sent.every((c) => Number.isFinite(c.value))).toBe(true);
      policy.mode = 'fine';
      await until(() => supervisor.state === 'RUNNING');
    },
  );

  test('an emergency stop is in force at the next tick and stays', async () => {
    const { robot, controller, supervisor } = await begin();
    controller.emergencyStop();
    const sent = robot.sent.length;
    await sleep(100);
    expect(robot.sent.length - sent).toBe(0);
    controller.go();
    controller.resume();
    await sleep(50);
    expect(supervisor.state).toBe('STOPPED');
    expect(robot.sent.length - sent).toBe(0);
    controller.reset(1);
    await until(() => supervisor.state === 'READY');
    controller.go();
    await until(() => robot.sent.length > sent);
  });

  test('after a reset the first command starts where the robot is', async () => {
    const { robot, controller } = await begin();
    controller.suspend();
    const sent = robot.sent.length;
    await sleep(60);
    expect(robot.sent.length).toBe(sent);
    robot.position = 50;
    controller.reset(2);
    await until(() => robot.sent.length > sent);
    expect(Math.abs(robot.sent[sent]!.value - 50)).toBeLessThanOrEqual(0.011);
  });

  test('a chunk that is used up holds', async () => {
    const { policy, supervisor } = await begin();
    policy.mode = 'short';
    policy.delay_ms = 90;
    await until(() => supervisor.counts.chunk_underrun > 0);
  });

  test('a dry run sends nothing', async () => {
    const robot = new FakeRobot();
    const controller = new Controller({
      robot,
      policy: new ScriptedPolicy(),
      clock,
      limits: { lower: [-1], upper: [1], velocity: [1] },
      rate_hz: 100,
      position_key: 'position',
      freshness_ms: 60,
      inference_ms: 150,
      lifetime_ms: 50,
      sink: new DrySink({ clock, rate_hz: 100 }),
    });
    opened.push(async () => {
      await controller.stop();
      await robot.close();
    });
    controller.start();
    await until(() => controller.supervisor.state === 'READY');
    controller.go();
    await until(() => controller.stats.actions > 10);
    expect(robot.sent).toEqual([]);
  });

  test('a robot moved while it was lost is met where it is', async () => {
    const { robot, supervisor } = await begin();
    robot.drop(false);
    await until(() => supervisor.state === 'HOLD');
    const sent = robot.sent.length;
    robot.position = 5;
    await sleep(30);
    robot.drop(true);
    await until(() => robot.sent.length > sent);
    expect(Math.abs(robot.sent[sent]!.value - 5)).toBeLessThanOrEqual(0.011);
  });

  test('commands that do not get through for a while do not come as one jump', async () => {
    const { robot, supervisor } = await begin();
    await until(() => robot.sent.length > 20);
    const before = robot.sent.length;
    robot.deaf = true;
    await until(() => supervisor.counts.send_failed > 30);
    robot.deaf = false;
    await until(() => robot.sent.length > before + 5);
    for (const [i, { value }] of robot.sent.entries())
      if (i > 0) expect(Math.abs(value - robot.sent[i - 1]!.value)).toBeLessThanOrEqual(0.01 + 1e-6);
  });

  test('a fault while the operator drives does not hand over to the policy', async () => {
    const { robot, controller, supervisor } = await begin();
    controller.takeOver([robot.position]);
    await until(() => supervisor.state === 'TELEOP');
    robot.publishing = false;
    await until(() => supervisor.state === 'HOLD');
    robot.publishing = true;
    await sleep(150);
    expect(supervisor.state).toBe('HOLD');
    controller.resume();
    await until(() => supervisor.state === 'RUNNING');
  });

  test('a reset does not undo a hold that a person asked for', async () => {
    const { controller, supervisor } = await begin();
    controller.hold();
    controller.reset(3);
    await sleep(100);
    expect(supervisor.state).toBe('HOLD');
  });

  test('letting go gives back to the policy only what was taken from it', async () => {
    const { robot, controller, supervisor } = await begin();
    controller.hold();
    expect(controller.takeOver([robot.position])).toBe(true);
    controller.takeOver(undefined);
    await sleep(80);
    expect(supervisor.state).toBe('HOLD');
    controller.emergencyStop();
    expect(controller.takeOver([robot.position])).toBe(false);
  });

  test('the operator drives and gives back without a jump', async () => {
    const { robot, controller, supervisor } = await begin();
    for (const values of [[Number.NaN], [0, 0], []]) expect(controller.takeOver(values)).toBe(false);
    expect(supervisor.state).toBe('RUNNING');
    expect(controller.takeOver([robot.position + 5])).toBe(true);
    await sleep(60);
    expect(supervisor.state).toBe('TELEOP');
    controller.takeOver(undefined);
    await until(() => supervisor.state === 'RUNNING');
    await sleep(60);
    robot.sent.forEach((c, i) => {
      if (i > 0) expect(Math.abs(c.value - robot.sent[i - 1]!.value)).toBeLessThanOrEqual(0.01 + 1e-9);
    });
  });
});
