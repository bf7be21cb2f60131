// What the whole controller does with chunks that take their time: where they are entered, what real-time chunking asks
// the policy for, which candidate bidirectional decoding plays, and what comes out between the rows. In a time moved by
// hand, with a policy that says where to be at every moment.

import { describe, expect, test } from 'vitest';
import { Controller, type ControllerOptions, ManualClock, prefixWeights } from '../../src/control/index.js';
import type {
  ActionChunk,
  ChunkPrefix,
  Command,
  Observation,
  Policy,
  Robot,
  Workspace,
} from '../../src/types/index.js';
import { connectedRobot } from './connected-robot.js';

const MS = 1e6;
const ROW_NS = 50 * MS;
const TICK_NS = 10 * MS;
const HORIZON = 16;

type Asked = Parameters<Policy['infer']>[1] & { readonly stamp_ns: number };
/** Where to be at a moment, as the `nth` inference sees it. */
type Path = (at_ns: number, nth: number) => readonly number[];

interface Scene {
  readonly joints: number;
  readonly path: Path;
  /** How long inference takes. */
  readonly infer_ns: number;
  readonly candidates?: (best: Float32Array, nth: number) => Float32Array[];
  readonly options?: Partial<ControllerOptions>;
}

/** Runs for a second and a half; the robot is where it was told to be. */
async function play({ joints, path, infer_ns, candidates, options }: Scene) {
  const clock = new ManualClock(1e9);
  const asked: Asked[] = [];
  const chunks: ActionChunk[] = [];
  const sent: { at_ns: number; values: number[] }[] = [];
  let position = Float32Array.from(path(clock.now_ns(), 0));
  const policy: Policy = {
    spec: {
      family: 'scripted',
      n_obs_steps: 1,
      horizon: HORIZON,
      n_action_steps: 8,
      action_dim: joints,
      observation_dims: { joint_position: joints },
      image_shapes: {},
      goal_dims: {},
      rate_hz: 1e9 / ROW_NS,
    },
    reset: () => undefined,
    close: () => undefined,
    async infer(window, request): Promise<ActionChunk> {
      const { stamp_ns } = (window as readonly Observation[]).at(-1)!;
      const nth = asked.length;
      asked.push({ ...request, stamp_ns });
      await clock.sleepUntil(clock.now_ns() + infer_ns);
      const rows = Array.from({ length: HORIZON }, (_, i) => path(stamp_ns + i * ROW_NS, nth));
      const actions = Float32Array.from(rows.flat());
      const all = candidates?.(actions, nth);
      return {
        stamp_ns,
        period_ns: ROW_NS,
        horizon: HORIZON,
        action_dim: joints,
        actions: all?.[0] ?? actions,
        n_candidates: all?.length ?? 1,
        chosen: 0,
        ...(all === undefined ? {} : { candidates: Float32Array.from(all.flatMap((one) => [...one])) }),
        timing: { queue_ns: 0, observe_ns: 0, denoise_ns: 0, total_ns: infer_ns },
      };
    },
  };
  const robot: Robot = {
    ...connectedRobot(joints),
    latest: () => ({ stamp_ns: clock.now_ns(), values: { joint_position: position } }),
    send({ values }: Command) {
      position = Float32Array.from(values);
      sent.push({ at_ns: clock.now_ns(), values: [...values] });
      return true;
    },
  };
  const wide = Array.from({ length: joints }, () => 1e3);
  const controller = new Controller({
    robot,
    policy,
    clock,
    limits: { lower: wide.map((v) => -v), upper: wide, velocity: wide },
    rate_hz: 1e9 / TICK_NS,
    position_key: 'joint_position',
    freshness_ms: 200,
    inference_ms: 1000,
    lifetime_ms: 100,
    ...options,
  });
  controller.onChunk((chunk) => chunks.push(chunk));
  controller.supervisor.onChange(({ to }) => {
    if (to === 'READY') controller.go();
  });
  controller.start();
  await new Promise((go) => setImmediate(go));
  await clock.advance(1500 * MS);
  const stopping = controller.stop();
  await clock.advance(2 * TICK_NS);
  await stopping;
  return { asked, chunks, sent, counts: controller.supervisor.counts };
}

/** One joint that goes along at 1 unit/s from 1 s on, each inference a little higher than the one before. */
const ramp =
  (lift: number): Path =>
  (at_ns, nth) => [(at_ns - 1e9) / 1e9 + lift * nth];

describe('a chunk that took its time', () => {
  test.each([0, 30, 120, 260])('%i ms: every command is the row of its own moment', async (ms) => {
    const { sent, chunks } = await play({ joints: 1, path: ramp(0), infer_ns: ms * MS });
    const moving = sent.filter(({ at_ns }) => at_ns > chunks[0]!.stamp_ns + (ms + 20) * MS);
    expect(moving.length).toBeGreaterThan(100);
    for (const { at_ns, values } of moving) {
      const behind_s = (at_ns - 1e9) / 1e9 - values[0]!;
      // A row is held until the next: never ahead of its moment, never a whole row behind.
      expect(behind_s).toBeGreaterThanOrEqual(-1e-6);
      expect(behind_s).toBeLessThan(ROW_NS / 1e9);
    }
  });
});

