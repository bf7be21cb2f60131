// The `scalezero` family against an independent PyTorch script (make/scalezero.py) that keeps no keys or values: features
// after each of four observed steps, heads, returns of imagined rollouts; a tree's nodes, which start from their window
// again, against the rollouts; then as a policy.

import { describe, expect, it, test } from 'vitest';
import { addon, GraphBuilder } from '../../src/native/index.js';
import { loadPolicy } from '../../src/policies/index.js';
import { ScalezeroConfig } from '../../src/policies/scalezero/config.js';
import { scalezeroTable } from '../../src/policies/scalezero/index.js';
import { latentDim, scalezeroNetworks } from '../../src/policies/scalezero/networks.js';
import { Tensors } from '../../src/policies/tensors.js';
import { worldGraph } from '../../src/policies/world-model/graph.js';
import { golden, relativeError, runGraph, withCheckpoint } from './golden.js';

const [S, A, STEPS] = [4, 2, 4];

describe.each(['scalezero', 'scalezero_gelu'])('%s', (name) => {
  const io = golden(name);
  const config = ScalezeroConfig.parse(io.config);
  const networks = scalezeroNetworks(config, Tensors.open(io.dir, 'scalezero'), S, A);

  /** The windows after each observed step, by the encoder. */
  const windows = async (): Promise<Float32Array[]> => {
    const g = new GraphBuilder();
    g.output('latent', networks.encode(g));
    const found: Float32Array[] = [];
    for (let t = 0; t < STEPS; t++) {
      const { latent } = await runGraph(g, 1, {
        observation: io.get(`state.${t}`),
        first: Float32Array.of(t === 0 ? 1 : 0),
        // What came before an episode is not looked at.
        previous: found.at(-1) ?? new Float32Array(latentDim(config, A)).fill(7),
        previous_action: t === 0 ? Float32Array.of(4, 4) : io.get(`action.${t - 1}`),
      });
      found.push(latent!);
    }
    return found;
  };

  it('features while the context fills, and once it is full', async () => {
    const g = new GraphBuilder();
    const window = g.input('window', [1, latentDim(config, A)], 'observation');
    g.output('feature', networks.tail!(g, networks.begin(g, window)));
    for (const [t, found] of (await windows()).entries()) {
      const { feature } = await runGraph(g, 1, { window: found });
      // Two blocks of f32 products, summed in another order.
      expect(relativeError(feature!, io.get(`feature.${t}`)), `step ${t}`).toBeLessThan(2e-5);
    }
  });

  it('value and policy', async () => {
    const g = new GraphBuilder();
    const window = g.input('window', [1, latentDim(config, A)], 'observation');
    const noise = g.input('noise', [1, A], 'observation');
    const z = networks.begin(g, window);
    g.output('value', networks.value!(g, 0, networks.tail!(g, z), noise));
    g.output('actor', networks.prior!(g, z, undefined));
    g.output('explored', networks.prior!(g, z, noise));
    const out = await runGraph(g, 1, { window: (await windows()).at(-1)!, noise: io.get('explore') });
    for (const head of ['actor', 'explored'])
      expect(relativeError(out[head]!, io.get(head)), head).toBeLessThan(2e-5);
    // A hundred bins that nearly cancel, then a square.
    expect(relativeError(out.value!, io.get('value'))).toBeLessThan(2e-4);
  });

  it('returns of imagined rollouts, over keys and values that are kept', async () => {
    const graph = worldGraph(networks, { horizon: config.horizon!, discount: config.discount_factor });
    const model = await addon().compileModel(graph.native, { precision: 'f32' });
    const rows = 6;
    const horizon = config.horizon!;
    const planner = await model.openPlanner({
      ...scalezeroTable(config, A),
      prior: 0,
      samples: rows,
      elites: rows,
      iterations: 1,
      initial_std: 1,
    });
    const actions = io.get('actions');
    const samples = new Float32Array(actions.length);
    for (let r = 0; r < rows; r++)
      for (let t = 0; t < horizon; t++)
        samples.set(actions.subarray((r * horizon + t) * A, (r * horizon + t + 1) * A), (t * rows + r) * A);
    const latent = (await windows()).at(-1)!;
    const found = await planner.plan({ inputs: { latent }, tape: { samples } });
    const want = [...io.get('return')].sort((a, b) => b - a);
    expect(relativeError(found.elite_scores, want)).toBeLessThan(5e-4);
    // What the context's tokens need is computed with the observation, once per plan; a step asks one token at a time.
    const attention = planner
      .print()
      .split('\n')
      .filter((line) => line.includes('attention'))
      .map((line) => `${line.split(' ')[0]} ${/\(\d+, (\d+),/.exec(line)![1]}`);
    const context = 2 * config.infer_context_length - 1;
    expect(new Set(attention)).toEqual(new Set([`observation ${context}`, 'step 1']));
  });

  it('the first step of a tree as the first step of a rollout', async () => {
    const graph = worldGraph(networks, { horizon: config.horizon!, discount: config.discount_factor });
    const model = await addon().compileModel(graph.native, { precision: 'f32' });
    const session = await model.openSession({ batch: 6, outputs: ['node_reward', 'next_state'] });
    const window = (await windows()).at(-1)!;
    const width = window.length + config.embed_dim;
    const states = new Float32Array(6 * width);
    const firsts = new Float32Array(6 * A);
    for (let r = 0; r < 6; r++) {
      states.set(window, r * width);
      firsts.set(io.get('actions').subarray(r * 3 * A, r * 3 * A + A), r * A);
    }
    const { outputs } = await session.run({ node_state: states, node_action: firsts });
    expect(relativeError(outputs.node_reward!, io.get('first_reward'))).toBeLessThan(5e-4);
    // Full stays full; a context of one is always.
    expect(outputs.next_state![window.length - 1]).toBe(config.infer_context_length);
  });

  const search = { steps: 2, candidates: 70 };
  test.each([
    ['tree-search', { steps: 8, candidates: 5 }],
    ['policy', {}],
    ['mppi', search],
    ['cem', search],
    ['icem', search],
    ['information-theoretic-mppi', search],
    ['random-shooting', { candidates: 70 }],
  ])('acts by %s, replayed by its seed', async (sampler, effort) => {
    await withCheckpoint(`${io.dir}/model.safetensors`, io.config, async (dir) => {
      const policy = await loadPolicy(dir, { compute: { threads: 1 }, sampling: { sampler, ...effort } });
      const run = async () => {
        policy.reset(4);
        let last: number[] = [];
        for (let t = 0; t < STEPS; t++)
          last = [
            ...(await policy.infer({ stamp_ns: t, values: { 'observation.state': io.get(`state.${t}`) } }))
              .actions,
          ];
        return last;
      };
      const first = await run();
      expect(first).toHaveLength(A);
      expect(first.every((a) => Math.abs(a) <= 1)).toBe(true);
      expect(await run()).toEqual(first);
      policy.close();
    });
  });
});

it('its own planner is the tree', async () => {
  const io = golden('scalezero');
  const policy = await loadPolicy(io.dir, { compute: { threads: 1 } });
  expect(policy.choice).toMatchObject({ sampler: 'tree-search', steps: 50, candidates: 20 });
});

test.each([
  [{ horizon: 4 }, 'max_tokens'],
  [{ num_experts_per_tok: 5 }, 'num_experts_per_tok'],
  [{ num_experts_of_moe_in_transformer: 3 }, 'gate'],
  [{ rotary_emb: true }, 'rotary_emb'],
  [{ task_embed_option: 'concat_task_embed' }, 'task_embed_option'],
  [{ task_id: 0 }, 'fc_representation.0'],
])('a checkpoint that makes no sense is refused by what is wrong: %#', async (change, text) => {
  const io = golden('scalezero');
  await withCheckpoint(`${io.dir}/model.safetensors`, { ...io.config, ...change }, async (dir) => {
    await expect(loadPolicy(dir)).rejects.toThrow(text);
  });
});
