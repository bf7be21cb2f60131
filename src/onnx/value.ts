// An ONNX value that depends on the inputs, as the graph has it: batch first and always there, the other axes in whatever
// order suits the ops around it. `order` says which graph axis each ONNX axis is, so that a Transpose moves names, not
// numbers.

import type { GraphBuilder, Value } from '../native/index.js';
import { TendonError } from '../types/index.js';

/** An ONNX axis of size 1 that the graph's value does not have: the batch is one. */
export const ONE = -1;

export interface Live {
  readonly kind: 'live';
  /** (1, …) */
  readonly value: Value;
  /** By ONNX axis: an axis of `value` from 1 on, or ONE. Every axis longer than 1 stands in it once. */
  readonly order: readonly number[];
}

export const live = (value: Value, order: readonly number[]): Live => ({ kind: 'live', value, order });

/** As ONNX sees it. */
export const dimsOf = (x: Live): number[] => x.order.map((a) => (a === ONE ? 1 : x.value.shape[a]!));

/** Axes 1, 2, … for a value that has them in ONNX's order, none for dims of 1. */
export function plainOrder(dims: readonly number[]): number[] {
  let next = 1;
  return dims.map((d) => (d === 1 ? ONE : next++));
}

/** The value with exactly these ONNX axes as graph axes 1, 2, …; the ones left out must have length 1. */
export function arrange(g: GraphBuilder, x: Live, axes: readonly number[]): Value {
  const dims = dimsOf(x);
  dims.forEach((d, i) => {
    if (d !== 1 && !axes.includes(i))
      throw new TendonError(
        'unsupported',
        `ONNX: an axis of length ${d} where only length 1 can be left out`,
      );
  });
  const present = axes.filter((a) => x.order[a] !== ONE && dims[a] !== 1);
  const from = present.map((a) => x.order[a]!);
  const inOrder = from.every((a, i) => i === 0 || a > from[i - 1]!);
  let value = x.value;
  if (!inOrder) {
    // Axes that stand for nothing stay where they are, behind.
    const rest = value.shape.map((_, i) => i).filter((i) => i !== 0 && !from.includes(i));
    value = g.permute(value, [0, ...from, ...rest]);
  }
  const shape = axes.length === 0 ? [1, 1] : [1, ...axes.map((a) => dims[a]!)];
  const same = value.shape.length === shape.length && shape.every((d, i) => d === value.shape[i]);
  return same ? value : g.reshape(value, shape);
}

/** The value in ONNX's own order, without its dims of 1. */
export function plain(g: GraphBuilder, x: Live): Live {
  const dims = dimsOf(x);
  const axes = dims.map((_, i) => i).filter((i) => dims[i] !== 1);
  return live(arrange(g, x, axes), plainOrder(dims));
}
