// The `rssm` family against an independent PyTorch script (make/rssm.py): posteriors of three observed steps, the heads,
// returns of imagined rollouts with every draw taped; then as a policy, whose latent follows from the one before.

import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { addon, GraphBuilder, type NetworkInputs } from '../../src/native/index.js';
import { loadPolicy } from '../../src/policies/index.js';
import { RssmConfig } from '../../src/policies/rssm/config.js';
import { rssmTable } from '../../src/policies/rssm/index.js';
import { latentDim, rssmNetworks } from '../../src/policies/rssm/networks.js';
import { Tensors } from '../../src/policies/tensors.js';
import { worldGraph } from '../../src/policies/world-model/graph.js';
import type { Observation } from '../../src/types/index.js';
import { openSafetensors, readTensor, writeSafetensors } from '../../src/weights/index.js';
import { referenceSearch } from '../unit/tree-reference.js';
import { golden, relativeError, runGraph, withCheckpoint } from './golden.js';

const A = 2;
const SIDE = 16;
const IMAGE = 'observation.image';

/** (3, side, side) of whole numbers to bytes (side, side, 3). */
function bytes(planes: Float32Array): Uint8Array {
  const out = new Uint8Array(planes.length);
  for (let c = 0; c < 3; c++)
    for (let i = 0; i < SIDE * SIDE; i++) out[3 * i + c] = planes[c * SIDE * SIDE + i]!;
  return out;
}

function open(name: string) {
  const io = golden(name);
  const config = RssmConfig.parse(io.config);
  const pictured = io.has('image.0');
  const networks = rssmNetworks(config, Tensors.open(io.dir, 'rssm'), {
    state_dim: io.get('state.0').length,
    cameras: pictured ? [{ key: IMAGE, input: [SIDE, SIDE, 3] }] : [],
    action_dim: A,
  });
  return { io, config, networks, pictured };
}

describe.each(['rssm', 'rssm_gaussian'])('%s', (name) => {
  const { io, config, networks, pictured } = open(name);

  it('posteriors of three steps, each from the one before', async () => {
    const g = new GraphBuilder();
    g.output('latent', networks.encode(g));
    for (let t = 0; t < 3; t++) {
      const inputs: Record<string, NetworkInputs[string]> = {
        observation: io.get(`state.${t}`),
        first: Float32Array.of(t === 0 ? 1 : 0),
        // What came before an episode is not looked at.
        previous: t === 0 ? new Float32Array(latentDim(config)).fill(9) : io.get(`latent.${t - 1}`),
        previous_action: t === 0 ? Float32Array.of(5, 5) : io.get(`action.${t - 1}`),
        posterior_noise: io.get(`noise.${t}`),
      };
      if (pictured) inputs[IMAGE] = Float32Array.from(bytes(io.get(`image.${t}`)), (v) => v / 255);
      const { latent } = await runGraph(g, 1, inputs);
      // Categories are the same or not at all; h goes through products of up to 150 terms in f32.
      expect(relativeError(latent!, io.get(`latent.${t}`)), `step ${t}`).toBeLessThan(1e-5);
    }
  });

  it('reward, value, continuation and actor', async () => {
    const g = new GraphBuilder();
    const z = g.input('z', [1, latentDim(config)], 'observation');
    const noise = g.input('noise', [1, A], 'observation');
    g.output('reward', networks.reward(g, z, z, z));
    g.output('value', networks.value!(g, 0, z, z));
    g.output('cont', g.affine(networks.ended!(g, z), -1, 1));
    g.output('actor', networks.prior!(g, z, undefined));
    g.output('explored', networks.prior!(g, z, noise));
    const out = await runGraph(g, 1, { z: io.get('latent.2'), noise: io.get('explore') });
    for (const head of ['cont', 'actor', 'explored'])
      expect(relativeError(out[head]!, io.get(head)), head).toBeLessThan(1e-5);
    // Two hundred bins that nearly cancel, then an exponential.
    for (const head of ['reward', 'value'])
      expect(relativeError(out[head]!, io.get(head)), head).toBeLessThan(1e-4);
  });

  it('returns of imagined rollouts', async () => {
    const graph = worldGraph(networks, { horizon: config.horizon, discount: config.discount });
    const model = await addon().compileModel(graph.native, { precision: 'f32' });
    const planner = await model.openPlanner({ ...rssmTable(config, A), initial_std: 1 });
    const [rows, horizon] = [config.num_samples, config.horizon];
    const actions = io.get('actions');
    const samples = new Float32Array(actions.length);
    for (let r = 0; r < rows; r++)
      for (let t = 0; t < horizon; t++)
        samples.set(actions.subarray((r * horizon + t) * A, (r * horizon + t + 1) * A), (t * rows + r) * A);
    const found = await planner.plan({
      inputs: { latent: io.get('latent.2') },
      tape: { samples, model: io.get('model'), tail: io.get('tail') },
    });
    const want = [...io.get('return')].sort((a, b) => b - a);
    expect(relativeError(found.elite_scores, want)).toBeLessThan(1e-4);
  });

  it('a tree visits as the reference does, with draws of its own and episodes that may end', async () => {
    const graph = worldGraph(networks, { horizon: config.horizon, discount: config.discount });
    const model = await addon().compileModel(graph.native, { precision: 'f32' });
    const [K, simulations, L] = [4, 30, latentDim(config)];
    const draws = addon().philoxNormal(3, 0, 0, (simulations + 1) * K * A);
    const drawn = addon().philoxNormal(3, 1, 0, simulations * config.dyn_stoch);
    const outputs = ['next_state', 'node_reward', 'node_value', 'node_alive'];
    const expand = await model.openSession({ batch: 1, outputs });
    const sample = await model.openSession({ batch: K, outputs: ['sample_action'] });
    const actionsAt = async (state: Float32Array, simulation: number) => {
      const noise = draws.slice((simulation + 1) * K * A, (simulation + 2) * K * A);
      const rows = new Float32Array(K * L);
      for (let k = 0; k < K; k++) rows.set(state, k * L);
      const found = await sample.run({ sample_state: rows, sample_noise: noise });
      return { actions: found.outputs.sample_action!.slice(), draws: noise };
    };
    const root = io.get('latent.2');
    const options = {
      actions: K,
      action_dim: A,
      simulations,
      discount: config.discount,
      untried: 'mean',
    } as const;
    const want = await referenceSearch(
      options,
      { state: root, ...(await actionsAt(root, -1)) },
      async ([leaf]) => {
        const n = config.dyn_stoch;
        const found = await expand.run({
          node_state: leaf!.state,
          node_action: leaf!.action,
          node_model_noise: drawn.slice(leaf!.simulation * n, (leaf!.simulation + 1) * n),
        });
        const number = (name: string): number => found.outputs[name]![0]!;
        const state = found.outputs.next_state!.slice();
        return [
          {
            state,
            reward: number('node_reward'),
            value: number('node_value'),
            alive: number('node_alive'),
            ...(await actionsAt(state, leaf!.simulation)),
          },
        ];
      },
    );
    const planner = await model.openTree({ ...options, horizon: 1 });
    const found = await planner.plan({ inputs: { latent: root }, tape: { actions: draws, model: drawn } });
    expect([...found.visits]).toEqual(want.visits);
    expect(found.visits.every((v) => v > 0)).toBe(true);
  });

  test.each([
    'policy',
    'cem',
    'mppi',
    'icem',
    'information-theoretic-mppi',
    'random-shooting',
    'tree-search',
  ])('acts by %s, replayed by its seed, remembering the step before', async (sampler) => {
    const weights = `${io.dir}/model.safetensors`;
    const changed = { ...io.config, num_samples: 32, iterations: 2, num_elites: 4, num_pi_trajs: 4 };
    await withCheckpoint(weights, changed, async (dir) => {
      const policy = await loadPolicy(dir, { compute: { threads: 1 }, sampling: { sampler } });
      const at = (t: number): Observation => ({
        stamp_ns: t,
        values: { 'observation.state': io.get(`state.${t}`) },
        ...(pictured
          ? {
              images: {
                [IMAGE]: { width: SIDE, height: SIDE, channels: 3, data: bytes(io.get(`image.${t}`)) },
              },
            }
          : {}),
      });
      const run = async (steps: readonly number[]) => {
        policy.reset(4);
        let last: number[] = [];
        for (const t of steps) last = [...(await policy.infer(at(t))).actions];
        return last;
      };
      const first = await run([0, 1, 2]);
      expect(first).toHaveLength(A);
      expect(first.every((a) => Math.abs(a) <= 1)).toBe(true);
      expect(await run([0, 1, 2])).toEqual(first);
      // Another past, another latent; a planner whose answer is at the bounds may not show it.
      if (sampler === 'policy') expect(await run([1, 0, 2])).not.toEqual(first);
      policy.close();
    });
  });
});

