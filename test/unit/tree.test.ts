// Tree search against a plain reference with the same draws: exact visit counts, on a model written here and through the
// networks of TD-MPC2; what failed is never followed; the same plan from any number of threads.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { addon, type NativeModel, type TreeTable } from '../../src/native/index.js';
import { loadPolicy, type PlanningPolicy } from '../../src/policies/index.js';
import { Tdmpc2Config } from '../../src/policies/tdmpc2/config.js';
import { tdmpc2Networks } from '../../src/policies/tdmpc2/networks.js';
import { Tensors } from '../../src/policies/tensors.js';
import { worldGraph } from '../../src/policies/world-model/graph.js';
import { golden, withCheckpoint } from '../golden/golden.js';
import { type Judged, type ReferenceOptions, referenceSearch } from './tree-reference.js';

const normal = (stream: number, first: number, count: number): Float32Array =>
  addon().philoxNormal(17, stream, first, count);

/** A point that moves by its action, paid for being near (0.6, −0.4); `spoil` may break a leaf. */
function toy(options: ReferenceOptions, spoil: (simulation: number) => number | undefined = () => undefined) {
  const { actions: K, action_dim: A } = options;
  const draws = (simulation: number): Float32Array => normal(1, (simulation + 1) * K * A, K * A);
  const actionsAt = (state: Float32Array, simulation: number): Float32Array =>
    draws(simulation).map((e, i) => Math.tanh(0.3 * state[i % A]! + 0.8 * (options.spread ?? 1) * e));
  const distance = (s: Float32Array): number => (s[0]! - 0.6) ** 2 + (s[1]! + 0.4) ** 2;
  return {
    root: {
      state: new Float32Array(A),
      actions: actionsAt(new Float32Array(A), -1),
      draws: draws(-1),
    },
    judge(leaf: { state: Float32Array; action: Float32Array; simulation: number }): Judged {
      const state = leaf.state.map((s, j) => s + 0.3 * leaf.action[j]!);
      const f = Math.fround;
      return {
        state,
        reward: f(spoil(leaf.simulation) ?? -distance(state)),
        alive: distance(state) < 0.01 ? 0 : f(0.98),
        value: f(-3 * distance(state)),
        actions: actionsAt(state, leaf.simulation),
        draws: draws(leaf.simulation),
      };
    },
  };
}

/** The native tree over the same leaves. */
function grown(options: ReferenceOptions, model: ReturnType<typeof toy>) {
  const { noise, ...table } = options;
  const tree = new (addon().Tree)({ ...table, horizon: 4 });
  tree.begin({ actions: model.root.actions, draws: model.root.draws, ...(noise ? { noise } : {}) });
  const states: Float32Array[] = [model.root.state];
  for (let done = 0; ; ) {
    const leaves = tree.select();
    if (leaves.length === 0) break;
    const judged = leaves.map(({ node, action }, i) =>
      model.judge({ state: states[node]!, action, simulation: done + i }),
    );
    tree.expand(judged).forEach((node, i) => {
      if (node >= 0) states[node] = judged[i]!.state;
    });
    done += leaves.length;
  }
  return tree.finish();
}

const OPTIONS: ReferenceOptions = { actions: 6, action_dim: 2, simulations: 200, discount: 0.97 };
const shares = Float32Array.from([0.5, 0.1, 0.1, 0.1, 0.1, 0.1]);

