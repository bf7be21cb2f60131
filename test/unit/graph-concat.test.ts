// A concat is written in place by the kernels that make its pieces where they can; however often a piece stands in it.

import { expect, it } from 'vitest';
import { GraphBuilder } from '../../src/native/index.js';
import { runGraph } from '../golden/golden.js';

it('a product that stands in a concat three times is there three times', async () => {
  const g = new GraphBuilder();
  const x = g.input('x', [1, 2, 2], 'observation');
  const y = g.linear(x, g.constant([1, 0, 0, 1], [2, 2]));
  const other = g.linear(x, g.constant([10, 0, 0, 10], [2, 2]));
  g.output('y', g.affine(g.concat([y, other, y, y], 2), 1, 0));
  const { y: got } = await runGraph(g, 1, { x: Float32Array.of(1, 2, 3, 4) });
  expect([...got!]).toEqual([1, 2, 10, 20, 1, 2, 1, 2, 3, 4, 30, 40, 3, 4, 3, 4]);
});
