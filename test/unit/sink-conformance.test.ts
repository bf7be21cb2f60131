// What every way out for commands must do, one body for all of them: {position, velocity} × {direct, executor, goals, dry}.
// A pair that cannot be guarded is refused. sink-stage.ts judges every command that leaves on the way.

import { afterEach, describe, expect, test } from 'vitest';
import type { ActionChunk, CommandQuantity, Observation, Policy, SinkKind } from '../../src/types/index.js';
import { PERIOD_NS, Stage, type StageOptions } from './sink-stage.js';

const QUANTITIES: readonly CommandQuantity[] = ['position', 'velocity'];
const SINKS: readonly SinkKind[] = ['direct', 'executor', 'goals', 'dry'];
const refused = (quantity: CommandQuantity, sink: SinkKind) =>
  quantity === 'velocity' && (sink === 'executor' || sink === 'goals');
const PAIRS = QUANTITIES.flatMap((quantity) => SINKS.map((sink) => [quantity, sink] as const));
const GUARDED = PAIRS.filter(([quantity, sink]) => !refused(quantity, sink));

/** Swings through the range, as fast as it goes, by the time of its observation. */
const swinging: Policy = {
  spec: {
    family: 'swinging',
    n_obs_steps: 1,
    horizon: 16,
    n_action_steps: 4,
    action_dim: 2,
    observation_dims: { joint_position: 2 },
    image_shapes: {},
    goal_dims: {},
    rate_hz: 50,
  },
  reset: () => undefined,
  close: () => undefined,
  async infer(window): Promise<ActionChunk> {
    const { stamp_ns } = (window as readonly Observation[]).at(-1)!;
    const at = (row: number) => Math.sin(3 * (stamp_ns / 1e9 + row / 50));
    return {
      stamp_ns,
      period_ns: 20e6,
      horizon: 16,
      action_dim: 2,
      actions: Float32Array.from({ length: 32 }, (_, i) => at(i >> 1) * (i % 2 === 0 ? 0.8 : -1.2)),
      n_candidates: 1,
      chosen: 0,
      timing: { queue_ns: 0, observe_ns: 0, denoise_ns: 0, total_ns: 0 },
    };
  },
};

const opened: Stage[] = [];
afterEach(async () => {
  for (const stage of opened.splice(0)) await stage.close();
});

function staged(options: Omit<StageOptions, 'policy'>): Stage {
  const stage = new Stage({ ...options, policy: swinging });
  opened.push(stage);
  return stage;
}

/** A robot at full speed. */
async function underWay(quantity: CommandQuantity, sink: SinkKind, more: StageOptions['more'] = {}) {
  const stage = staged({ quantity, sink, more });
  await stage.ticks(3);
  stage.controller.go();
  for (let i = 0; i < 100 && !fast(stage); i++) await stage.ticks(1);
  expect(fast(stage)).toBe(true);
  expect(stage.broken).toEqual([]);
  return stage;
}

/** Commanded to move at three quarters of what it may, or for a base to drive. */
function fast({ left, quantity }: Stage): boolean {
  const [before, last] = [left.at(-2), left.at(-1)];
  if (before === undefined || last === undefined) return false;
  if (quantity === 'velocity') return Math.abs(last.values[0]!) > 0.5;
  return Math.abs(last.values[0]! - before.values[0]!) / ((last.at_ns - before.at_ns) / 1e9) > 0.6;
}

const zero = (values: readonly number[]) => values.every((v) => v === 0);