describe('the tree', () => {
  test.each<[string, Partial<ReferenceOptions>]>([
    ['as MuZero walks it', {}],
    ['with noise at the root', { noise: shares }],
    ['with actions drawn wider than the prior', { spread: 1.5 }],
    ['with actions drawn narrower', { spread: 0.7 }],
    ['as EfficientZero counts what is untried', { untried: 'mean' }],
    ['so counted, in waves of 3', { untried: 'mean', batch: 3 }],
    ['one action', { actions: 1, simulations: 7 }],
    ['one simulation', { simulations: 1 }],
    ['in waves of 4', { batch: 4 }],
    ['in waves of 7, the last one cut short', { batch: 7, simulations: 150 }],
  ])('%s: visit counts of the reference, exactly', async (_, change) => {
    const options = { ...OPTIONS, ...change };
    const model = toy(options);
    const want = await referenceSearch(options, model.root, (l) => Promise.resolve(l.map(model.judge)));
    const got = grown(options, model);
    expect([...got.visits]).toEqual(want.visits);
    for (const [k, v] of want.values.entries()) expect(got.values[k]!).toBeCloseTo(v, 5);
    expect(got.visits.reduce((a, b) => a + b)).toBe(options.simulations);
    expect(got.status).toBe('ok');
  });

  it('tries every action of the root where the untried count as the mean', () => {
    // Values above 0 and 20 actions for 50 simulations: 0 for the untried leaves some of them so.
    const rich = { ...toy({ ...OPTIONS, actions: 20, simulations: 50 }) };
    const model = {
      ...rich,
      judge: (leaf: Parameters<typeof rich.judge>[0]) => {
        const said = rich.judge(leaf);
        return { ...said, value: said.value + 50 };
      },
    };
    const tried = (untried: 'zero' | 'mean'): number =>
      grown({ ...OPTIONS, actions: 20, simulations: 50, untried }, model).visits.filter((v) => v > 0).length;
    expect(tried('mean')).toBe(20);
    expect(tried('zero')).toBeLessThan(20);
  });

  it('walks towards what pays', () => {
    const options = { ...OPTIONS, actions: 12, simulations: 800 };
    const { actions, visits, chosen, root_actions, depth } = grown(options, toy(options));
    expect(visits[chosen]).toBe(Math.max(...visits));
    expect([...actions.slice(0, 2)]).toEqual([...root_actions.slice(2 * chosen, 2 * chosen + 2)]);
    const at = [0, 0];
    for (let t = 0; t < 4; t++) for (let j = 0; j < 2; j++) at[j]! += 0.3 * actions[2 * t + j]!;
    expect(Math.hypot(at[0]! - 0.6, at[1]! + 0.4)).toBeLessThan(0.35);
    expect(depth).toBeGreaterThan(3);
  });

  test.each([1, 5])(
    'leaves that are not finite are counted and never followed, in waves of %i',
    async (batch) => {
      const options = { ...OPTIONS, batch };
      const ways = [Number.NaN, Number.POSITIVE_INFINITY, -1e31];
      const model = toy(options, (s) => (s % 3 === 1 ? (ways[s % ways.length] ?? Number.NaN) : undefined));
      const want = await referenceSearch(options, model.root, (l) => Promise.resolve(l.map(model.judge)));
      const got = grown(options, model);
      expect([...got.visits]).toEqual(want.visits);
      expect(got.worst_count).toBe(want.worst);
      expect(got.worst_count).toBeGreaterThan(50);
      expect(want.failed[got.chosen]).toBe(false);
      expect(got.actions.every(Number.isFinite)).toBe(true);
    },
  );

  it('has no answer when everything fails', () => {
    const got = grown(
      OPTIONS,
      toy(OPTIONS, () => Number.NaN),
    );
    // Each of the root's six actions once.
    expect([got.status, got.worst_count]).toEqual(['not_finite', 6]);
  });

  it('draws its action by visits when it has a temperature', () => {
    const tree = new (addon().Tree)({ action_dim: 2, actions: 6, simulations: 60, temperature: 1 });
    const model = toy({ ...OPTIONS, simulations: 60 });
    tree.begin(model.root);
    for (let s = 0; ; s++) {
      const [leaf] = tree.select();
      if (leaf === undefined) break;
      tree.expand([model.judge({ state: new Float32Array(2), action: leaf.action, simulation: s })]);
    }
    const { visits } = tree.finish();
    const least = visits.indexOf(Math.min(...visits.filter((v) => v > 0)));
    const pick = new Float32Array(6).fill(1);
    pick[least] = 1e-6;
    expect(tree.finish({ pick }).chosen).toBe(least);
    expect(tree.finish({ pick: new Float32Array(6).fill(1) }).chosen).toBe(
      visits.indexOf(Math.max(...visits)),
    );
  });

  test.each<[object, string]>([
    [{ simulations: 0 }, 'simulations'],
    [{ batch: 51 }, 'batch'],
    [{ discount: 1.5 }, 'discount'],
    [{ c2: 0 }, 'c2'],
    [{ spread: Number.NaN }, 'spread'],
    [{ actions: 0 }, 'actions'],
    [{ untried: 'worst' as 'mean' }, 'untried'],
  ])('a table that makes no sense is refused by field: %#', (change, field) => {
    expect(() => new (addon().Tree)({ action_dim: 2, ...change })).toThrow(field);
  });

  it('calls out of turn are refused', () => {
    const tree = new (addon().Tree)({ action_dim: 1, actions: 2 });
    expect(() => tree.select()).toThrow('begin');
    const two = new Float32Array(2);
    expect(() => tree.begin({ actions: two, draws: new Float32Array(3) })).toThrow('draws');
    tree.begin({ actions: two, draws: two });
    expect(tree.select()).toHaveLength(1);
    expect(() => tree.select()).toThrow('expand');
    expect(() => tree.expand([])).toThrow('1 selected');
    expect(() => tree.begin({ actions: two, draws: two, noise: Float32Array.of(2, -1) })).toThrow('noise');
  });
});

