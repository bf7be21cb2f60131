// A person and a policy on one robot, in virtual time: hand-overs without a jump, blending that is exact at both ends,
// confidence, steering, and what a leader device's numbers mean.

import { describe, expect, test } from 'vitest';
import { Controller, type ControllerOptions, Leader, ManualClock } from '../../src/control/index.js';
import { Random } from '../../src/sim/random.js';
import type {
  ActionChunk,
  Command,
  ControlState,
  InferOptions,
  LeaderFile,
  Observation,
  Policy,
  Robot,
  TeleopShare,
} from '../../src/types/index.js';

const RATE_HZ = 100;
const PERIOD_NS = 1e9 / RATE_HZ;
const LIMITS = { lower: [-1, -2], upper: [1, 2], velocity: [0.8, 1.5] };

/** Two joints that are where they were last told to be, and a clock that only the test moves. */
class World implements Robot {
  readonly observation_dims = { joint_position: 2 };
  readonly action_dim = 2;
  readonly clock = new ManualClock(0);
  readonly commands: number[][] = [];
  position = [0, 0];
  private seen: Observation | undefined;

  async connect(): Promise<void> {}
  latest() {
    const stamp_ns = this.clock.now_ns();
    if (this.seen?.stamp_ns !== stamp_ns)
      this.seen = { stamp_ns, values: { joint_position: Float32Array.from(this.position) } };
    return this.seen;
  }
  send({ values }: Command): boolean {
    this.position = [...values];
    this.commands.push([...values]);
    return true;
  }
  onStatus(listener: (status: { connected: boolean; cause: string }) => void) {
    listener({ connected: true, cause: '' });
    return () => undefined;
  }
  call = () => Promise.reject(new Error('none'));
  async close(): Promise<void> {}

  async ticks(n: number): Promise<void> {
    for (let i = 0; i < n; i++) {
      await this.clock.advance(PERIOD_NS);
    }
  }
}

/** Waves, from its own seed; candidates `spread` apart. Keeps what it was last asked. */
function waving(seed: number, spread = 0) {
  const asked: InferOptions[] = [];
  const policy: Policy = {
    spec: {
      family: 'waving',
      n_obs_steps: 1,
      horizon: 16,
      n_action_steps: 6,
      action_dim: 2,
      observation_dims: { joint_position: 2 },
      image_shapes: {},
      goal_dims: {},
      rate_hz: 20,
    },
    reset: () => undefined,
    close: () => undefined,
    async infer(window, options = {}): Promise<ActionChunk> {
      asked.push(options);
      const { stamp_ns } = (window as readonly Observation[]).at(-1)!;
      const at = (row: number, j: number, c = 0) =>
        (j + 0.9) * Math.sin(seed + (stamp_ns / 1e9 + row / 20) * (2 + j)) + spread * (c === 0 ? 1 : -1);
      const rows = (c: number) => Array.from({ length: 32 }, (_, i) => at(i >> 1, i & 1, c));
      return {
        stamp_ns,
        period_ns: 50e6,
        horizon: 16,
        action_dim: 2,
        actions: Float32Array.from(rows(0)),
        ...(spread > 0 ? { candidates: Float32Array.from([...rows(0), ...rows(1)]) } : {}),
        n_candidates: spread > 0 ? 2 : 1,
        chosen: 0,
        timing: { queue_ns: 0, observe_ns: 0, denoise_ns: 0, total_ns: 0 },
      };
    },
  };
  return { policy, asked };
}

async function running(policy: Policy, more: Partial<ControllerOptions> = {}) {
  const world = new World();
  const controller = new Controller({
    robot: world,
    policy,
    clock: world.clock,
    limits: LIMITS,
    rate_hz: RATE_HZ,
    position_key: 'joint_position',
    freshness_ms: 200,
    inference_ms: 500,
    lifetime_ms: 100,
    ...more,
  });
  controller.start();
  await world.ticks(2);
  controller.go();
  await world.ticks(3);
  expect(controller.supervisor.state).toBe('RUNNING');
  return { world, controller };
}

