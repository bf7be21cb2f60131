// What moves numbers and computes none: shapes, slices, joins, lookups.

import type { OnnxNode } from '../weights/index.js';
import { broadcastDims, count, reshapedDims, sliceRange } from './constants.js';
import type { Context, Known } from './known.js';
import { axisOf, channelsLast, type Lowering, numbers, whole } from './node.js';
import { arrange, dimsOf, type Live, live, ONE, plain, plainOrder } from './value.js';

export function reshapeTo(im: Context, x: Live, dims: readonly number[]): Live {
  const from = dimsOf(x);
  const [a, b] = [from, dims].map((d) => d.filter((v) => v !== 1)) as [number[], number[]];
  if (a.length === b.length && a.every((d, i) => d === b[i])) {
    // Only dims of 1 come and go: the numbers stay.
    const axes = x.order.filter((_, i) => from[i] !== 1);
    let next = 0;
    return live(
      x.value,
      dims.map((d) => (d === 1 ? ONE : axes[next++]!)),
    );
  }
  const flat = plain(im.g, x);
  return live(im.g.reshape(flat.value, [1, ...b]), plainOrder(dims));
}

export function reshape(im: Context, node: OnnxNode): Known {
  const x = im.raw(node.inputs[0]!);
  const target = numbers(im, node, 1, 'shape')!;
  if (x.kind === 'grouped' && x.eps !== undefined) {
    const dims = reshapedDims([1, x.groups, count(x.dims) / x.groups], target, false);
    if (dims.length !== x.dims.length || dims.some((d, i) => d !== x.dims[i]))
      throw new RangeError('a group norm that does not come back to its shape');
    const { value, order } = channelsLast(im, x.x);
    return { kind: 'norm', norm: 'group', x: value, order, groups: x.groups, eps: x.eps };
  }
  const settled = im.settle(x, node.inputs[0]!);
  const from = dimsOf(settled);
  const dims = reshapedDims(from, target, whole(node, 'allowzero', 0) === 1);
  const grouped = dims.length === 3 && from.length >= 3 && from[1]! % dims[1]! === 0;
  if (grouped && im.takers(node.outputs[0]!).some((taker) => taker.op === 'InstanceNormalization'))
    return { kind: 'grouped', x: settled, dims: from, groups: dims[1]!, eps: undefined };
  return reshapeTo(im, settled, dims);
}

export function concat(im: Context, node: OnnxNode): Live {
  const parts = node.inputs.map((name) => im.live(name));
  const dims = parts.map(dimsOf);
  const rank = dims[0]!.length;
  const axis = axisOf(whole(node, 'axis', 0), rank);
  if (axis === 0) throw new RangeError('along the batch');
  const total = dims.reduce((n, d) => n + d[axis]!, 0);
  const out = dims[0]!.map((d, i) => (i === axis ? total : d));
  // In the arrangement of the first that has one.
  const lead = parts.find((p) => p.order[axis] !== ONE) ?? parts[0]!;
  const place = (i: number): number => (lead.order[i] === ONE ? rank + i : lead.order[i]!);
  const axes = out
    .map((_, i) => i)
    .filter((i) => out[i] !== 1 && i !== 0)
    .sort((a, b) => place(a) - place(b));
  const value = im.g.concat(
    parts.map((p) => arrange(im.g, p, axes)),
    axes.indexOf(axis) + 1,
  );
  return live(
    value,
    out.map((_, i) => (axes.includes(i) ? axes.indexOf(i) + 1 : ONE)),
  );
}

/** Along one ONNX axis, which stays. */
function sliced(im: Context, x: Live, axis: number, start: number, length: number): Live {
  const dims = dimsOf(x);
  if (start === 0 && length === dims[axis]) return x;
  if (length < 1 || x.order[axis] === ONE) throw new RangeError('an empty slice');
  return live(im.g.slice(x.value, x.order[axis]!, start, length), x.order);
}

export function slice(im: Context, node: OnnxNode): Live {
  let x = im.live(node.inputs[0]!);
  const starts = numbers(im, node, 1, 'starts')!;
  const ends = numbers(im, node, 2, 'ends')!;
  const axes = numbers(im, node, 3, 'axes') ?? starts.map((_, i) => i);
  const steps = numbers(im, node, 4, 'steps');
  starts.forEach((start, i) => {
    const axis = axisOf(axes[i]!, x.order.length);
    const range = sliceRange(dimsOf(x)[axis]!, start, ends[i]!, steps?.[i] ?? 1);
    x = sliced(im, x, axis, range.start, range.length);
  });
  return x;
}

export function split(im: Context, node: OnnxNode): Live[] {
  const x = im.live(node.inputs[0]!);
  const axis = axisOf(whole(node, 'axis', 0), x.order.length);
  const length = dimsOf(x)[axis]!;
  const n = node.outputs.length;
  const lengths =
    numbers(im, node, 1, 'split') ??
    Array.from({ length: n }, (_, i) => Math.min(Math.ceil(length / n), length - i * Math.ceil(length / n)));
  let start = 0;
  return lengths.map((size) => {
    const part = sliced(im, x, axis, start, size);
    start += size;
    return part;
  });
}

export function gather(im: Context, node: OnnxNode): Live {
  const table = im.raw(node.inputs[0]!);
  const index = im.raw(node.inputs[1]!);
  if (table.kind === 'constant') {
    if (table.dims.length !== 2 || whole(node, 'axis', 0) !== 0) throw new RangeError('a table of more dims');
    const at = plain(im.g, im.settle(index, node.inputs[1]!));
    const value = im.g.gather(im.tensor(table, table.dims), at.value);
    return live(value, [...at.order, value.shape.length - 1]);
  }
  if (index.kind !== 'constant') throw new RangeError('an index and a table that are both computed');
  const x = im.settle(table, node.inputs[0]!);
  const axis = axisOf(whole(node, 'axis', 0), x.order.length);
  const length = dimsOf(x)[axis]!;
  const rows = Array.from(index.numbers(), (i) => (i < 0 ? i + length : i));
  if (rows.length > 256 || rows.some((r) => !(r >= 0 && r < length))) throw new RangeError(`index [${rows}]`);
  const parts = rows.map((row) => sliced(im, x, axis, row, 1));
  if (index.dims.length === 0)
    return live(
      parts[0]!.value,
      x.order.filter((_, i) => i !== axis),
    );
  if (index.dims.length > 1 || x.order[axis] === ONE) throw new RangeError('an index of more dims');
  return live(
    im.g.concat(
      parts.map((p) => p.value),
      x.order[axis]!,
    ),
    x.order,
  );
}

export function expanded(im: Context, node: OnnxNode): Live {
  const x = im.live(node.inputs[0]!);
  const dims = broadcastDims(dimsOf(x), numbers(im, node, 1, 'shape')!);
  const from = [...Array<number>(dims.length - x.order.length).fill(1), ...dimsOf(x)];
  const order = [...Array<number>(dims.length - x.order.length).fill(ONE), ...x.order];
  if (dims.every((d, i) => d === from[i])) return live(x.value, order);
  const axes = dims.map((_, i) => i).filter((i) => dims[i] !== 1);
  const value = arrange(im.g, live(x.value, order), axes);
  return live(im.g.expand(value, [1, ...axes.map((i) => dims[i]!)]), plainOrder(dims));
}

export function reordered(
  change: (order: readonly number[], node: OnnxNode, im: Context) => number[],
): Lowering {
  return (im, node) => {
    const x = im.live(node.inputs[0]!);
    return live(x.value, change(x.order, node, im));
  };
}
