// Block-push: the same episode from the same seed, a bit-exact restore, the published tolerance, both orders, the
// expert after pushes and from anywhere, targets that move.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BLOCK_PUSH_SPEC, blockPushTask } from '../../src/sim/block-push.js';
import { assignment, blockPushExpert, type PushView, type Vec } from '../../src/sim/block-push-expert.js';
import { TOLERANCE } from '../../src/sim/block-push-model.js';
import { Random } from '../../src/sim/random.js';
import type { TaskInstance } from '../../src/sim/task.js';
import { findTask } from '../../src/sim/tasks.js';

const DT = 1 / BLOCK_PUSH_SPEC.rate_hz;
let env: TaskInstance & { view(): PushView };
let other: TaskInstance;
beforeAll(async () => {
  env = (await blockPushTask.create()) as typeof env;
  other = await blockPushTask.create();
});
afterAll(() => {
  env.dispose();
  other.dispose();
});

/** The expert from the state as it is to the end; `meddle` sees every step before it. */
function drive(seed: number, mode?: string, meddle: (step: number) => void = () => {}): boolean {
  const expert = blockPushTask.expert(seed, mode);
  for (let i = 0; i < BLOCK_PUSH_SPEC.max_steps && !env.success() && !env.failed(); i++) {
    meddle(i);
    env.advance(expert.act(env), DT);
  }
  return env.success();
}

describe('the episode', () => {
  it('is registered under its name, and its features have the lengths it says', () => {
    expect(findTask('block-push')).toBe(blockPushTask);
    env.reset(1);
    for (const [key, length] of Object.entries(BLOCK_PUSH_SPEC.observation_dims))
      expect(env.observe()[key]).toHaveLength(length);
    expect([...env.observe()['observation.state']!.slice(0, 2)]).toEqual([
      ...Float32Array.from(env.jointPosition()),
    ]);
  });

  it('is the same from the same seed and another from another', () => {
    const trace = (instance: TaskInstance, seed: number): number[] => {
      instance.reset(seed);
      const expert = blockPushTask.expert(seed);
      const out: number[] = [];
      for (let i = 0; i < 50; i++) {
        instance.advance(expert.act(instance), DT);
        out.push(...instance.observe()['observation.environment_state']!);
      }
      return out;
    };
    const first = trace(env, 12);
    trace(env, 13);
    expect(trace(env, 12)).toEqual(first);
    expect(trace(other, 12)).toEqual(first);
    expect(trace(env, 14)).not.toEqual(first);
  });

  it('goes on bit-exactly from a saved state', () => {
    env.reset(21);
    const expert = blockPushTask.expert(21, 'red first');
    for (let i = 0; i < 30; i++) env.advance(expert.act(env), DT);
    const saved = env.save();
    const tail = (): Uint8Array => {
      for (let i = 0; i < 20; i++) env.advance(expert.act(env), DT);
      return env.save();
    };
    const once = tail();
    env.restore(saved);
    expect(tail()).toEqual(once);
    // In another instance too, which had other gains and masses.
    other.reset(22);
    other.restore(saved);
    for (let i = 0; i < 20; i++) other.advance(expert.act(other), DT);
    expect(other.save()).toEqual(once);
  });

  it('succeeds at 5 cm, each block at a target of its own', () => {
    expect(TOLERANCE).toBe(0.05);
    env.reset(4);
    const { blocks } = env.view();
    const goal = (away: number): number[] => blocks.flatMap(([x, y]) => [x, y + away]);
    env.setGoal(goal(0.049));
    expect(env.success()).toBe(true);
    env.setGoal(goal(0.051));
    expect(env.success()).toBe(false);
    // Both targets at one block: the other has none.
    env.setGoal([...blocks[0], ...blocks[0]]);
    expect(env.success()).toBe(false);
  });

  it('assigns blocks to targets by the smaller sum of squares', () => {
    const view = (targets: PushView['targets']): PushView => ({
      pusher: [0, -0.2],
      blocks: [
        [-0.1, 0],
        [0.1, 0],
      ],
      targets,
    });
    expect(assignment(view([[-0.1, 0.2], [0.1, 0.2]]))).toEqual([0, 1]); // biome-ignore format: one row each
    expect(assignment(view([[0.1, 0.2], [-0.1, 0.2]]))).toEqual([1, 0]); // biome-ignore format: one row each
  });
});