describe.each(GUARDED)('%s × %s', (quantity, sink) => {
  test('a robot that was never started is never commanded, whatever is wrong with what it says', async () => {
    const stage = staged({ quantity, sink });
    stage.position = [0.4, -0.4];
    await stage.ticks(5);
    expect(stage.controller.state).toBe('READY');
    stage.frozen = true;
    await stage.ticks(20);
    stage.frozen = false;
    stage.controller.emergencyStop();
    await stage.ticks(20);
    expect(stage.left).toEqual([]);
    expect(stage.broken).toEqual([]);
  });

  test('a stop is in force at once and final until an operator clears it and resumes; a base is told zero', async () => {
    const stage = await underWay(quantity, sink);
    const { controller } = stage;
    controller.emergencyStop();
    const { length } = stage.left;
    await stage.ticks(100);
    const after = stage.left.slice(length);
    if (quantity === 'velocity') {
      expect(after.length).toBe(5);
      expect(after.every(({ values }) => zero(values))).toBe(true);
    } else expect(after).toEqual([]);
    controller.resume();
    controller.go();
    controller.takeOver([0, 0]);
    await stage.ticks(50);
    expect(controller.state).toBe('STOPPED');
    expect(stage.left.length).toBe(length + after.length);
    controller.reset(1);
    stage.position = [0.5, 0.5];
    await stage.ticks(50);
    expect(stage.left.length).toBe(length + after.length);
    controller.go();
    await stage.ticks(20);
    expect(stage.left.length).toBeGreaterThan(length + after.length);
    expect(stage.broken).toEqual([]);
  });

  test('suspended, nothing leaves until a reset and a later observation; a base is told zero, and again by a stop', async () => {
    const stage = await underWay(quantity, sink);
    const { controller } = stage;
    controller.suspend();
    let { length } = stage.left;
    const zeros = async () => {
      await stage.ticks(20);
      const after = stage.left.slice(length);
      length = stage.left.length;
      expect(after.length).toBe(quantity === 'velocity' ? 5 : 0);
      expect(after.every(({ values }) => zero(values))).toBe(true);
    };
    await zeros();
    controller.emergencyStop();
    await zeros();
    stage.position = [-0.5, 0.5];
    controller.reset(1);
    await stage.ticks(5);
    controller.go();
    await stage.ticks(20);
    expect(stage.left.length).toBeGreaterThan(length);
    expect(stage.broken).toEqual([]);
  });

  test('a hold comes to rest within the limits and stays for good; resuming goes on', async () => {
    const stage = await underWay(quantity, sink);
    stage.controller.hold();
    stage.held = true;
    await stage.ticks(150);
    const rested = [...stage.position];
    await stage.ticks(60);
    expect(stage.position).toEqual(rested);
    if (quantity === 'velocity') expect(zero(rested)).toBe(true);
    stage.held = false;
    stage.controller.resume();
    await stage.ticks(60);
    expect(stage.controller.state).toBe('RUNNING');
    expect(stage.position).not.toEqual(rested);
    expect(stage.broken).toEqual([]);
  });

  test.each(['nan', 'short', 'missing', 'future', 'past'] as const)(
    'one bad message (%s) at full speed brakes within the limits, and the robot goes on by itself',
    async (odd) => {
      const stage = await underWay(quantity, sink);
      stage.odd = odd;
      stage.once = true;
      stage.link(false, true);
      await stage.ticks(1);
      expect(stage.controller.state).toBe('HOLD');
      stage.link(true);
      await stage.ticks(30);
      expect(stage.controller.state).toBe('RUNNING');
      expect(stage.broken).toEqual([]);
    },
  );

  test('observations that stop coming: it brakes, then is silent, and begins anew where it is', async () => {
    const stage = await underWay(quantity, sink, { resume_within_ms: 60_000 });
    stage.frozen = true;
    await stage.ticks(150);
    expect(stage.controller.state).toBe('HOLD');
    const { length } = stage.left;
    await stage.ticks(60);
    expect(stage.left.length).toBe(length);
    stage.frozen = false;
    stage.position = [0.3, 0.3];
    await stage.ticks(30);
    expect(stage.controller.state).toBe('RUNNING');
    expect(stage.left.length).toBeGreaterThan(length);
    expect(stage.broken).toEqual([]);
  });

  test('a process that stood still for seconds: commands begin where the robot is, and not before an operator says so', async () => {
    const stage = await underWay(quantity, sink);
    const { controller } = stage;
    stage.paused(5e9, [-0.5, 1]);
    const { length } = stage.left;
    await stage.ticks(50);
    expect(controller.state).toBe('HOLD');
    expect(controller.supervisor.heldByOperator).toBe(true);
    for (const { values } of stage.left.slice(length)) expect(Math.abs(values[0]! + 0.5)).toBeLessThan(0.51);
    controller.resume();
    await stage.ticks(30);
    expect(controller.state).toBe('RUNNING');
    expect(stage.broken).toEqual([]);
  });

  test('one that stood still for a moment goes on by itself, from where the robot is', async () => {
    const stage = await underWay(quantity, sink);
    stage.paused(0.4e9, [-0.3, 0.5]);
    await stage.ticks(50);
    expect(stage.controller.state).toBe('RUNNING');
    expect(stage.broken).toEqual([]);
  });

  test.each([
    [300, false],
    [3000, true],
  ])('after %i ms without a link going on is an operator’s: %s', async (ms, operators) => {
    const stage = await underWay(quantity, sink);
    stage.link(false);
    await stage.ticks(ms / (PERIOD_NS / 1e6));
    stage.position = [0.2, 0.2];
    stage.link(true);
    await stage.ticks(50);
    expect(stage.controller.state).toBe(operators ? 'HOLD' : 'RUNNING');
    if (operators) stage.controller.resume();
    await stage.ticks(20);
    expect(stage.controller.state).toBe('RUNNING');
    expect(stage.broken).toEqual([]);
  });

  test('with a stop topic nothing goes on after a lost link before its state is known', async () => {
    for (const word of ['clear', 'beat', 'resume', 'stop'] as const) {
      const stage = await underWay(quantity, sink, { stop_topic: true });
      const { controller } = stage;
      stage.link(false);
      await stage.ticks(10);
      stage.link(true);
      await stage.ticks(50);
      expect(controller.state).toBe('HOLD');
      if (word === 'clear') controller.stopState(false);
      else if (word === 'beat') controller.operatorBeat();
      else if (word === 'resume') controller.resume();
      else controller.stopState(true);
      await stage.ticks(20);
      expect(controller.state).toBe(word === 'stop' ? 'STOPPED' : 'RUNNING');
      expect(stage.broken).toEqual([]);
    }
  });

  test('a person who falls silent while they drive leaves it held', async () => {
    const stage = await underWay(quantity, sink);
    const { controller } = stage;
    for (let i = 0; i < 10; i++) {
      controller.takeOver([0.7, 1.5], 100);
      await stage.ticks(5);
    }
    expect(controller.state).toBe('TELEOP');
    await stage.ticks(15);
    expect(controller.state).toBe('HOLD');
    await stage.ticks(100);
    expect(controller.state).toBe('HOLD');
    if (quantity === 'velocity') expect(zero(stage.position)).toBe(true);
    expect(stage.broken).toEqual([]);
  });
});

