// ONNX out: every op of the table in a small network, and the network of every family, written as a file, run by
// onnxruntime-node and read back, against our own.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterAll, describe, expect, it, test } from 'vitest';
import {
  addon,
  BINARY_NAMES,
  GraphBuilder,
  REDUCE_NAMES,
  type Stage,
  UNARY_NAMES,
  type Value,
} from '../../src/native/index.js';
import { FAMILY_NAMES, importOnnx, openFamily } from '../../src/policies/index.js';
import { writeOnnx } from '../../src/weights/onnx-write.js';
import { relativeError, runGraph } from '../golden/golden.js';
import { CHECKPOINTS, writeCheckpointOf } from './checkpoints.js';

const folder = mkdtempSync(join(tmpdir(), 'tendon-onnx-write-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const normal = (stream: number, shape: readonly number[]): Float32Array =>
  addon().philoxNormal(11, stream, 0, product(shape));

/** Weights of a case, drawn anew at every call. */
function drawing(g: GraphBuilder) {
  let stream = 100;
  const w = (...shape: number[]): Value => g.constant(normal(stream++, shape), shape);
  const positive = (n: number): Value =>
    g.constant(
      normal(stream++, [n]).map((v) => 0.5 + Math.abs(v)),
      [n],
    );
  return { w, positive };
}

type Draw = ReturnType<typeof drawing>;
/** From x, a sequence (1, 6, 8) of the step, and v, an observation of that shape, to the outputs. */
type Case = (g: GraphBuilder, x: Value, v: Value, draw: Draw) => Value | Value[];

/** As an image (1, 2, 3, 8), whose channels are the last. */
const image = (g: GraphBuilder, x: Value): Value => g.reshape(x, [1, 2, 3, 8]);
const rows = (g: GraphBuilder, x: Value): Value => g.reshape(x, [1, 48]);

/** By the op that it is about; an op may have several. */
const CASES: Readonly<Record<string, readonly Case[]>> = {
  linear: [
    (g, x, _v, { w }) => g.linear(x, w(5, 8), w(5)),
    (g, x, _v, { w }) => g.linear(x, w(5, 8)),
    (g, x, _v, { w }) => g.linear(rows(g, x), w(5, 48), w(5)),
    (g, x, _v, { w }) => g.linear(g.conv1d(x, w(4, 8, 1), undefined), w(3, 4), w(3)),
  ],
  conv1d: [
    (g, x, _v, { w }) => g.conv1d(x, w(5, 8, 3), w(5), { pad: 1 }),
    (g, x, _v, { w }) => g.conv1d(x, w(5, 8, 3), undefined, { stride: 2 }),
    (g, x, v, { w }) => g.add(g.conv1d(x, w(8, 8, 1), w(8)), v),
  ],
  conv_transpose1d: [
    (g, x, _v, { w }) => g.convTranspose1d(x, w(8, 5, 4), w(5), { stride: 2, pad: 1 }),
    (g, x, _v, { w }) => g.convTranspose1d(x, w(8, 5, 2), undefined),
  ],
  conv2d: [
    (g, x, _v, { w }) => g.conv2d(image(g, x), w(5, 8, 2, 3), w(5), { pad: 1 }),
    (g, x, _v, { w }) => g.conv2d(image(g, x), w(5, 8, 2, 2), undefined, { stride: 2, pad: 1 }),
  ],
  batch_norm: [
    (g, x, _v, { w, positive }) =>
      g.batchNorm(g.conv2d(image(g, x), w(5, 8, 1, 1), w(5)), w(5), w(5), w(5), positive(5), 1e-3),
  ],
  group_norm: [
    (g, x, _v, { w }) => g.groupNorm(g.conv1d(x, w(6, 8, 3), w(6), { pad: 1 }), w(6), w(6), 3),
    (g, x, _v, { w }) => g.groupNorm(x, w(8), w(8), 2, 1e-3),
    (g, x, _v, { w }) => g.groupNorm(image(g, x), w(8), w(8), 4),
  ],
  layer_norm: [
    (g, x, _v, { w }) => g.layerNorm(x, w(8), w(8)),
    (g, x, _v, { w }) => g.layerNorm(rows(g, x), w(48), w(48), 1e-3),
    (g, x) => g.layerNorm(x),
  ],
  rms_norm: [(g, x, _v, { w }) => g.rmsNorm(x, w(8)), (g, x) => g.rmsNorm(x, undefined, 1e-3)],
  rope: [
    (g, x, _v, { w }) => g.rope(x, w(1, 6), 2),
    (g, x, v) => g.rope(x, g.reshape(g.slice(v, 2, 0, 1), [1, 6]), 4, 50),
  ],
  max_pool2d: [
    (g, x) => g.maxPool2d(image(g, x), { kernel: 2 }),
    (g, x, _v, { w }) =>
      g.maxPool2d(g.conv2d(image(g, x), w(5, 8, 1, 1), w(5)), { kernel: 3, stride: 2, pad: 1 }),
  ],
  affine: [
    (g, x) => g.affine(x, 2, -0.5),
    (g, x) => g.affine(x, 1, 3),
    (g, x, _v, { w }) => g.affine(g.conv1d(x, w(5, 8, 1), w(5)), -1, 0),
  ],
  concat: [
    (g, x, v) => g.concat([x, v, x]),
    (g, x, v) => g.concat([v, x], 1),
    (g, x, v, { w }) => g.concat([g.conv1d(x, w(5, 8, 1), w(5)), g.conv1d(v, w(4, 8, 1), w(4))]),
    (g, x, v) => g.concat([image(g, x), image(g, v)], 2),
  ],
  slice: [
    (g, x) => g.slice(x, 1, 2, 3),
    (g, x) => g.slice(rows(g, x), 1, 5, 11),
    (g, x, _v, { w }) => g.slice(g.conv1d(x, w(5, 8, 1), w(5)), 2, 1, 3),
    (g, x, _v, { w }) => g.slice(g.conv2d(image(g, x), w(5, 8, 1, 1), w(5)), 2, 1, 2),
  ],
  reshape: [
    (g, x) => g.reshape(x, [1, 4, 12]),
    (g, x, _v, { w }) => g.reshape(g.conv1d(x, w(5, 8, 1), w(5)), [1, 30]),
  ],
  permute: [
    (g, x) => g.permute(x, [0, 2, 1]),
    (g, x) => g.permute(image(g, x), [0, 3, 1, 2]),
    (g, x, _v, { w }) => g.permute(g.conv1d(x, w(5, 8, 1), w(5)), [0, 2, 1]),
  ],
  expand: [(g, x) => g.expand(g.slice(x, 1, 3, 1), [1, 6, 8])],
  softmax: [(g, x) => g.softmax(x), (g, x, _v, { w }) => g.softmax(g.conv1d(x, w(5, 8, 1), w(5)))],
  attention: [
    (g, x, v) => g.attention(x, v, v, 2),
    (g, x, _v, { w }) => g.attention(x, x, x, 4, w(6, 6), 0.3),
  ],
  matmul: [(g, x, v) => g.matmul(x, g.permute(v, [0, 2, 1]))],
  // Indices on both sides of the table and between its rows.
  gather: [(g, x, _v, { w }) => g.gather(w(5, 7), g.affine(g.slice(rows(g, x), 1, 0, 20), 3, 2))],
  ...Object.fromEntries(
    UNARY_NAMES.map((name): [string, Case[]] => {
      const only_positive = ['log', 'sqrt', 'rsqrt', 'reciprocal'].includes(name);
      return [
        name,
        [
          (g, x) => g.unary(name, only_positive ? g.affine(g.unary('square', x), 1, 0.3) : x),
          (g, x, _v, { w }) => {
            const y = g.conv1d(x, w(5, 8, 1), w(5));
            return g.unary(name, only_positive ? g.affine(g.unary('square', y), 1, 0.3) : y);
          },
        ],
      ];
    }),
  ),
  ...Object.fromEntries(
    BINARY_NAMES.map((name): [string, Case[]] => {
      const away = (g: GraphBuilder, y: Value): Value =>
        name === 'div' ? g.affine(g.unary('square', y), 1, 0.3) : y;
      return [
        name,
        [
          (g, x, v) => g.binary(name, x, away(g, v)),
          (g, x, v) => g.binary(name, v, away(g, x)),
          (g, x, _v, { positive }) => g.binary(name, x, g.reshape(positive(8), [1, 1, 8])),
          (g, x, v, { w }) => g.binary(name, g.conv1d(x, w(8, 8, 1), w(8)), away(g, v)),
          (g, x, _v, { w, positive }) =>
            g.binary(name, g.conv1d(x, w(5, 8, 1), w(5)), g.reshape(positive(5), [1, 1, 5])),
        ],
      ];
    }),
  ),
  ...Object.fromEntries(
    REDUCE_NAMES.map((name): [string, Case[]] => [
      name,
      [
        (g, x) => g.reduce(name, x),
        (g, x) => g.reduce(name, x, 1),
        (g, x, _v, { w }) => g.reduce(name, g.conv1d(x, w(5, 8, 1), w(5)), 1),
      ],
    ]),
  ),
};

type Given = Record<string, Float32Array>;
type Outputs = Readonly<Record<string, Float32Array>>;

const inputsOf = (graph: GraphBuilder) => graph.nodes.filter((n) => n?.op === 'input');

/** Draws for every input; those of the step have `batch` rows for each that is declared. */
function draw(graph: GraphBuilder, batch: number): { given: Given; feeds: Record<string, Tensor> } {
  const given: Given = {};
  const feeds: Record<string, Tensor> = {};
  for (const [i, { name, shape, stage }] of inputsOf(graph).entries()) {
    const whole = shape.map((d, axis) => (axis === 0 && stage === 'step' ? d * batch : d));
    given[name!] = normal(i, whole);
    feeds[name!] = new Tensor('float32', given[name!]!, whole);
  }
  return { given, feeds };
}

async function runPeer(file: Buffer, feeds: Record<string, Tensor>): Promise<Outputs> {
  const peer = await InferenceSession.create(file, { intraOpNumThreads: 1 });
  const outputs = await peer.run(feeds);
  await peer.release();
  return Object.fromEntries(Object.entries(outputs).map(([k, t]) => [k, t.data as Float32Array]));
}

/** What is read back from a written file. */
function again(graph: GraphBuilder, name: string): GraphBuilder {
  const file = join(folder, `${name}.onnx`);
  writeFileSync(file, writeOnnx(graph));
  const stages = Object.fromEntries(inputsOf(graph).map((n): [string, Stage] => [n.name!, n.stage!]));
  return importOnnx(file, { stages });
}

function expectSame(got: Outputs, want: Outputs, tolerance: number, what: string): void {
  expect(Object.keys(got).sort()).toEqual(Object.keys(want).sort());
  for (const [name, values] of Object.entries(want))
    expect(relativeError(got[name]!, values), `${what} ${name}`).toBeLessThanOrEqual(tolerance);
}

function graphOf(build: Case): GraphBuilder {
  const g = new GraphBuilder();
  const x = g.input('x', [1, 6, 8], 'step');
  const v = g.input('v', [1, 6, 8], 'observation');
  g.output('out', [build(g, x, v, drawing(g))].flat()[0]!);
  // Both inputs are used, whatever the case is about.
  g.output('both', g.add(x, v));
  return g;
}

test('every op of the table has its case', () => {
  expect(Object.keys(CASES).sort()).toEqual([...addon().opNames()].sort());
});

/** Written and run, but not read back: what the importer says to it. */
const UNREAD: Readonly<Record<string, RegExp>> = {
  gather: /the op Round is not read/,
  scalezero: /the op Round is not read/,
  vqbet: /a first dim of 5; it must be the batch/,
  multi_task_dit: /a first dim of 2; it must be the batch/,
  rssm: /weights of 3 dims/,
  // Their masks are (tokens, tokens), which no batch is.
  smolvla: /first dim/,
  pi0: /first dim/,
  pi05: /first dim/,
  openpi: /first dim/,
};

async function readBack(graph: GraphBuilder, name: string, given: Given): Promise<Outputs | undefined> {
  const refusal = UNREAD[name];
  if (refusal === undefined) return runGraph(again(graph, name), 1, given);
  expect(() => again(graph, name)).toThrow(refusal);
  return undefined;
}

describe.each(Object.keys(CASES))('%s', (op) => {
  it.each(CASES[op]!.map((build, i) => ({ i, build })))('case $i', async ({ build }) => {
    const graph = graphOf(build);
    expect(graph.nodes.map((n) => n.op)).toContain(op);
    for (const batch of [1, 3]) {
      const { given, feeds } = draw(graph, batch);
      const ours = await runGraph(graph, batch, given);
      expectSame(await runPeer(writeOnnx(graph, batch), feeds), ours, 1e-5, `batch ${batch}`);
      if (batch > 1) continue;
      const back = await readBack(graph, op, given);
      if (back !== undefined) expectSame(back, ours, 1e-5, 'read back');
    }
  });
});

test('every family is among the checkpoints', () => {
  expect(Object.keys(CHECKPOINTS).sort()).toEqual([...FAMILY_NAMES].sort());
});

describe.each(Object.keys(CHECKPOINTS))('the network of %s', (name) => {
  it('is what onnxruntime-node makes of the file, and comes back the same', async () => {
    const dir = join(folder, name);
    mkdirSync(dir);
    const family = openFamily(writeCheckpointOf(name, dir));
    const graph = 'kind' in family ? family.graph() : family.network.graph(1);
    const { given, feeds } = draw(graph, 1);
    const clashing = graph.outputs.filter(({ name }) => given[name] !== undefined);
    if (clashing.length > 0) expect(() => writeOnnx(graph)).toThrow(`both named ${clashing[0]!.name}`);
    const ours = { ...(await runGraph(graph, 1, given)) };
    for (const output of clashing) {
      const name = `${output.name}_out`;
      ours[name] = ours[output.name]!;
      delete ours[output.name];
      output.name = name;
    }
    // A deep network's sums in another order; its largest output is the measure.
    expectSame(await runPeer(writeOnnx(graph), feeds), ours, 2e-5, 'onnxruntime-node');
    const back = await readBack(graph, name, given);
    if (back !== undefined) expectSame(back, ours, 2e-5, 'read back');
  });
});
