// The `ensemble` family against an independent PyTorch script (make/ensemble.py): each member's prediction, and returns
// of rollouts with every draw taped, by every way of propagating and penalising; then planned with each planner.

import { describe, expect, it, test } from 'vitest';
import { addon, GraphBuilder } from '../../src/native/index.js';
import { EnsembleConfig } from '../../src/policies/ensemble/config.js';
import { ensembleNetworks, memberNetworks } from '../../src/policies/ensemble/networks.js';
import { loadPolicy, type PlanningPolicy } from '../../src/policies/index.js';
import { Tensors } from '../../src/policies/tensors.js';
import { worldGraph } from '../../src/policies/world-model/graph.js';
import { golden, relativeError, runGraph, withCheckpoint } from './golden.js';

const io = golden('ensemble');
const [S, A, H, ROWS] = [4, 2, 3, 5];
const open = (changes: object = {}) => EnsembleConfig.parse({ ...io.config, ...changes });

it('every member: mean and deviation', async () => {
  const members = memberNetworks(open(), Tensors.open(io.dir, 'ensemble'), S, A);
  const g = new GraphBuilder();
  const x = g.input('x', [1, S + A], 'step');
  members.forEach((member, i) => {
    const { mean, std } = member(g, x);
    g.output(`mean.${i}`, mean);
    g.output(`std.${i}`, std);
  });
  const out = await runGraph(g, 7, { x: io.get('x') });
  // Three layers of f32 products summed in another order.
  for (const name of Object.keys(out))
    expect(relativeError(out[name]!, io.get(name)), name).toBeLessThan(1e-5);
});

describe('returns of rollouts', () => {
  const planned = async (
    propagation: string,
    penalty: string,
    penalty_coeff: number,
    noise?: Float32Array,
  ) => {
    const config = open({ propagation, penalty, penalty_coeff });
    const networks = ensembleNetworks(config, Tensors.open(io.dir, 'ensemble'), S, A);
    const graph = worldGraph(networks, { horizon: H, discount: config.discount });
    const model = await addon().compileModel(graph.native, { precision: 'f32' });
    const table = {
      horizon: H,
      action_dim: A,
      samples: ROWS,
      elites: ROWS,
      initial_std: 1,
      pick: 'best',
    } as const;
    const planner = await model.openPlanner(table);
    // A mean of 0 and a spread of 1: the taped draws are the actions.
    const actions = io.get('actions');
    const samples = new Float32Array(actions.length);
    for (let r = 0; r < ROWS; r++)
      for (let t = 0; t < H; t++)
        samples.set(actions.subarray((r * H + t) * A, (r * H + t + 1) * A), (t * ROWS + r) * A);
    return planner.plan({
      inputs: { latent: io.get('start') },
      tape: { samples, ...(noise === undefined ? {} : { model: noise }) },
    });
  };

  test.each([
    ['ts_inf', 'learned_var', '0.0'],
    ['ts1', 'learned_var', '0.0'],
    ['expectation', 'learned_var', '0.0'],
    ['ts_inf', 'learned_var', '0.7'],
    ['ts1', 'disagreement', '0.7'],
    ['expectation', 'disagreement', '0.7'],
  ])('%s, %s × %s', async (propagation, penalty, coefficient) => {
    const name = `${propagation}.${penalty}.${coefficient}`;
    const noise = io.has(`${name}.noise`) ? io.get(`${name}.noise`) : undefined;
    const found = await planned(propagation, penalty, Number(coefficient), noise);
    const want = [...io.get(`${name}.return`)].sort((a, b) => b - a);
    // Three steps through three layers each, in f32.
    expect(relativeError(found.elite_scores, want)).toBeLessThan(1e-4);
  });

  it('a tape of another length is refused', async () => {
    await expect(planned('ts1', 'learned_var', 0, new Float32Array(4))).rejects.toThrow('tape.model');
  });
});

describe('as a policy', () => {
  const weights = `${io.dir}/model.safetensors`;
  const config = { ...io.config, population_size: 64, num_iterations: 3 };
  const observation = { stamp_ns: 5, values: { 'observation.state': io.get('start') } };

  test.each(['cem', 'mppi', 'icem', 'information-theoretic-mppi', 'random-shooting'])(
    '%s plans through it, replayed by its seed',
    async (sampler) => {
      await withCheckpoint(weights, config, async (dir) => {
        const policy = await loadPolicy(dir, { compute: { threads: 1 }, sampling: { sampler } });
        const run = async () => {
          policy.reset(4);
          return [...(await policy.infer(observation)).actions];
        };
        const first = await run();
        expect(first).toHaveLength(H * A);
        expect(first.every((a) => Math.abs(a) <= 1)).toBe(true);
        expect(await run()).toEqual(first);
        policy.close();
      });
    },
  );

  it('its own planner is the cross-entropy method', async () => {
    await withCheckpoint(weights, config, async (dir) => {
      const policy = await loadPolicy(dir, { compute: { threads: 1 } });
      expect(policy.choice).toMatchObject({ sampler: 'cem', steps: 3, candidates: 64 });
    });
  });

  it('takes actions as relative to where the robot will be, when its config says so', async () => {
    const observation = {
      stamp_ns: 0,
      values: { 'observation.state': Float32Array.of(0.5, -0.2, 0.1, 0.7) },
    };
    const relative = { action_relative_to: 'observation.state', action_travel: 0.5 };
    await withCheckpoint(weights, { ...config, ...relative }, async (dir) => {
      const policy = (await loadPolicy(dir, { compute: { threads: 1 } })) as PlanningPolicy;
      policy.reset(4);
      const { actions } = await policy.infer(observation);
      const origin = [...observation.values['observation.state']].slice(0, A);
      policy.lastPlan!.actions.forEach((a, i) => {
        expect(actions[i]).toBeCloseTo(origin[i % A]! + a, 6);
        origin[i % A]! += 0.5 * a;
      });
      policy.close();
    });
  });

  test.each([
    [{ action_relative_to: 'nothing' }, 'one of input_features'],
    [{ num_particles: 7 }, 'num_particles'],
    [{ elites: [3] }, 'elites'],
    [{ hid_size: 8 }, 'hidden_layers.0.0.weight'],
    [{ input_features: { camera: { type: 'VISUAL', shape: [3, 8, 8] } } }, 'cameras'],
    [{ normalization_mapping: { STATE: 'MEAN_STD' } }, 'statistics'],
  ])('a checkpoint that makes no sense is refused by what is wrong: %#', async (change, text) => {
    await withCheckpoint(weights, { ...config, ...change }, async (dir) => {
      await expect(loadPolicy(dir)).rejects.toThrow(text);
    });
  });
});
