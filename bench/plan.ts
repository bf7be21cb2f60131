// The row `tdmpc2-5m.plan`: one plan of TD-MPC2's default 5 M model (512 samples × horizon 3 × 6 iterations), ours
// against the same networks driven through onnxruntime-node. The peer too gets our search (draws, elites, means), so
// that the row compares what runs the networks.

import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { addon, GraphBuilder, type Precision, type Value } from '../src/native/index.js';
import { Tdmpc2Config } from '../src/policies/tdmpc2/config.js';
import { tdmpc2Table } from '../src/policies/tdmpc2/index.js';
import { tdmpc2Networks } from '../src/policies/tdmpc2/networks.js';
import { type WorldNetworks, worldGraph } from '../src/policies/world-model/graph.js';
import { writeOnnx } from '../src/weights/onnx-write.js';
import type { Contest } from './contest.js';
import { hasTorch, Torch } from './torch.js';
import { writeRandom } from './weights.js';

const OBSERVATION = 17;
const DISCOUNT = 0.99;
export const CONFIG = Tdmpc2Config.parse({
  obs_shape: { state: [OBSERVATION] },
  action_dim: 6,
  latent_dim: 512,
});

/** Tensors of the 5 M model: enc_dim 256, mlp_dim 512. */
function shapes(): Map<string, readonly number[]> {
  const found = new Map<string, readonly number[]>();
  const { latent_dim: z, action_dim: a, num_bins, num_q } = CONFIG;
  const mlp = (
    name: string,
    dims: readonly number[],
    normed: number,
    stack: readonly number[] = [],
  ): void => {
    for (let i = 0; i + 1 < dims.length; i++) {
      const n = dims[i + 1]!;
      found.set(`${name}.${i}.weight`, [...stack, n, dims[i]!]);
      found.set(`${name}.${i}.bias`, [...stack, n]);
      if (i >= normed) continue;
      found.set(`${name}.${i}.ln.weight`, [...stack, n]);
      found.set(`${name}.${i}.ln.bias`, [...stack, n]);
    }
  };
  mlp('_encoder.state', [OBSERVATION, 256, z], 2);
  mlp('_dynamics', [z + a, 512, 512, z], 3);
  mlp('_reward', [z + a, 512, 512, num_bins], 2);
  mlp('_pi', [z, 512, 512, 2 * a], 2);
  mlp('_Qs.params', [z + a, 512, 512, num_bins], 2, [num_q]);
  return found;
}

export async function planContest(folder: string, threads: number): Promise<Contest> {
  const tensors = writeRandom(join(folder, 'tdmpc2.safetensors'), shapes());
  const networks = tdmpc2Networks(CONFIG, tensors, 0);
  const table = tdmpc2Table(CONFIG);
  const pool = new (addon().Pool)({ threads });
  const latent = latentOf();
  const ours = await Promise.all(
    (['f32', 'bf16', 'int8'] as Precision[]).map(async (precision) => {
      const graph = worldGraph(networks, { horizon: CONFIG.horizon, discount: DISCOUNT });
      const model = await addon().compileModel(graph.native, { precision, pool });
      const planner = await model.openPlanner(table);
      return {
        precision,
        flops: planFlops(),
        bytes: 0,
        reads: 0,
        run: () => planner.plan({ inputs: { latent } }),
      };
    }),
  );
  const peer = await Peer.open(networks, threads, latent);
  return {
    name: 'tdmpc2-5m.plan',
    ours,
    peer: () => peer.plan(),
    ...(hasTorch() ? { torch: () => torchPlan(networks, threads, latent) } : {}),
    close: () => peer.close(),
  };
}

/** The weights of the row and their planner, for whoever measures it otherwise. */
export function planWork(folder: string): { readonly graph: GraphBuilder; readonly latent: Float32Array } {
  const networks = tdmpc2Networks(CONFIG, writeRandom(join(folder, 'tdmpc2.safetensors'), shapes()), 0);
  return { graph: worldGraph(networks, { horizon: CONFIG.horizon, discount: DISCOUNT }), latent: latentOf() };
}

const latentOf = (): Float32Array =>
  Float32Array.from({ length: CONFIG.latent_dim }, (_, i) => (i % 8 === 0 ? 0.5 : 0.5 / 7));

/** The rollouts of every iteration op by op, eagerly: without the prior's 24 trajectories and the search. */
function torchPlan(networks: WorldNetworks, threads: number, latent: Float32Array): Promise<Torch> {
  const { num_samples: n, horizon, action_dim, latent_dim, iterations } = CONFIG;
  const g = new GraphBuilder();
  let z = g.input('z', [1, latent_dim], 'step');
  const actions = g.input('actions', [1, horizon * action_dim], 'step');
  let total: Value | undefined;
  for (let t = 0; t < horizon; t++) {
    const a = g.slice(actions, 1, t * action_dim, action_dim);
    const after = networks.next(g, z, a);
    const gain = g.affine(networks.reward(g, z, a, after), DISCOUNT ** t, 0);
    total = total === undefined ? gain : g.add(total, gain);
    z = after;
  }
  const a = networks.prior!(g, z, g.input('noise', [1, action_dim], 'step'));
  const values = g.add(networks.value!(g, 0, z, a), networks.value!(g, 1, z, a));
  g.output('score', g.add(total!, g.affine(values, DISCOUNT ** horizon / 2, 0)));
  const rows = new Float32Array(n * latent_dim);
  for (let i = 0; i < n; i++) rows.set(latent, i * latent_dim);
  const each = (width: number, stream: number): Float32Array[] =>
    Array.from({ length: iterations }, (_, i) => draw(stream + i, n * width).map(Math.tanh));
  return Torch.open({
    graph: g,
    threads,
    calls: iterations,
    feeds: { z: [rows], actions: each(horizon * action_dim, 20), noise: each(action_dim, 40) },
    shapes: {
      z: [n, latent_dim],
      actions: [n, horizon * action_dim],
      noise: [n, action_dim],
    },
  });
}

