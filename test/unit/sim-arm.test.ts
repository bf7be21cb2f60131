// The arm task: reproducible and restorable, solved by its expert on either side of the post, disturbed by pushes.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { armTask } from '../../src/sim/arm.js';
import { forward, inverse } from '../../src/sim/arm-kinematics.js';
import { Random } from '../../src/sim/random.js';
import type { Expert, TaskInstance } from '../../src/sim/task.js';

const { spec } = armTask;
const DT = 1 / spec.rate_hz;
let env: TaskInstance;
let other: TaskInstance;
beforeAll(async () => {
  env = await armTask.create();
  other = await armTask.create();
});
afterAll(() => {
  env.dispose();
  other.dispose();
});

/** Everything an instance shows of itself. */
function picture(e: TaskInstance): string {
  const poses = new Float32Array(7 * e.shapes.length);
  e.poses(poses);
  const seen = Object.values(e.observe()).map((v) => [...v]);
  return JSON.stringify([
    seen,
    [...poses],
    [...e.jointPosition()],
    [...e.goal()],
    e.mode(),
    e.success(),
    e.failed(),
  ]);
}

function drive(e: TaskInstance, expert: Expert, disturb?: (step: number) => void): number {
  let step = 0;
  for (; step < spec.max_steps && !e.success() && !e.failed(); step++) {
    disturb?.(step);
    e.advance(expert.act(e), DT);
  }
  return step;
}

describe('an episode', () => {
  test('is named by its seed: the same bytes again, in another instance, whatever was before', () => {
    const run = (e: TaskInstance): Uint8Array => {
      e.reset(11);
      const expert = armTask.expert(11, 'inner');
      for (let i = 0; i < 30; i++) e.advance(expert.act(e), DT);
      return e.save();
    };
    const first = run(env);
    env.reset(12);
    drive(env, armTask.expert(12));
    expect(run(env)).toEqual(first);
    expect(run(other)).toEqual(first);
    env.reset(12);
    expect(env.save()).not.toEqual(first);
  });

  test('goes on bit for bit from a saved state, also in another instance that held another episode', () => {
    for (const at of [5, 25, 36]) {
      env.reset(21);
      const expert = armTask.expert(21, 'outer');
      for (let i = 0; i < at; i++) env.advance(expert.act(env), DT);
      const saved = env.save();
      const onwards = (e: TaskInstance): [string, Uint8Array] => {
        const again = armTask.expert(21, 'outer');
        for (let i = 0; i < 20; i++) e.advance(again.act(e), DT);
        return [picture(e), e.save()];
      };
      const first = onwards(env);
      env.restore(saved);
      expect(env.save()).toEqual(saved);
      expect(onwards(env)).toEqual(first);
      other.reset(99);
      other.restore(saved);
      expect(onwards(other)).toEqual(first);
    }
  });

  test('shares nothing with another instance', () => {
    env.reset(31);
    other.reset(32);
    const before = picture(env);
    drive(other, armTask.expert(32));
    other.setGoal([0.3, 0.3]);
    other.push('block', [5, 5, 5]);
    expect(picture(env)).toBe(before);
  });

  test('shows features of the stated lengths, all finite, joint positions first', () => {
    env.reset(41);
    const seen = env.observe();
    expect(Object.fromEntries(Object.entries(seen).map(([k, v]) => [k, v.length]))).toEqual(
      spec.observation_dims,
    );
    for (const v of Object.values(seen)) expect(v.every(Number.isFinite)).toBe(true);
    expect([...seen['observation.state']!.subarray(0, 6)]).toEqual([
      ...Float32Array.from(env.jointPosition()),
    ]);
  });

  test('follows its goal: a moved goal moves the features and is kept in reach', () => {
    env.reset(42);
    const before = env.observe()['observation.goal'];
    env.setGoal([0.5, -0.3]);
    expect(env.observe()['observation.goal']).not.toEqual(before);
    env.setGoal([9, -9]);
    const [x, y] = env.goal();
    expect(Math.hypot(x!, y!)).toBeLessThan(0.8);
  });
});

