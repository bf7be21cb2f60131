// Attention masks as constants that are added to the scores.

import type { GraphBuilder, Value } from '../native/index.js';

/** Finite, so that no kernel ever subtracts infinity from infinity; e to this is 0 in every precision. */
const HIDDEN = -1e9;

/** (rows, columns) with 0 where `visible`. */
export function mask(
  g: GraphBuilder,
  rows: number,
  columns: number,
  visible: (row: number, column: number) => boolean,
): Value {
  const values = new Float32Array(rows * columns);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) values[r * columns + c] = visible(r, c) ? 0 : HIDDEN;
  return g.constant(values, [rows, columns]);
}

/** Every position sees itself and what came before. */
export const causalMask = (g: GraphBuilder, length: number): Value =>
  mask(g, length, length, (r, c) => c <= r);