/** The loop ends at its next period. */
async function ended(world: World, controller: Controller): Promise<void> {
  const stopped = controller.stop();
  await world.ticks(1);
  await stopped;
}

test('1,000 hand-overs at random moments of random motion: never more than one tick of the speed limit', async () => {
  const random = new Random(5);
  let handed = 0;
  let most = 0;
  for (let episode = 0; episode < 20; episode++) {
    const { world, controller } = await running(waving(episode).policy);
    for (let i = 0; i < 50; i++) {
      const person = () => [random.uniform(-3, 3), random.uniform(-3, 3)];
      expect(controller.takeOver(person())).toBe(true);
      for (let moves = Math.floor(random.uniform(1, 6)); moves > 0; moves--) {
        await world.ticks(Math.floor(random.uniform(0, 4)));
        controller.takeOver(person());
      }
      expect(controller.takeOver(undefined)).toBe(true);
      handed += 1;
      await world.ticks(Math.floor(random.uniform(0, 8)));
    }
    await ended(world, controller);
    const { commands } = world;
    for (let i = 1; i < commands.length; i++)
      for (let j = 0; j < 2; j++) {
        const share = Math.abs(commands[i]![j]! - commands[i - 1]![j]!) / (LIMITS.velocity[j]! / RATE_HZ);
        most = Math.max(most, share);
      }
  }
  expect(handed).toBe(1000);
  expect(most).toBeLessThanOrEqual(1 + 1e-9);
  // The motion was fast enough to have jumped.
  expect(most).toBeGreaterThan(0.99);
});

describe('blending', () => {
  /** Commands of 200 ticks in which a person says the same throughout; `share` undefined: nobody is there. */
  async function commands(share: TeleopShare | undefined, spread = 0) {
    const { policy } = waving(1, spread);
    const { world, controller } = await running(policy, share === undefined ? {} : { teleop: share });
    const person = new Random(3);
    for (let i = 0; i < 100; i++) {
      if (share !== undefined) controller.takeOver([person.uniform(-1, 1), person.uniform(-1, 1)]);
      await world.ticks(2);
    }
    await ended(world, controller);
    return world.commands;
  }

  test('at 0 it is the policy and at 1 the person, bit for bit', async () => {
    expect(await commands({ kind: 'blend', share: 0 })).toEqual(await commands(undefined));
    expect(await commands({ kind: 'blend', share: 1 })).toEqual(await commands({ kind: 'take_over' }));
    expect(await commands({ kind: 'blend', share: 0.5 })).not.toEqual(await commands(undefined));
  });

  test('by confidence: a sure policy keeps the robot, an unsure one gives it up', async () => {
    const share = { kind: 'confidence', low: 0.05, high: 0.4 } as const;
    expect(await commands(share, 0.04)).toEqual(await commands(undefined, 0.04));
    expect(await commands(share, 0.5)).toEqual(await commands({ kind: 'take_over' }, 0.5));
    const between = await commands(share, 0.2);
    expect(between).not.toEqual(await commands(undefined, 0.2));
    expect(between).not.toEqual(await commands({ kind: 'take_over' }, 0.2));
  });

  test('a policy that says nothing about its confidence leaves the robot to the person', async () => {
    const share = { kind: 'confidence', low: 0.05, high: 0.4 } as const;
    expect(await commands(share)).toEqual(await commands({ kind: 'take_over' }));
  });

  test('the share may be changed while it runs', async () => {
    const { world, controller } = await running(waving(1).policy);
    const drive = async (ticks: number) => {
      for (let i = 0; i < ticks; i += 10) {
        controller.takeOver([1, 2]);
        await world.ticks(10);
      }
    };
    await drive(300);
    expect(world.position).toEqual([1, 2]);
    controller.shareWith({ kind: 'blend', share: 0.5 });
    await drive(50);
    expect(world.position).not.toEqual([1, 2]);
    await ended(world, controller);
  });
});

