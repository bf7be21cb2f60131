// TD-MPC2 against its own code (test/golden/tdmpc2_tiny*): every network, then three successive plans with every draw
// taped: cold, warm, exploring. Two of the cases are multi-task ones, seen by a task with fewer action dims than there are.

import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { addon, GraphBuilder, type PlanTape } from '../../src/native/index.js';
import { Checkpoint } from '../../src/policies/checkpoint.js';
import { loadPolicy } from '../../src/policies/index.js';
import { discountOf, Tdmpc2Config } from '../../src/policies/tdmpc2/config.js';
import { openTdmpc2, stackFrames, tdmpc2Table } from '../../src/policies/tdmpc2/index.js';
import { taskMask, tdmpc2Networks } from '../../src/policies/tdmpc2/networks.js';
import { Tensors } from '../../src/policies/tensors.js';
import { worldGraph } from '../../src/policies/world-model/graph.js';
import { BARS, golden, relativeError, runGraph } from './golden.js';

const MULTI = ['tdmpc2_tiny_multi', 'tdmpc2_tiny_2023'];
const open = (name: string) => {
  const io = golden(name);
  const config = Tdmpc2Config.parse(io.config);
  const task = MULTI.includes(name) ? 1 : 0;
  const tensors = Tensors.open(io.dir, 'tdmpc2', 'model');
  const mask = taskMask(config, tensors, task);
  return { io, config, task, mask, networks: tdmpc2Networks(config, tensors, task) };
};

describe.each(['tdmpc2_tiny', 'tdmpc2_tiny_rgb', ...MULTI])('%s', (name) => {
  const { io, config, networks } = open(name);
  it('dynamics, reward and critics', async () => {
    const g = new GraphBuilder();
    const z = g.input('z', [1, config.latent_dim], 'observation');
    const a = g.input('a', [1, config.action_dim], 'observation');
    const after = networks.next(g, z, a);
    g.output('next', after);
    g.output('reward', networks.reward(g, z, a, after));
    g.output('pi', networks.prior!(g, z, undefined));
    for (let i = 0; i < config.num_q; i++) g.output(`q${i}`, networks.value!(g, i, z, a));
    const out = await runGraph(g, 1, { z: io.get('z'), a: io.get('a') });
    expect(relativeError(out.next!, io.get('z_next'))).toBeLessThan(1e-5);
    expect(relativeError(out.reward!, io.get('reward'))).toBeLessThan(1e-4);
    expect(relativeError(out.pi!, io.get('pi.mean_tanh'))).toBeLessThan(1e-5);
    if (!io.has('Q')) return;
    const values = Array.from({ length: config.num_q }, (_, i) => out[`q${i}`]![0]!);
    expect(relativeError(values, io.get('Q'))).toBeLessThan(1e-4);
  });
});

it.each(['tdmpc2_tiny', ...MULTI])('the encoder of states: %s', async (name) => {
  const { io, networks } = open(name);
  const g = new GraphBuilder();
  g.output('latent', networks.encode(g));
  const { latent } = await runGraph(g, 1, { state: io.get('obs') });
  expect(relativeError(latent!, io.get('z'))).toBeLessThan(1e-5);
});

it.each([
  ...BARS.map(([precision, bar]) => [precision, bar, 'tdmpc2_tiny'] as const),
  ...MULTI.map((name) => ['f32', 1e-4, name] as const),
])('three plans in a row in %s, to %d: %s', async (precision, bar, name) => {
  const { io, config, task, mask, networks } = open(name);
  const table = tdmpc2Table(config);
  const graph = worldGraph(networks, { horizon: config.horizon, discount: discountOf(config, task) });
  const { decode } = openTdmpc2(new Checkpoint(io.dir, io.config, { task }));
  const model = await addon().compileModel(graph.native, { precision });
  const planner = await model.openPlanner(table);
  const latent = io.get('z');
  for (const plan of ['plan0', 'plan1', 'plan2']) {
    const draw = (n: number, kind: string): Float32Array =>
      io.get(`${plan}.rng${String(n).padStart(3, '0')}.${kind}`);
    const join = (parts: Float32Array[]): Float32Array => Float32Array.from(parts.flatMap((p) => [...p]));
    const { horizon: h, action_dim: a, num_pi_trajs: p } = config;
    // The prior's draws come step by step, (horizon, prior, action_dim).
    const prior = new Float32Array(p * h * a);
    for (let t = 0; t < h; t++)
      for (let i = 0; i < p; i++) prior.set(draw(t, 'randn_like').slice(i * a, i * a + a), (i * h + t) * a);
    const rounds = Array.from({ length: config.iterations }, (_, k) => 3 + 3 * k);
    const explore = plan === 'plan2';
    const tape: PlanTape = {
      prior,
      samples: join(rounds.map((n) => draw(n, 'randn'))),
      tail: join(rounds.map((n) => draw(n + 1, 'randn_like'))),
      critics: join(rounds.map((n) => draw(n + 2, 'randperm').slice(0, 2))),
      pick: draw(12, 'exponential'),
      ...(explore ? { explore: draw(13, 'randn') } : {}),
    };
    const found = await planner.plan({ inputs: { latent }, tape, explore });
    expect([plan, found.status]).toEqual([plan, 'ok']);
    // The search draws dims that the task has not, which its networks and its answer leave out.
    const mean = found.mean.map((v, i) => v * (mask?.[i % a] ?? 1));
    expect(relativeError(mean, io.get(`${plan}.mean`))).toBeLessThan(bar);
    decode(found.actions, { stamp_ns: 0, values: {} });
    expect(relativeError(found.actions.slice(0, a), io.get(`${plan}.action`))).toBeLessThan(bar);
  }
});

