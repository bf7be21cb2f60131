// ONNX in: networks exported by PyTorch (test/golden/make/onnx_exports.py) against PyTorch's own outputs, and our own writer's
// files read back.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterAll, describe, expect, it, test } from 'vitest';
import { addon, type GraphBuilder, type Stage } from '../../src/native/index.js';
import { importOnnx } from '../../src/onnx/index.js';
import type { DenoiserFamily } from '../../src/policies/denoiser-family.js';
import { openFamily } from '../../src/policies/load.js';
import { writeOnnx } from '../../src/weights/onnx-write.js';
import { relativeError, runGraph } from './golden.js';

const folder = (name: string): string => fileURLToPath(new URL(`./onnx_${name}/`, import.meta.url));

const STAGES: Record<string, Record<string, Stage>> = {
  unet: { x: 'step', t: 'schedule', cond: 'observation' },
  transformer: { x: 'step', state: 'observation' },
  transformer_post: { x: 'step', state: 'observation' },
  attention: { x: 'step' },
  pixels: { image: 'observation' },
  critic: { z: 'step', action: 'step' },
};

async function stepProducts(graph: GraphBuilder): Promise<number> {
  const model = await addon().compileModel(graph.native, { precision: 'f32' });
  const session = await model.openSession({ batch: 1 });
  return session.stages().find((s) => s.name === 'step')!.matrix_products;
}

describe('networks that PyTorch exported', () => {
  test.each(Object.keys(STAGES))('%s gives what PyTorch gave', async (name) => {
    const io = JSON.parse(readFileSync(join(folder(name), 'io.json'), 'utf8')) as Record<string, number[]>;
    const graph = importOnnx(join(folder(name), 'model.onnx'), { stages: STAGES[name]! });
    const { out: want, ...inputs } = io;
    const given = Object.fromEntries(Object.entries(inputs).map(([k, v]) => [k, Float32Array.from(v)]));
    const { out } = await runGraph(graph, 1, given);
    expect(relativeError(out!, want!)).toBeLessThan(2e-5);
  });

  it('a UNet is split by stage and fused as one described by hand', async () => {
    const graph = importOnnx(join(folder('unet'), 'model.onnx'), { stages: STAGES.unet! });
    const ops = graph.nodes.map((n) => n.op);
    // Six group norms and all of the exporter's Mish, recognised; nothing of their pieces is left.
    expect(ops.filter((op) => op === 'group_norm')).toHaveLength(6);
    const model = await addon().compileModel(graph.native, { precision: 'f32' });
    const text = (await model.openSession({ batch: 1 })).print();
    const step = text.split('\n').filter((line) => line.startsWith('step'));
    expect(step.filter((line) => /softplus|tanh|permute/.test(line))).toEqual([]);
    expect(step.filter((line) => /linear/.test(line))).toEqual([]);
    expect(step.filter((line) => /group_norm \+ mish/.test(line))).toHaveLength(6);
  });

  it('attention is one op again', () => {
    for (const name of ['transformer', 'attention']) {
      const ops = importOnnx(join(folder(name), 'model.onnx')).nodes.map((n) => n.op);
      expect(ops.filter((op) => op === 'attention').length).toBeGreaterThan(0);
      expect(ops).not.toContain('matmul');
    }
  });
});

describe('what our own writer wrote', () => {
  const dir = mkdtempSync(join(tmpdir(), 'tendon-onnx-'));
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  test.each(['arm', 'pusht'])('the network of models/%s comes back the same', async (task) => {
    const family = openFamily(
      fileURLToPath(new URL(`../../models/${task}`, import.meta.url)),
    ) as DenoiserFamily;
    const graph = family.network.graph(1);
    const file = join(dir, `${task}.onnx`);
    writeFileSync(file, writeOnnx(graph));
    const inputs = graph.nodes.filter((n) => n?.op === 'input');
    const stages = Object.fromEntries(inputs.map((n) => [n.name!, n.stage!]));
    const again = importOnnx(file, { stages });
    expect(await stepProducts(again)).toBe(await stepProducts(graph));
    const given = Object.fromEntries(
      inputs.map((n, i) => [
        n.name!,
        addon().philoxNormal(
          1,
          i,
          0,
          n.shape.reduce((a, b) => a * b, 1),
        ),
      ]),
    );
    const [want, got] = [await runGraph(graph, 1, given), await runGraph(again, 1, given)];
    const name = graph.outputs[0]!.name;
    expect(relativeError(got[name]!, want[name]!)).toBeLessThan(1e-5);
  });

  test.each(Object.keys(STAGES))('%s, read, written and read again', async (name) => {
    const stages = STAGES[name]!;
    const first = importOnnx(join(folder(name), 'model.onnx'), { stages });
    const file = join(dir, `${name}.onnx`);
    writeFileSync(file, writeOnnx(first));
    const second = importOnnx(file, { stages });
    const io = JSON.parse(readFileSync(join(folder(name), 'io.json'), 'utf8')) as Record<string, number[]>;
    const { out: want, ...inputs } = io;
    const given = Object.fromEntries(Object.entries(inputs).map(([k, v]) => [k, Float32Array.from(v)]));
    const { out } = await runGraph(second, 1, given);
    expect(relativeError(out!, want!)).toBeLessThan(3e-5);
    const peer = await InferenceSession.create(file);
    const feeds = Object.fromEntries(
      first.nodes
        .filter((n) => n?.op === 'input')
        .map((n) => [n.name!, new Tensor('float32', given[n.name!]!, [...n.shape])]),
    );
    const { out: theirs } = await peer.run(feeds);
    expect(relativeError(theirs!.data as Float32Array, want!)).toBeLessThan(3e-5);
    await peer.release();
  });
});

describe('what cannot be read is named', () => {
  it('an op, with its node', () => {
    const bytes = readFileSync(join(folder('critic'), 'model.onnx'));
    // The op's name, in field 4 of its node.
    const at = bytes.indexOf(Buffer.concat([Buffer.of(0x22, 8), Buffer.from('Softplus')])) + 2;
    const file = join(mkdtempSync(join(tmpdir(), 'tendon-onnx-')), 'odd.onnx');
    bytes.write('Softmuss', at);
    writeFileSync(file, bytes);
    expect(() => importOnnx(file)).toThrow('Softmuss');
  });
});

test.each([18, 21])(
  'opset %i: what newer opsets changed or added, as onnxruntime-node has it',
  async (opset) => {
    const file = join(folder(`opset${opset}`), 'model.onnx');
    const x = addon().philoxNormal(4, 0, 0, 24);
    const { out } = await runGraph(importOnnx(file), 1, { x });
    const peer = await InferenceSession.create(file);
    const { out: want } = await peer.run({ x: new Tensor('float32', x, [1, 4, 6]) });
    expect(relativeError(out!, want!.data as Float32Array)).toBeLessThan(2e-6);
    await peer.release();
  },
);