test('steering: the policy is asked for a chunk towards where the person points', async () => {
  const { policy, asked } = waving(1);
  const { world, controller } = await running(policy, { teleop: { kind: 'steer', strength: 0.5, rows: 4 } });
  const before = [...world.position];
  for (let i = 0; i < 6; i++) {
    controller.takeOver([0.4, -0.4]);
    await world.ticks(10);
  }
  const { prefix } = asked.at(-1)!;
  expect([...prefix!.weights]).toEqual([0.5, 0.5, 0.5, 0.5]);
  expect(prefix!.derivative).toBe(true);
  expect(prefix!.actions.slice(6)).toEqual(Float32Array.of(0.4, -0.4));
  expect(world.position).not.toEqual(before);
  controller.takeOver(undefined);
  await world.ticks(60);
  expect(asked.at(-1)!.prefix).toBeUndefined();
  await ended(world, controller);
});

test('a person who falls silent leaves the robot held, not to the policy; one who gives back does not', async () => {
  const { world, controller } = await running(waving(1).policy);
  const { supervisor } = controller;
  controller.takeOver([0.4, -0.4], 200);
  await world.ticks(15);
  expect(supervisor.state).toBe('TELEOP');
  // A reading that is no target does not prolong it.
  expect(controller.takeOver([Number.NaN, 0], 200)).toBe(false);
  await world.ticks(10);
  expect(supervisor.state).toBe('HOLD');
  expect(supervisor.heldByOperator).toBe(true);
  await world.ticks(200);
  expect(supervisor.state).toBe('HOLD');
  controller.resume();
  await world.ticks(5);
  controller.takeOver([0.4, -0.4], 200);
  await world.ticks(5);
  controller.takeOver(undefined);
  expect(supervisor.state).toBe('RUNNING');
  await ended(world, controller);
});