it('a checkpoint without action masks needs the action_dims of its run', () => {
  const { dir, config } = golden('tdmpc2_tiny_2023');
  const { action_dims, ...others } = config;
  expect(action_dims).toEqual([3, 2, 1]);
  for (const wrong of [others, { ...config, action_dims: [3] }, { ...config, action_dims: [3, 4, 1] }])
    expect(() => openTdmpc2(new Checkpoint(dir, wrong, { task: 1 }))).toThrow(
      /no _action_masks, so action_dims must say/,
    );
});

it('loads the task that is asked for, by place, by name or by task_id', async () => {
  const { dir, config } = golden('tdmpc2_tiny_multi');
  const tasks = config.tasks as string[];
  const folder = mkdtempSync(join(tmpdir(), 'tendon-tdmpc2-'));
  try {
    copyFileSync(join(dir, 'tdmpc2.pt'), join(folder, 'tdmpc2.pt'));
    writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, task_id: tasks[1] }));
    const first = async (from: string, task?: string | number): Promise<number[]> => {
      const policy = await loadPolicy(from, {
        compute: { threads: 1, precision: 'f32' },
        ...(task === undefined ? {} : { task }),
      });
      policy.reset(3);
      const values = {
        'observation.state': new Float32Array(policy.spec.observation_dims['observation.state']!),
      };
      const { actions } = await policy.infer({ stamp_ns: 0, values });
      policy.close();
      return [...actions];
    };
    const second = await first(dir, 1);
    expect(await first(dir, tasks[1])).toEqual(second);
    expect(await first(folder)).toEqual(second);
    expect(await first(dir)).not.toEqual(second);
    for (const wrong of [tasks.length, 'nothing'])
      await expect(loadPolicy(dir, { task: wrong })).rejects.toThrow(/^task: expected 0 to 2 or one of/);
    await expect(loadPolicy('models/arm', { task: 1 })).rejects.toThrow(/a policy for one task/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it('runs from the file that TD-MPC2 saves, as from safetensors', async () => {
  const { io } = open('tdmpc2_tiny');
  const folder = mkdtempSync(join(tmpdir(), 'tendon-tdmpc2-'));
  try {
    const plans = [];
    for (const weights of ['model.safetensors', 'tdmpc2.pt']) {
      const dir = join(folder, weights.replace('.', '-'));
      mkdirSync(dir);
      copyFileSync(join(io.dir, 'config.json'), join(dir, 'config.json'));
      copyFileSync(join(io.dir, weights), join(dir, weights));
      const policy = await loadPolicy(dir, { compute: { threads: 1 } });
      policy.reset(2);
      const values = { 'observation.state': io.get('obs') };
      plans.push([...(await policy.infer({ stamp_ns: 0, values })).actions]);
      policy.close();
    }
    expect(plans[1]).toEqual(plans[0]);
    copyFileSync(join(io.dir, 'tdmpc2.pt'), join(folder, 'tdmpc2-pt', 'other.pt'));
    await expect(loadPolicy(join(folder, 'tdmpc2-pt'))).rejects.toThrow('more than one torch file');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it('the encoder of pixels, stacked, shifted and scaled', async () => {
  const { io, networks } = open('tdmpc2_tiny_rgb');
  const obs = io.get('obs');
  const [width, height] = [64, 64];
  expect(obs.every((v) => Number.isInteger(v) && v >= 0 && v <= 255)).toBe(true);
  // (9, height, width) in the recording: three frames of three channels.
  const history = [0, 1, 2].map((frame) => {
    const data = new Uint8Array(width * height * 3);
    for (let c = 0; c < 3; c++)
      for (let i = 0; i < width * height; i++) data[i * 3 + c] = obs[(frame * 3 + c) * width * height + i]!;
    return {
      stamp_ns: frame,
      values: {},
      images: { 'observation.image': { width, height, channels: 3 as const, data } },
    };
  });
  // The recorded shift, x then y, of 0 … 6 pixels; draws that land in the middle of its seventh.
  const draws = [...io.get('enc.shift')].map((shift) => (shift + 0.5) / 7);
  const rgb = stackFrames(history, [height, width], () => draws.shift()!);
  const g = new GraphBuilder();
  g.output('latent', networks.encode(g));
  const { latent } = await runGraph(g, 1, { rgb });
  // The recording samples its grid bilinearly at whole pixels, a rounding away from copying them.
  expect(relativeError(latent!, io.get('z'))).toBeLessThan(1e-4);
});
