// Derivatives written by the rules against central differences: ⟨u, J v⟩ = ⟨Jᵀu, v⟩ for random u and v.

import { describe, expect, test } from 'vitest';
import { addon, GraphBuilder, type Value, vectorJacobian } from '../../src/native/index.js';
import { vector } from '../golden/hashed.js';

const B = 1;
const [T, C] = [6, 8];

/** Runs `of` at x ± h·v and the product at x; `rate` is h. */
async function compare(
  build: (g: GraphBuilder, x: Value) => Value,
  shape: readonly number[],
  { rate = 1e-2, tolerance = 2e-3, shift = 0 } = {},
): Promise<void> {
  const size = shape.reduce((a, b) => a * b, 1);
  const g = new GraphBuilder();
  const x = g.input('x', shape, 'step');
  const y = build(g, x);
  const count = y.shape.reduce((a, b) => a * b, 1);
  const u = g.input('u', y.shape, 'observation');
  g.output('y', y);
  g.output('back', vectorJacobian(g, y, x, u));
  const model = await addon().compileModel(g.native, { precision: 'f32' });
  const session = await model.openSession({ batch: 1 });
  const at = vector('x', size).map((v) => v + shift);
  const along = vector('v', size);
  const by = vector('u', count);
  const run = (inputs: Float32Array) => session.run({ x: inputs, u: by });
  const [up, down, here] = [
    await run(at.map((v, i) => v + rate * along[i]!)),
    await run(at.map((v, i) => v - rate * along[i]!)),
    await run(at),
  ];
  let forward = 0;
  for (let i = 0; i < count; i++)
    forward += (by[i]! * (up.outputs.y![i]! - down.outputs.y![i]!)) / (2 * rate);
  let backward = 0;
  for (let i = 0; i < size; i++) backward += here.outputs.back![i]! * along[i]!;
  expect(Math.abs(forward - backward)).toBeLessThan(tolerance * Math.max(1, Math.abs(forward)));
  // A derivative that is zero everywhere would agree with nothing.
  expect(here.outputs.back!.some((v) => v !== 0)).toBe(true);
}

const w = (g: GraphBuilder, name: string, shape: readonly number[]): Value =>
  g.constant(
    vector(
      name,
      shape.reduce((a, b) => a * b, 1),
    ),
    shape,
  );

describe('functions of one argument', () => {
  test.each([
    'abs',
    'neg',
    'square',
    'exp',
    'sin',
    'cos',
    'tanh',
    'sigmoid',
    'softplus',
    'erf',
    'silu',
    'mish',
    'gelu',
  ] as const)('%s', (name) =>
    compare((g, x) => g.unary(name, x), [B, T, C], { shift: name === 'abs' ? 2 : 0 }),
  );
  test.each(['log', 'sqrt', 'rsqrt', 'reciprocal', 'relu', 'elu'] as const)('%s away from its edge', (name) =>
    compare((g, x) => g.unary(name, x), [B, T, C], { shift: 2 }),
  );
  test('elu and relu on both sides', async () => {
    await compare((g, x) => g.unary('elu', x), [B, T, C], { shift: -2 });
    await compare((g, x) => g.unary('relu', g.concat([g.affine(x, 1, 3), g.affine(x, 1, -3)])), [B, T, C]);
  });
});

describe('ops', () => {
  const cases: Record<string, (g: GraphBuilder, x: Value) => Value> = {
    'mul by itself and by a row': (g, x) => g.mul(g.mul(x, x), w(g, 'row', [1, 1, C])),
    'div both ways': (g, x) => g.binary('div', g.unary('sin', x), g.affine(g.unary('square', x), 1, 2)),
    'sub of a mean': (g, x) => g.binary('sub', x, g.reduce('mean', g.unary('square', x), 1)),
    'product with a broadcast sum': (g, x) => g.mul(x, g.reduce('sum', g.unary('sin', x), 2)),
    linear: (g, x) => g.linear(x, w(g, 'w', [5, C]), w(g, 'b', [5])),
    'conv1d stride 1': (g, x) => g.conv1d(x, w(g, 'c', [4, C, 5]), undefined, { pad: 2 }),
    'conv1d stride 2': (g, x) => g.conv1d(x, w(g, 'c2', [4, C, 3]), undefined, { stride: 2, pad: 1 }),
    'conv1d that leaves positions over': (g, x) =>
      g.conv1d(x, w(g, 'c3', [4, C, 3]), undefined, { stride: 2 }),
    conv_transpose1d: (g, x) => g.convTranspose1d(x, w(g, 't', [C, 4, 4]), undefined, { stride: 2, pad: 1 }),
    layer_norm: (g, x) => g.layerNorm(x, w(g, 'lw', [C]), w(g, 'lb', [C])),
    'layer_norm without weights': (g, x) => g.layerNorm(x),
    group_norm: (g, x) => g.groupNorm(x, w(g, 'gw', [C]), w(g, 'gb', [C]), 2),
    softmax: (g, x) => g.softmax(g.affine(x, 3, 0)),
    'attention of itself, masked': (g, x) => {
      const mask = g.constant(
        Float32Array.from({ length: T * T }, (_, i) => (i % T > Math.floor(i / T) ? -1e9 : 0)),
        [T, T],
      );
      return g.attention(x, g.unary('sin', x), g.unary('cos', x), 2, mask);
    },
    'attention to a memory': (g, x) => g.attention(x, w(g, 'k', [1, 3, C]), w(g, 'v', [1, 3, C]), 2),
    matmul: (g, x) => g.matmul(x, g.permute(g.unary('sin', x), [0, 2, 1])),
    'slice, permute, reshape, concat': (g, x) =>
      g.reshape(
        g.permute(g.concat([g.slice(x, 1, 1, 3), g.unary('square', g.slice(x, 1, 2, 3))], 1), [0, 2, 1]),
        [B, 4, 12],
      ),
    expand: (g, x) => g.mul(g.expand(g.reduce('mean', x, 1), [B, T, C]), x),
  };
  test.each(Object.keys(cases))('%s', (name) => compare(cases[name]!, [B, T, C]));
});

test('an op without a rule is refused by name', () => {
  const g = new GraphBuilder();
  const x = g.input('x', [1, T, C], 'step');
  const y = g.reduce('max', x);
  expect(() => vectorJacobian(g, y, x, y)).toThrow(/max/);
});