describe('a leader', () => {
  const base: LeaderFile = {
    topic: '/leader',
    type: 'std_msgs/Float64MultiArray',
    mode: 'absolute',
    scale: [1, 2],
    deadband: 0.1,
    timeout_ms: 200,
    share: { kind: 'take_over' },
  };
  function follow(more: Partial<LeaderFile>) {
    const said: (number[] | undefined)[] = [];
    const lifetimes: (number | undefined)[] = [];
    const command = [0.5, -0.5];
    const robot = {
      command,
      state: 'RUNNING' as ControlState,
      takeOver(values: readonly number[] | undefined, lifetime_ms?: number) {
        if (robot.state === 'STOPPED') return false;
        if (values !== undefined) lifetimes.push(lifetime_ms);
        said.push(values && [...values]);
        robot.state = values === undefined ? 'HOLD' : 'TELEOP';
        return values !== undefined;
      },
    };
    return { leader: new Leader({ ...base, ...more }, robot), said, lifetimes, command, robot };
  }
  const MS = 1e6;

  test('absolute: its positions, scaled, good for timeout_ms; silence gives nothing back', () => {
    const { leader, said, lifetimes } = follow({});
    leader.onReading({ values: [0.1, 0.2] }, 0);
    for (const ms of [150, 250, 300]) leader.poll(ms * MS);
    expect(said).toEqual([[0.1, 0.4]]);
    expect(lifetimes).toEqual([200]);
  });

  test.each([
    ['a NaN', [Number.NaN, 0.2]],
    ['a Joy with fewer axes', [0.2]],
  ])('%s is ignored: the person drives on with the next reading, and the clutch still opens', (_, bad) => {
    const { leader, said } = follow({ clutch: { topic: '/clutch' } });
    leader.onClutch(true);
    leader.onReading({ values: [0.1, 0.2] }, 0);
    leader.onReading({ values: bad }, 10 * MS);
    expect(leader.unreadable).toBe(1);
    leader.onReading({ values: [0.2, 0.2] }, 20 * MS);
    leader.onReading({ values: bad }, 30 * MS);
    leader.onClutch(false);
    expect(said).toEqual([[0.1, 0.4], [0.2, 0.4], undefined]);
  });

  test('relative: from where the robot is when the clutch closes, every time anew', () => {
    const { leader, said, command } = follow({ mode: 'relative', clutch: { topic: '/clutch' } });
    leader.onReading({ values: [3, 3] }, 0);
    expect(said).toEqual([]);
    leader.onClutch(true);
    leader.onReading({ values: [3, 3] }, 10 * MS);
    leader.onReading({ values: [3.25, 3] }, 20 * MS);
    expect(said).toEqual([
      [0.5, -0.5],
      [0.75, -0.5],
    ]);
    leader.onClutch(false);
    leader.onReading({ values: [9, 9] }, 30 * MS);
    command[0] = 0.75;
    leader.onClutch(true);
    leader.onReading({ values: [9, 9] }, 40 * MS);
    expect(said.slice(2)).toEqual([undefined, [0.75, -0.5]]);
  });

  test('rate: speeds move the target, a stick at rest takes nothing over and lets go in time', () => {
    const { leader, said } = follow({ mode: 'rate' });
    leader.onReading({ values: [0.05, 0] }, 0);
    expect(said).toEqual([]);
    leader.onReading({ values: [1, 0] }, 10 * MS);
    leader.onReading({ values: [1, 0] }, 60 * MS);
    expect(said[0]).toEqual([0.5, -0.5]);
    expect(said[1]![0]).toBeCloseTo(0.55, 9);
    // However long it is pushed, the target stays a quarter of a second ahead of a robot that does not follow.
    for (let t = 70; t < 2000; t += 10) leader.onReading({ values: [1, 0] }, t * MS);
    expect(said.at(-1)![0]).toBeCloseTo(0.75, 9);
    for (let t = 2000; t < 2300; t += 10) {
      leader.onReading({ values: [0, 0] }, t * MS);
      leader.poll(t * MS);
    }
    expect(said.at(-1)).toBeUndefined();
  });

  test('streaming on undoes no hold: the clutch must be opened, and the target begins at the robot', () => {
    const { leader, said, command, robot } = follow({ mode: 'relative', clutch: { topic: '/clutch' } });
    leader.onClutch(true);
    leader.onReading({ values: [0, 0] }, 0);
    robot.state = 'HOLD';
    for (let t = 1; t < 50; t++) leader.onReading({ values: [t / 10, 0] }, t * 10 * MS);
    robot.state = 'RUNNING';
    leader.onReading({ values: [6, 0] }, 500 * MS);
    expect(said).toEqual([[0.5, -0.5]]);
    command[0] = 0.75;
    leader.onClutch(false);
    leader.onClutch(true);
    leader.onReading({ values: [6, 0] }, 510 * MS);
    expect(said).toEqual([
      [0.5, -0.5],
      [0.75, -0.5],
    ]);
  });

  test.each([
    ['absolute', 'a resume', [0.1, 0.1], 20, 'RUNNING'],
    ['absolute', 'a pause', [0.1, 0.1], 300, 'HOLD'],
    ['rate', 'a stick at rest', [0, 0], 20, 'HOLD'],
  ] as const)('%s without a clutch: only %s lets it drive again', (mode, _, values, at_ms, state) => {
    const { leader, said, robot } = follow({ mode });
    leader.onReading({ values: [0.2, 0.2] }, 0);
    robot.state = 'HOLD';
    leader.onReading({ values: [0.2, 0.2] }, 10 * MS);
    expect(said).toHaveLength(1);
    robot.state = state;
    leader.onReading({ values }, at_ms * MS);
    leader.onReading({ values: [0.2, 0.2] }, (at_ms + 10) * MS);
    expect(said.length).toBeGreaterThan(1);
    expect(robot.state).toBe('TELEOP');
  });

  test('a stop that is cleared does not hand the robot to a leader that goes on sending', () => {
    const { leader, said, robot } = follow({});
    robot.state = 'STOPPED';
    leader.onReading({ values: [0.2, 0.2] }, 0);
    robot.state = 'READY';
    leader.onReading({ values: [0.2, 0.2] }, 10 * MS);
    expect(said).toEqual([]);
  });

  test('a clutch in the same message', () => {
    const { leader, said } = follow({ clutch: { button: 2 } });
    leader.onReading({ values: [1, 1], clutch: false }, 0);
    leader.onReading({ values: [1, 1], clutch: true }, MS);
    leader.onReading({ values: [1, 1], clutch: false }, 2 * MS);
    expect(said).toEqual([[1, 2], undefined]);
  });
});
