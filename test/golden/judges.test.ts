// Networks that judge a policy's chunks against recorded vectors (test/golden, section Steering), compiled by the core.

import { join } from 'node:path';
import { expect, it } from 'vitest';
import { GraphBuilder, type Value } from '../../src/native/index.js';
import {
  chunkCritics,
  coinFlips,
  distilled,
  Flax,
  failureLstm,
  failureScore,
  visitCount,
  type Weights,
} from '../../src/networks/index.js';
import { argmax } from '../../src/parts/index.js';
import { Checkpoint } from '../../src/policies/checkpoint.js';
import { arrayInFile, openSafetensors } from '../../src/weights/index.js';
import { type Golden, golden, relativeError, runGraph } from './golden.js';

const BAR = 1e-5;
const weightsOf = (io: Golden): Weights => new Checkpoint(io.dir, {}).tensors('judge');
const rows = (io: Golden, name: string): number => io.shape(name)[0]!;
const graphOf = (describe: (g: GraphBuilder) => Readonly<Record<string, Value>>): GraphBuilder => {
  const g = new GraphBuilder();
  for (const [name, value] of Object.entries(describe(g))) g.output(name, value);
  return g;
};

it('coin_flip: flips, counts and the least novel of eight', async () => {
  const io = golden('coin_flip');
  const g = graphOf((g) => {
    const out = coinFlips(g, weightsOf(io), g.input('s', [1, 12], 'step'));
    return { out: g.affine(out, 1, 0), count: visitCount(g, out) };
  });
  const { out, count } = await runGraph(g, rows(io, 'features'), { s: io.get('features') });
  expect(relativeError(out!, io.get('out'))).toBeLessThan(BAR);
  expect(relativeError(count!, io.get('count'))).toBeLessThan(BAR);
  expect(argmax(count!)).toBe(io.get('chosen')[0]);
});

it('chunk_critic: what both critics say of ten chunks', async () => {
  const io = golden('chunk_critic');
  const { tensors, path } = openSafetensors(join(io.dir, 'model.safetensors'));
  const arrays = new Map(
    [...tensors.values()].map((ref) => {
      const name = ref.name.replaceAll('.', '/');
      return [name, arrayInFile({ ...ref, name })] as const;
    }),
  );
  const net = new Flax({ path, arrays }, 'modules_critic', new Set());
  const g = graphOf((g) => ({
    q: chunkCritics(g, net, g.input('x', [1, 18], 'step')),
  }));
  const x = new Float32Array(180);
  for (let i = 0; i < 10; i++) {
    x.set(io.get('obs'), i * 18);
    const chunk = io.get('chunks').slice(i * 12, (i + 1) * 12);
    x.set(
      chunk.map((v) => Math.min(Math.max(v, -1), 1)),
      i * 18 + 6,
    );
  }
  const { q } = await runGraph(g, 10, { x });
  const byCritic = Float32Array.from({ length: 20 }, (_, i) => q![(i % 10) * 2 + Math.floor(i / 10)]!);
  expect(relativeError(byCritic, io.get('q'))).toBeLessThan(BAR);
});

it('failure_monitor: the MLP added up and averaged, the LSTM step by step', async () => {
  const io = golden('failure_monitor');
  const weights = weightsOf(io);
  const mlp = graphOf((g) => ({ score: failureScore(g, weights, g.input('x', [1, 10], 'step')) }));
  const lstm = graphOf((g) => {
    const state = { h: g.input('h', [1, 12], 'step'), c: g.input('c', [1, 12], 'step') };
    const next = failureLstm(g, weights, g.input('x', [1, 10], 'step'), state);
    return { score: next.score, h: g.affine(next.h, 1, 0), c: g.affine(next.c, 1, 0) };
  });
  const features = io.get('test.features');
  const runs = 6;
  const sums: number[] = [];
  const means: number[] = [];
  const recurrent: number[] = [];
  for (let run = 0; run < runs; run++) {
    const x = features.slice(run * 140, (run + 1) * 140);
    const { score } = await runGraph(mlp, 14, { x });
    let sum = 0;
    score!.forEach((v, t) => {
      sum += v;
      sums.push(sum);
      means.push(sum / (t + 1));
    });
  }
  let h: Float32Array = new Float32Array(12 * runs);
  let c: Float32Array = new Float32Array(12 * runs);
  for (let t = 0; t < 14; t++) {
    const x = Float32Array.from(
      { length: runs * 10 },
      (_, i) => features[(Math.floor(i / 10) * 14 + t) * 10 + (i % 10)]!,
    );
    const out = await runGraph(lstm, runs, { x, h, c });
    out.score!.forEach((v, run) => {
      recurrent[run * 14 + t] = v;
    });
    h = out.h!;
    c = out.c!;
  }
  expect(relativeError(sums, io.get('test.mlp_sum'))).toBeLessThan(BAR);
  expect(relativeError(means, io.get('test.mlp_mean'))).toBeLessThan(BAR);
  expect(relativeError(recurrent, io.get('test.lstm'))).toBeLessThan(BAR);
});

it('guardian: random network distillation', async () => {
  const io = golden('guardian');
  const g = graphOf((g) => ({ error: distilled(g, weightsOf(io), g.input('x', [1, 5], 'step')) }));
  const { error } = await runGraph(g, 8, { x: io.get('queries') });
  expect(relativeError(error!, io.get('rnd'))).toBeLessThan(BAR);
});