it('reads what dreamerv3-torch saves, and the names that torch.compile makes, and acts alike', async () => {
  const io = golden('rssm_gaussian');
  const folder = mkdtempSync(join(tmpdir(), 'tendon-rssm-'));
  try {
    const tensors = [...openSafetensors(join(io.dir, 'model.safetensors')).tensors].map(
      ([name, ref]) =>
        [
          name.replace(/^(_wm|_task_behavior)\./, '$1._orig_mod.'),
          { shape: ref.shape, values: readTensor(ref) },
        ] as const,
    );
    writeSafetensors(join(folder, 'model.safetensors'), Object.fromEntries(tensors));
    copyFileSync(join(io.dir, 'config.json'), join(folder, 'config.json'));
    const saved = join(folder, 'saved');
    mkdirSync(saved);
    copyFileSync(join(io.dir, 'latest.pt'), join(saved, 'latest.pt'));
    copyFileSync(join(io.dir, 'config.json'), join(saved, 'config.json'));
    const acted = [];
    for (const dir of [io.dir, folder, saved]) {
      const policy = await loadPolicy(dir, { compute: { threads: 1 } });
      policy.reset(1);
      const values = { 'observation.state': io.get('state.0') };
      acted.push([...(await policy.infer({ stamp_ns: 0, values })).actions]);
      policy.close();
    }
    expect(acted[1]).toEqual(acted[0]);
    expect(acted[2]).toEqual(acted[0]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test.each([
  [{ dyn_deter: 8 }, '_wm.dynamics.W'],
  [{ dyn_discrete: 4 }, '_imgs_stat_layer'],
  [{ actor: { dist: 'onehot' } }, 'actor'],
  [{ planner: 'best' }, 'planner'],
  [{ normalization_mapping: { STATE: 'MEAN_STD' } }, 'statistics'],
])('a checkpoint that makes no sense is refused by what is wrong: %#', async (change, text) => {
  const io = golden('rssm');
  await withCheckpoint(`${io.dir}/model.safetensors`, { ...io.config, ...change }, async (dir) => {
    await expect(loadPolicy(dir)).rejects.toThrow(text);
  });
});