describe('the expert', () => {
  it.each(BLOCK_PUSH_SPEC.modes)('%s: succeeds on at least 198 of 200 seeds', (mode) => {
    let won = 0;
    let shown = 0;
    for (let seed = 5000; seed < 5200; seed++) {
      env.reset(seed);
      won += drive(seed, mode) ? 1 : 0;
      shown += env.mode() === mode ? 1 : 0;
    }
    expect(won).toBeGreaterThanOrEqual(198);
    expect(shown).toBeGreaterThanOrEqual(190);
  });

  it('begins with either block when nobody says which', () => {
    const count: Record<string, number> = {};
    for (let seed = 0; seed < 100; seed++) {
      env.reset(seed);
      drive(seed);
      const mode = env.mode() ?? 'none';
      count[mode] = (count[mode] ?? 0) + 1;
    }
    for (const mode of BLOCK_PUSH_SPEC.modes) expect(count[mode]).toBeGreaterThan(25);
  });

  it('gets past a block it stands beside', () => {
    // It once went to and fro here for ever: blue is near on the left, red to be pushed beyond it.
    const blocks: PushView['blocks'] = [
      [0.084, 0.151],
      [-0.112, -0.04],
    ];
    const targets: PushView['targets'] = [
      [-0.122, 0.219],
      [0.101, 0.168],
    ];
    const pusher: Vec = [-0.042, -0.071];
    const target = blockPushExpert({ pusher, blocks, targets }, 0);
    const to = (v: Vec): number => Math.hypot(v[0] - blocks[0][0], v[1] - blocks[0][1]);
    expect(to(target)).toBeLessThan(to(pusher));
  });

  it('recovers from pushes', () => {
    let won = 0;
    for (let seed = 6000; seed < 6200; seed++) {
      const random = new Random(seed);
      env.reset(seed);
      won += drive(seed, undefined, (i) => {
        if (i !== 15 && i !== 40) return;
        const angle = random.uniform(0, 2 * Math.PI);
        const newtons = random.uniform(0.4, 0.7);
        env.push(random.pick(['red', 'blue']), [newtons * Math.cos(angle), newtons * Math.sin(angle), 0]);
      })
        ? 1
        : 0;
    }
    expect(won).toBeGreaterThanOrEqual(198);
  });

  it('goes on from wherever the pusher has wandered', () => {
    let won = 0;
    for (let seed = 7000; seed < 7200; seed++) {
      env.reset(seed);
      const random = new Random(seed);
      for (let leg = 0; leg < 4; leg++) {
        const to = [random.uniform(-0.25, 0.25), random.uniform(-0.25, 0.25)] as const;
        for (let i = 0; i < 5; i++) {
          const at = env.jointPosition();
          const step = Math.min(1, 0.04 / Math.max(1e-6, Math.hypot(to[0] - at[0]!, to[1] - at[1]!)));
          env.advance([at[0]! + step * (to[0] - at[0]!), at[1]! + step * (to[1] - at[1]!)], DT);
        }
      }
      won += drive(seed) ? 1 : 0;
    }
    expect(won).toBeGreaterThanOrEqual(198);
  });

  it('follows targets that move', () => {
    let won = 0;
    for (let seed = 8000; seed < 8100; seed++) {
      env.reset(seed);
      const done = drive(seed, undefined, (i) => {
        const [ax, ay, bx, by] = env.goal();
        if (i === 20) env.setGoal([ax!, ay! - 0.05, bx! + 0.03, by! - 0.06]);
      });
      won += done ? 1 : 0;
    }
    expect(won).toBeGreaterThanOrEqual(98);
  });
});