describe('through the networks of TD-MPC2', () => {
  const io = golden('tdmpc2_tiny');
  const config = Tdmpc2Config.parse(io.config);
  const K = 5;
  const simulations = 40;
  const table: TreeTable = {
    horizon: 3,
    action_dim: config.action_dim,
    actions: K,
    simulations,
    discount: 0.95,
  };
  const model = (threads: number): Promise<NativeModel> =>
    addon().compileModel(
      worldGraph(tdmpc2Networks(config, Tensors.open(io.dir, 'tdmpc2'), 0), {
        horizon: config.horizon,
        discount: 0.95,
      }).native,
      { precision: 'f32', pool: new (addon().Pool)({ threads }) },
    );
  const A = config.action_dim;
  const draws = normal(2, 0, (simulations + 1) * K * A);

  it('visits as the reference does over the same networks', async () => {
    const compiled = await model(1);
    const expand = await compiled.openSession({
      batch: 1,
      outputs: ['next_state', 'node_reward', 'node_value'],
    });
    const sample = await compiled.openSession({ batch: K, outputs: ['sample_action'] });
    const L = config.latent_dim;
    const actionsAt = async (state: Float32Array, simulation: number) => {
      const noise = draws.slice((simulation + 1) * K * A, (simulation + 2) * K * A);
      const rows = new Float32Array(K * L);
      for (let k = 0; k < K; k++) rows.set(state, k * L);
      const { outputs } = await sample.run({ sample_state: rows, sample_noise: noise });
      return { actions: outputs.sample_action!.slice(), draws: noise };
    };
    const root = io.get('z');
    const want = await referenceSearch(
      { actions: K, action_dim: A, simulations, discount: 0.95 },
      { state: root, ...(await actionsAt(root, -1)) },
      async ([leaf]) => {
        const { outputs } = await expand.run({ node_state: leaf!.state, node_action: leaf!.action });
        const state = outputs.next_state!.slice();
        const [reward, value] = [outputs.node_reward![0]!, outputs.node_value![0]!];
        return [{ state, reward, value, alive: 1, ...(await actionsAt(state, leaf!.simulation)) }];
      },
    );
    const planner = await compiled.openTree(table);
    const found = await planner.plan({ inputs: { latent: root }, tape: { actions: draws } });
    expect([...found.visits]).toEqual(want.visits);
    expect(found.actions).toHaveLength(3 * A);
  });

  it('gives the same plan for one thread and for three, taped or by its seed', async () => {
    const plans = [];
    for (const threads of [1, 3]) {
      const planner = await (await model(threads)).openTree({ ...table, batch: 4 });
      await planner.reset(6);
      const seeded = await planner.plan({ inputs: { latent: io.get('z') } });
      const taped = await planner.plan({ inputs: { latent: io.get('z') }, tape: { actions: draws } });
      plans.push([seeded, taped].map((f) => [[...f.actions], [...f.visits]]));
    }
    expect(plans[0]).toEqual(plans[1]);
    expect(plans[0]![0]).not.toEqual(plans[0]![1]);
  });

  it('is cancelled between leaves; an observation that is not finite has no plan', async () => {
    const planner = await (await model(1)).openTree(table);
    const cancel = new (addon().CancelToken)();
    cancel.cancel();
    expect((await planner.plan({ inputs: { latent: io.get('z') }, cancel })).status).toBe('cancelled');
    const latent = io.get('z').fill(Number.NaN);
    expect((await planner.plan({ inputs: { latent } })).status).toBe('not_finite');
    expect((await planner.plan({ inputs: { latent: io.get('z') } })).status).toBe('ok');
  });

  it('is a planner of a policy like the others', async () => {
    const json = JSON.parse(readFileSync(join(io.dir, 'config.json'), 'utf8')) as object;
    await withCheckpoint(join(io.dir, 'model.safetensors'), json, async (dir) => {
      const policy = await loadPolicy(dir, { compute: { threads: 1 } });
      await policy.choose({ sampler: 'tree-search' });
      expect(policy.choice).toMatchObject({ sampler: 'tree-search', steps: 50, candidates: 20 });
      policy.reset(3);
      const observation = { stamp_ns: 7, values: { 'observation.state': io.get('obs') } };
      const { actions } = await policy.infer(observation);
      expect(actions.every((a) => Math.abs(a) <= 1)).toBe(true);
      expect((policy as PlanningPolicy).lastTree!.visits.reduce((a, b) => a + b)).toBe(50);
      await policy.choose({ sampler: 'mppi' });
      expect(policy.choice).toMatchObject({ steps: config.iterations });
      policy.close();
    });
  });
});