describe('the expert', () => {
  test('places the block on 120 of 120 seeds, on the side it was asked for', () => {
    const lost: string[] = [];
    for (let seed = 0; seed < 120; seed++) {
      const mode = spec.modes[seed % 2]!;
      env.reset(seed);
      drive(env, armTask.expert(seed, mode));
      if (!env.success() || env.mode() !== mode)
        lost.push(`${seed} ${mode} → ${env.mode()} ${env.success()}`);
    }
    expect(lost).toEqual([]);
  });

  test('takes both sides by itself', () => {
    const sides = new Set<string | undefined>();
    for (let seed = 0; seed < 12; seed++) {
      env.reset(seed);
      drive(env, armTask.expert(seed));
      sides.add(env.mode());
    }
    expect(sides).toEqual(new Set(spec.modes));
  });

  test('recovers from pushes on the carried block and from a set point knocked about', () => {
    let won = 0;
    for (let seed = 300; seed < 350; seed++) {
      env.reset(seed);
      const random = new Random(seed);
      const expert = armTask.expert(seed);
      for (let step = 0; step < spec.max_steps && !env.success() && !env.failed(); step++) {
        const target = expert.act(env);
        // While it is carried; a push on a block that the cup lets go of, or has let go, sends it off the table.
        const [, , height, , , , , , held] = env.observe()['observation.environment_state']!;
        const carried = held === 1 && height! > 0.1;
        if (carried && random.next() < 0.1) {
          const angle = random.uniform(0, 2 * Math.PI);
          env.push('block', [8 * Math.cos(angle), 8 * Math.sin(angle), random.uniform(-2, 4)]);
        }
        const knock = carried && random.next() < 0.05 ? 0.06 : 0;
        env.advance(
          target.map((t) => t + random.uniform(-knock, knock)),
          DT,
        );
      }
      won += env.success() ? 1 : 0;
    }
    expect(won).toBeGreaterThanOrEqual(49);
  });

  test('takes the block to a goal that moves while it is under way', () => {
    let won = 0;
    for (let seed = 400; seed < 420; seed++) {
      env.reset(seed);
      const [x, y] = env.goal();
      drive(env, armTask.expert(seed), (step) => {
        if (step === 15) env.setGoal([x! < 0.42 ? x! + 0.06 : x! - 0.06, y! * 0.8]);
      });
      won += env.success() ? 1 : 0;
    }
    expect(won).toBeGreaterThanOrEqual(19);
  });
});

test('a push moves the held block for one period and is then over', () => {
  env.reset(51);
  other.reset(51);
  const hold = env.jointPosition();
  env.push('block', [0, 12, 0]);
  env.advance(hold, DT);
  other.advance(hold, DT);
  const moved = Math.abs(env.jointPosition()[0]! - other.jointPosition()[0]!);
  expect(moved).toBeGreaterThan(1e-3);
  for (let i = 0; i < 60; i++) {
    env.advance(hold, DT);
    other.advance(hold, DT);
  }
  expect(Math.abs(env.jointPosition()[0]! - other.jointPosition()[0]!)).toBeLessThan(moved / 20);
});

test('a placed block lies still', () => {
  // With contacts too hard for the step, seeds 109 and 204 spun the block up on the table and shot it away.
  const poses = new Float32Array(7 * env.shapes.length);
  const at = 7 * env.shapes.findIndex((s) => s.name === 'block');
  for (const seed of [109, 204, 258]) {
    env.reset(seed);
    drive(env, armTask.expert(seed, 'outer'));
    const hold = env.jointPosition();
    env.poses(poses);
    const placed = poses.slice(at, at + 3);
    for (let i = 0; i < 60; i++) env.advance(hold, DT);
    env.poses(poses);
    expect(Math.hypot(...placed.map((x, i) => x - poses[at + i]!))).toBeLessThan(1e-3);
    expect(env.success()).toBe(true);
  }
});

test('touching the post fails the episode, and it stays failed', () => {
  env.reset(61);
  const straight = { act: () => Float64Array.from(env.jointPosition()) };
  const post = env.shapes.findIndex((s) => s.name === 'post');
  const poses = new Float32Array(7 * env.shapes.length);
  env.poses(poses);
  const target = new Float64Array(6);
  inverse([poses[7 * post]!, poses[7 * post + 1]!, 0.12], target);
  for (let i = 0; i < 60 && !env.failed(); i++) env.advance(target, DT);
  expect(env.failed()).toBe(true);
  expect(env.success()).toBe(false);
  env.advance(straight.act(), DT);
  expect(env.failed()).toBe(true);
});

test('inverse and forward kinematics agree wherever the arm reaches, within the joint limits', () => {
  const random = new Random(3);
  const q = new Float64Array(6);
  for (let i = 0; i < 500; i++) {
    const [reach, yaw] = [random.uniform(0.28, 0.66), random.uniform(-1.2, 1.2)];
    const p = [reach * Math.cos(yaw), reach * Math.sin(yaw), random.uniform(0.03, 0.2)] as const;
    inverse(p, q);
    const tip = forward(q);
    expect(Math.hypot(tip[0] - p[0], tip[1] - p[1], tip[2] - p[2])).toBeLessThan(1e-6);
    q.forEach((v, j) => {
      expect(v).toBeGreaterThanOrEqual(spec.limits.lower[j]!);
      expect(v).toBeLessThanOrEqual(spec.limits.upper[j]!);
    });
  }
});

test('a saved state of another length is refused', () => {
  expect(() => env.restore(new Uint8Array(100))).toThrow(/state/);
});
