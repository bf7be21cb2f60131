// Real-time chunking against LeRobot's own code (test/golden/rtc_lerobot): prefix weights, guidance weights, and ten
// guided steps of a toy flow in float64 and in the core.

import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { prefixWeights } from '../../src/control/index.js';
import { addon, GraphBuilder } from '../../src/native/index.js';
import { Tensors } from '../../src/policies/tensors.js';
import { encodeRows, flowGuidance, flowTable, runTable } from '../../src/samplers/index.js';
import { openSafetensors, readTensor } from '../../src/weights/index.js';
import { golden, relativeError } from './golden.js';

const rtc = golden('rtc_lerobot');
const [H, A, PREVIOUS] = [10, 4, 7];
const [DELAY, EXECUTION] = [2, 6];

test.each(['zeros', 'ones', 'linear', 'exp'] as const)('weights: %s', (schedule) => {
  for (const [start, end, total] of [
    [2, 6, 10],
    [0, 10, 10],
    [4, 10, 50],
    [5, 3, 8],
    [0, 0, 8],
    [3, 3, 8],
    [4, 50, 50],
  ] as const) {
    const want = rtc.get(`weights.${schedule.toUpperCase()}.${start}.${end}.${total}`);
    const got = prefixWeights(schedule, start, end, total);
    expect(Math.max(...got.map((v, i) => Math.abs(v - want[i]!)))).toBeLessThan(1e-6);
  }
});

test('guidance weights of ten steps', () => {
  const want = rtc.get('guidance_weight.10steps.max10');
  want.forEach((g, i) => {
    const tau = i / 10;
    expect(flowGuidance(tau, 10)).toBeCloseTo((1 - tau) * g, 4);
  });
});

/** The recorded toy: v = (1 + t) · (W₂ tanh(W₁ x + b₁) + b₂). */
function toy(): GraphBuilder {
  const g = new GraphBuilder();
  const tensors = Tensors.open(rtc.dir, 'toy');
  const x = g.input('x', [1, H, A], 'step');
  const time = g.input('time', [1, 1, 1], 'schedule');
  const hidden = g.unary('tanh', tensors.linear(g, x, '0', 32));
  g.output('v', g.mul(tensors.linear(g, hidden, '2', A), g.affine(time, 1, 1)));
  return g;
}

describe.each([
  ['linear', 'LINEAR'],
  ['exp', 'EXP'],
] as const)('%s schedule', (schedule, name) => {
  const table = flowTable('noise_at_one', 10);
  const rows = prefixWeights(schedule, DELAY, EXECUTION, H);
  const prefix = new Float32Array(H * A);
  prefix.set(rtc.get(`${name}.prev`));
  expect(rtc.get(`${name}.prev`).length).toBe(PREVIOUS * A);

  test('ten guided steps in the core', async () => {
    const model = await addon().compileModel(toy().native, { precision: 'f32' });
    const session = await model.openSession({ batch: 1 });
    await session.setTable(encodeRows(table), { time: Float32Array.from(table.levels) });
    const start = rtc.get(`${name}.noise`);
    const free = await session.denoise({ inputs: {}, start });
    expect(relativeError(free.x, rtc.get(`${name}.out_noguide`))).toBeLessThan(1e-5);
    const guided = await session.denoise({ inputs: {}, start, prefix, prefix_weights: rows });
    expect(relativeError(guided.x, rtc.get(`${name}.out`))).toBeLessThan(1e-5);
  });

  test('the same in float64', () => {
    const [w1, b1, w2, b2] = ['0.weight', '0.bias', '2.weight', '2.bias'].map((n) =>
      weights(n),
    ) as Float32Array[];
    const network = (x: ArrayLike<number>, t: number): Float64Array => {
      const out = new Float64Array(H * A);
      for (let h = 0; h < H; h++) {
        const hidden = Float64Array.from(b1!, (b, j) => {
          let sum = b;
          for (let i = 0; i < A; i++) sum += w1![j * A + i]! * x[h * A + i]!;
          return Math.tanh(sum);
        });
        for (let o = 0; o < A; o++) {
          let sum = b2![o]!;
          for (let j = 0; j < 32; j++) sum += w2![o * 32 + j]! * hidden[j]!;
          out[h * A + o] = (1 + t) * sum;
        }
      }
      return out;
    };
    const each = prefix.map((_, i) => rows[Math.floor(i / A)]!);
    const x = runTable(table, rtc.get(`${name}.noise`), [], network, { target: prefix, weights: each });
    expect(relativeError(x, rtc.get(`${name}.out`))).toBeLessThan(1e-5);
  });
});

function weights(name: string): Float32Array {
  return readTensor(openSafetensors(join(rtc.dir, 'model.safetensors')).tensors.get(name)!);
}
