// Guidance through the derivative: the graph against central differences, and a trained policy drawn towards a prefix.

import { describe, expect, test } from 'vitest';
import { addon, GraphBuilder } from '../../src/native/index.js';
import { guidedGraph, guideSchedule } from '../../src/policies/guided.js';
import { loadPolicy } from '../../src/policies/index.js';
import { flowTable } from '../../src/samplers/index.js';
import { vector } from '../golden/hashed.js';

const [H, A] = [4, 3];
const N = H * A;

test('a guided flow is v + gain·(a_x/a_f·e + Jᵀe), e = W(P − D)', async () => {
  const w = vector('w', N * N);
  const table = flowTable('noise_at_one', 5);
  const call = 3;
  const numbers = guideSchedule(table);
  const g = new GraphBuilder();
  const x = g.input('x', [1, H, A], 'step');
  const flat = g.reshape(x, [1, 1, N]);
  g.output(
    'v',
    g.reshape(g.unary('tanh', g.linear(flat, g.constant(w, [N, N]), g.constant(vector('b', N), [N]))), [
      1,
      H,
      A,
    ]),
  );
  const session = await (await addon().compileModel(guidedGraph(g).native, { precision: 'f32' })).openSession(
    { batch: 1 },
  );
  const at = vector('x', N);
  const prefix = vector('p', N);
  const weights = Float32Array.from([1, 0.5, 0, 0]);
  const schedule = Object.fromEntries(
    Object.entries(numbers).map(([k, v]) => [k, Float32Array.of(v[call]!)]),
  );
  const run = (input: Float32Array) =>
    session.run({ x: input, prefix, prefix_weights: weights, ...schedule }).then((r) => r.outputs);
  const here = await run(at);
  const v = here.v!;
  const { a_x, a_f } = table.rows[call]!;
  const error = v.map((f, i) => weights[Math.floor(i / A)]! * (prefix[i]! - (a_x * at[i]! + a_f * f)));
  const gain = Math.min(5, table.gains[call]!);
  for (let j = 0; j < N; j++) {
    const moved = (by: number) => at.map((value, i) => (i === j ? value + by : value));
    const [up, down] = [(await run(moved(1e-2))).v!, (await run(moved(-1e-2))).v!];
    let back = 0;
    for (let i = 0; i < N; i++) back += (error[i]! * (up[i]! - down[i]!)) / 2e-2;
    const want = v[j]! + gain * ((a_x / a_f) * error[j]! + back);
    // Central differences of 1e-2 in f32.
    expect(here.guided![j]!).toBeCloseTo(want, 2);
  }
});

describe('the arm policy', async () => {
  const policy = await loadPolicy('models/arm', {
    compute: { precision: 'f32' },
    joins: { derivative: true },
  });
  const { observation_dims, goal_dims, horizon, action_dim } = policy.spec;
  const some = (dims: Readonly<Record<string, number>>) =>
    Object.fromEntries(Object.entries(dims).map(([k, n]) => [k, vector(k, n).map((v) => v / 4)]));
  const observation = { stamp_ns: 0, values: some(observation_dims) };
  const goal = some(goal_dims);
  const draw = async (prefix?: { actions: Float32Array; weights: Float32Array }) => {
    policy.reset(1);
    const given = prefix === undefined ? {} : { prefix: { ...prefix, derivative: true } };
    return (await policy.infer(observation, { goal, ...given })).actions;
  };

  test('comes nearer a prefix that weighs, and keeps to itself beside one that does not', async () => {
    const free = await draw();
    const rows = 6;
    const actions = free.slice(0, rows * action_dim).map((v, i) => v + 0.05 * Math.sin(i));
    const apart = (chunk: Float32Array) =>
      Math.hypot(...actions.map((v, i) => v - chunk[i]!)) /
      Math.hypot(...actions.map((v, i) => v - free[i]!));
    expect(apart(await draw({ actions, weights: new Float32Array(rows).fill(1) }))).toBeLessThan(0.7);
    const beside = await draw({ actions, weights: new Float32Array(rows) });
    expect(beside.length).toBe(horizon * action_dim);
    // The same numbers through a program that is fused otherwise.
    expect(Math.max(...beside.map((v, i) => Math.abs(v - free[i]!)))).toBeLessThan(1e-4);
  });

  test('guidance by goal and by prefix at once is refused with what to do', async () => {
    await expect(policy.choose({ guidance_scale: 2 })).rejects.toThrow('derivative: false');
  });
});