describe('real-time chunking', () => {
  const RTC = { mode: 'rtc', schedule: 'exp', derivative: true, execution_horizon: 10 } as const;

  test.each([40, 120, 220])('with %i ms of inference it asks for what will be playing', async (ms) => {
    const { asked, chunks } = await play({
      joints: 1,
      path: ramp(0.01),
      infer_ns: ms * MS,
      options: { chunks: RTC },
    });
    expect(asked.length).toBeGreaterThan(4);
    expect(asked[0]!.prefix).toBeUndefined();
    asked.slice(1).forEach((one, i) => {
      const playing = chunks[i]!;
      const { actions, weights, derivative } = one.prefix as ChunkPrefix;
      expect(derivative).toBe(true);
      // Row by row what the chunk in force says of the moments the new one will speak of.
      const first = (one.stamp_ns - playing.stamp_ns) / ROW_NS;
      expect(actions.length).toBeGreaterThan(0);
      actions.forEach((value, row) => {
        expect(value).toBeCloseTo(playing.actions[0]! + ((first + row) * ROW_NS) / 1e9, 5);
      });
      // The first inference was only guessed at; from then on the delay is what was measured.
      if (i === 0) return;
      const delay = Math.ceil((ms * MS) / ROW_NS);
      expect([...weights]).toEqual([
        ...prefixWeights('exp', delay, Math.min(10, actions.length), actions.length),
      ]);
      expect(weights.filter((w) => w === 1)).toHaveLength(delay);
    });
  });

  test('nothing is asked for when nothing will be left', async () => {
    const { asked } = await play({
      joints: 1,
      path: ramp(0),
      infer_ns: 900 * MS,
      options: { chunks: RTC },
    });
    expect(asked.length).toBeGreaterThan(1);
    for (const { prefix } of asked) expect(prefix).toBeUndefined();
  });

  test('the derivative, the schedule and the candidates are the robot file’s', async () => {
    const { asked } = await play({
      joints: 1,
      path: ramp(0),
      infer_ns: 40 * MS,
      options: { chunks: { mode: 'rtc', schedule: 'zeros', derivative: false, candidates: 4 } },
    });
    expect(asked[0]!.candidates).toBe(4);
    const { derivative, weights } = asked.at(-1)!.prefix!;
    expect(derivative).toBe(false);
    expect(new Set(weights)).toEqual(new Set([0, 1]));
  });
});

test('bidirectional decoding plays the candidate that goes on as before', async () => {
  // Three ways: above, below, and where the robot was going; not always in the same place.
  const shifted = (actions: Float32Array, by: number) => actions.map((v) => v + by);
  const { asked, chunks, sent } = await play({
    joints: 1,
    path: ramp(0),
    infer_ns: 60 * MS,
    candidates: (best, nth) => {
      const three = [shifted(best, 0.5), best, shifted(best, -0.5)];
      return [...three.slice(nth % 3), ...three.slice(0, nth % 3)];
    },
    options: { chunks: { mode: 'bid', candidates: 3, decay: 0.5 } },
  });
  expect(asked.every(({ candidates }) => candidates === 3)).toBe(true);
  expect(chunks.length).toBeGreaterThan(3);
  // The first has nothing to agree with; all others keep its side.
  const side = chunks[0]!.actions[0]! - (chunks[0]!.stamp_ns - 1e9) / 1e9;
  expect(side).toBeCloseTo(0.5, 5);
  chunks.forEach(({ actions, stamp_ns, chosen }, nth) => {
    expect(actions[0]! - (stamp_ns - 1e9) / 1e9).toBeCloseTo(side, 5);
    expect(chosen).toBe((3 - (nth % 3)) % 3);
  });
  const last = sent.at(-1)!;
  expect(last.values[0]! - (last.at_ns - 1e9) / 1e9).toBeGreaterThan(0.4);
});

describe('between the rows', () => {
  test.each(['linear', 'cubic', 'quintic'] as const)('%s goes along the line', async (interpolation) => {
    const { sent } = await play({
      joints: 1,
      path: ramp(0),
      infer_ns: 0,
      options: { interpolation },
    });
    const moving = sent.filter(({ at_ns }) => at_ns > 1.1e9);
    for (const { at_ns, values } of moving) expect(values[0]).toBeCloseTo((at_ns - 1e9) / 1e9, 5);
    expect(new Set(moving.map(({ values }) => values[0])).size).toBe(moving.length);
  });

  test('an orientation turns about its axis at an even rate', async () => {
    // About z at 2 rad/s: too far between two rows for a straight line to be one of rotations.
    const turn: Path = (at_ns) => {
      const half = (at_ns - 1e9) / 1e9;
      return [0, 0, Math.sin(half), Math.cos(half)];
    };
    const { sent } = await play({
      joints: 4,
      path: turn,
      infer_ns: 0,
      options: { interpolation: 'linear', rotations: [{ at: 0, as: 'quaternion' }] },
    });
    for (const { at_ns, values } of sent.filter(({ at_ns }) => at_ns > 1.1e9)) {
      expect(Math.hypot(...values)).toBeCloseTo(1, 6);
      expect(Math.atan2(values[2]!, values[3]!)).toBeCloseTo((at_ns - 1e9) / 1e9, 5);
    }
  });
});

test('a policy that leads out of the workspace is kept at its border', async () => {
  const identity = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0];
  const workspace: Workspace = {
    lower: [-0.1, -0.1, -0.1],
    upper: [0.4, 0.1, 0.1],
    chain: [{ kind: 'prismatic', origin: identity, axis: [1, 0, 0], joint: 0, scale: 1, offset: 0 }],
  };
  const { sent, counts } = await play({
    joints: 1,
    path: ramp(0),
    infer_ns: 20 * MS,
    options: { workspace, interpolation: 'linear' },
  });
  expect(Math.max(...sent.map(({ values }) => values[0]!))).toBeLessThanOrEqual(0.4 + 1e-9);
  expect(sent.at(-1)!.values[0]!).toBeGreaterThan(0.38);
  expect(counts.workspace_limited).toBeGreaterThan(20);
});
