// What the lowering of every op needs: its attributes, its constant inputs, and values in the arrangement that an op asks for.

import type { Value } from '../native/index.js';
import type { OnnxNode } from '../weights/index.js';
import type { Context, Known } from './known.js';
import { arrange, dimsOf, type Live, live, ONE } from './value.js';

export type Lowering = (im: Context, node: OnnxNode) => Known | readonly Known[];

export const whole = (node: OnnxNode, name: string, fallback: number): number =>
  typeof node.attributes[name] === 'number' ? (node.attributes[name] as number) : fallback;
export const list = (node: OnnxNode, name: string): number[] | undefined =>
  Array.isArray(node.attributes[name]) ? (node.attributes[name] as number[]) : undefined;

/** Numbers of a constant input, or of the attribute that older opsets have instead. */
export function numbers(im: Context, node: OnnxNode, input: number, attribute: string): number[] | undefined {
  const name = node.inputs[input];
  if (name === undefined || name === '') return list(node, attribute);
  const found = im.constant(name);
  if (found === undefined) throw new RangeError(`${attribute} must be known when the graph is read`);
  return Array.from(found.numbers());
}

export const axisOf = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

/** Shape (batch, positions…, channels) and the way back for ONNX's (batch, channels, positions…). */
export function channelsLast(im: Context, x: Live): { value: Value; order: number[] } {
  const rank = dimsOf(x).length;
  const positions = Array.from({ length: rank - 2 }, (_, i) => i + 2);
  return {
    value: arrange(im.g, x, [...positions, 1]),
    order: [ONE, rank - 1, ...positions.map((p) => p - 1)],
  };
}

/** The value with ONNX's last axis as the graph's last. */
export function lastLast(im: Context, x: Live): Live {
  const dims = dimsOf(x);
  if (x.order.at(-1) === x.value.shape.length - 1 && x.order.at(-1) !== 0) return x;
  const axes = dims.map((_, i) => i).filter((i) => dims[i] !== 1 || i === dims.length - 1);
  const order = dims.map((_, i) => (axes.includes(i) ? axes.indexOf(i) + 1 : ONE));
  return live(arrange(im.g, x, axes), order);
}