describe('trajectories that a network delays', () => {
  test.each([10, 30, 50])(
    'by up to %i ms, which is as long as one is good for: nothing jumps',
    async (ms) => {
      const stage = staged({ quantity: 'position', sink: 'goals', more: { lifetime_ms: 50 } });
      let [draws, newest] = [1, 0];
      stage.late_ns = () => {
        draws = (Math.imul(draws, 1664525) + 1013904223) >>> 0;
        // In order, as they are on one connection.
        const now_ns = stage.clock.now_ns();
        newest = Math.max(newest, now_ns + (draws / 2 ** 32) * ms * 1e6);
        return newest - now_ns;
      };
      await stage.ticks(3);
      const { controller } = stage;
      controller.go();
      for (let i = 0; i < 20; i++) {
        await stage.ticks(30);
        if (i % 4 === 1) controller.hold();
        if (i % 4 === 2) controller.resume();
        if (i % 4 === 3) controller.takeOver([0.9, -1.8]);
      }
      expect(stage.left.length).toBeGreaterThan(300);
      expect(stage.broken).toEqual([]);
    },
  );
});

describe('targets near the measured position', () => {
  const step = 0.1;
  test.each(['direct', 'goals', 'dry'] as const)('a blocked arm is not left behind: %s', async (sink) => {
    const limits = {
      lower: [-1, -2],
      upper: [1, 2],
      velocity: [0.8, 1.5],
      acceleration: [8, 15],
      step_from_measured: [step, step],
    };
    const stage = staged({ quantity: 'position', sink, more: { limits } });
    stage.blocked = true;
    await stage.ticks(3);
    stage.controller.go();
    await stage.ticks(200);
    expect(stage.controller.supervisor.counts.step_limited).toBeGreaterThan(0);
    expect(stage.furthest).toBeGreaterThan(step / 2);
    expect(stage.furthest).toBeLessThanOrEqual(step + 1e-9);
  });
});

describe('what cannot be guarded is refused', () => {
  test.each(PAIRS.filter(([quantity, sink]) => refused(quantity, sink)))('%s × %s', (quantity, sink) => {
    expect(() => staged({ quantity, sink })).toThrow(/expected .*position.*got velocity/);
  });

  test('a workspace for commands of velocity', () => {
    const workspace = { lower: [0, 0, 0], upper: [1, 1, 1], chain: [] };
    expect(() => staged({ quantity: 'velocity', sink: 'direct', more: { workspace } })).toThrow(
      /workspace: expected commands of position/,
    );
  });
});