/** Multiply-adds of the networks, twice: what both sides must at least do. */
export function planFlops(num_samples = CONFIG.num_samples): number {
  const { latent_dim: z, action_dim: a, num_bins, num_pi_trajs: p, horizon, iterations } = CONFIG;
  const net = (last: number, input = z + a): number => 2 * (input * 512 + 512 * 512 + 512 * last);
  const pi = net(2 * a, z);
  const rollout = horizon * (net(z) + net(num_bins)) + pi + 2 * net(num_bins);
  return iterations * num_samples * rollout + p * (horizon * pi + (horizon - 1) * net(z));
}

/** TD-MPC2's plan over ONNX Runtime sessions of the networks, batched over the samples. */
class Peer {
  private constructor(
    private readonly step: InferenceSession,
    private readonly prior: InferenceSession,
    private readonly critics: readonly InferenceSession[],
    private readonly latent: Float32Array,
  ) {}

  static async open(networks: WorldNetworks, threads: number, latent: Float32Array): Promise<Peer> {
    const { latent_dim, action_dim } = networks;
    const session = (describe: (g: GraphBuilder, z: Value, a: Value) => void): Promise<InferenceSession> => {
      const g = new GraphBuilder();
      describe(g, g.input('z', [1, latent_dim], 'step'), g.input('a', [1, action_dim], 'step'));
      return InferenceSession.create(writeOnnx(g, CONFIG.num_samples), {
        intraOpNumThreads: threads,
        interOpNumThreads: 1,
        extra: { session: { force_spinning_stop: '1' } },
        graphOptimizationLevel: 'all',
      });
    };
    const step = await session((g, z, a) => {
      const after = networks.next(g, z, a);
      g.output('next', after);
      g.output('reward', networks.reward(g, z, a, after));
    });
    const prior = await session((g, z, a) => g.output('action', networks.prior!(g, z, a)));
    const critics: InferenceSession[] = [];
    for (let i = 0; i < networks.critics; i++)
      critics.push(await session((g, z, a) => g.output('value', networks.value!(g, i, z, a))));
    const rows = new Float32Array(CONFIG.num_samples * latent_dim);
    for (let i = 0; i < CONFIG.num_samples; i++) rows.set(latent, i * latent_dim);
    return new Peer(step, prior, critics, rows);
  }

  async plan(): Promise<void> {
    const { num_samples: n, horizon, action_dim, latent_dim, num_pi_trajs, num_q } = CONFIG;
    const z_of = (data: Float32Array): Tensor => new Tensor('float32', data, [n, latent_dim]);
    const a_of = (data: Float32Array): Tensor => new Tensor('float32', data, [n, action_dim]);
    const { prior: _, critics: __, drawn: ___, ...table } = tdmpc2Table(CONFIG);
    const search = new (addon().Search)({ ...table, samples: n, critics: 0, drawn: 0 });
    search.begin();
    // The prior's trajectories, once, in the batch there is.
    let z = z_of(this.latent);
    for (let t = 0; t < horizon && num_pi_trajs > 0; t++) {
      const a = (await this.prior.run({ z, a: a_of(draw(t, n * action_dim)) })).action!;
      if (t + 1 < horizon) z = (await this.step.run({ z, a })).next! as Tensor;
    }
    for (let round = 0; ; round++) {
      const rows = search.propose();
      if (rows === undefined) break;
      const scores = new Float32Array(n);
      z = z_of(this.latent);
      for (let t = 0; t < horizon; t++) {
        const a = new Float32Array(n * action_dim);
        for (let i = 0; i < n; i++)
          for (let j = 0; j < action_dim; j++)
            a[i * action_dim + j] = rows[(i * horizon + t) * action_dim + j]!;
        const out = await this.step.run({ z, a: a_of(a) });
        const reward = out.reward!.data as Float32Array;
        for (let i = 0; i < n; i++) scores[i]! += DISCOUNT ** t * reward[i]!;
        z = out.next! as Tensor;
      }
      const a = (await this.prior.run({ z, a: a_of(draw(round + 3, n * action_dim)) })).action! as Tensor;
      for (const member of [round % num_q, (round + 1) % num_q]) {
        const value = (await this.critics[member]!.run({ z, a })).value!.data as Float32Array;
        for (let i = 0; i < n; i++) scores[i]! += (DISCOUNT ** horizon * value[i]!) / 2;
      }
      search.update(scores);
    }
    search.finish();
  }

  async close(): Promise<void> {
    for (const session of [this.step, this.prior, ...this.critics]) await session.release();
  }
}

const draw = (stream: number, count: number): Float32Array => addon().philoxNormal(1, stream, 0, count);
