// The ops, each as what the graph builder calls it. Values keep the axes they have (value.ts); an op asks only for the
// arrangement it cannot do without.

import type { BinaryName, ReduceName, UnaryName, Value } from '../../native/index.js';
import type { OnnxNode } from '../../weights/index.js';
import { multiply } from './attention.js';
import {
  broadcastDims,
  constant,
  count,
  reshapedDims,
  sliceRange,
  squeezedDims,
  unsqueezedDims,
} from './constants.js';
import { binary } from './elementwise.js';
import type { Importer, Known, Norm } from './importer.js';
import { layerNormOf } from './patterns.js';
import { arrange, dimsOf, type Live, live, ONE, plain, plainOrder } from './value.js';

type Lowering = (im: Importer, node: OnnxNode) => Known | readonly Known[];

const whole = (node: OnnxNode, name: string, fallback: number): number =>
  typeof node.attributes[name] === 'number' ? (node.attributes[name] as number) : fallback;
const list = (node: OnnxNode, name: string): number[] | undefined =>
  Array.isArray(node.attributes[name]) ? (node.attributes[name] as number[]) : undefined;

/** Numbers of a constant input, or of the attribute that older opsets have instead. */
function numbers(im: Importer, node: OnnxNode, input: number, attribute: string): number[] | undefined {
  const name = node.inputs[input];
  if (name === undefined || name === '') return list(node, attribute);
  const found = im.constant(name);
  if (found === undefined) throw new RangeError(`${attribute} must be known when the graph is read`);
  return Array.from(found.numbers());
}

const unary =
  (name: UnaryName): Lowering =>
  (im, node) => {
    const x = im.live(node.inputs[0]!);
    return live(im.g.unary(name, x.value), x.order);
  };

const elementwise =
  (name: BinaryName): Lowering =>
  (im, node) =>
    binary(im, node, name);

const axisOf = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

/** Shape (batch, positions…, channels) and the way back for ONNX's (batch, channels, positions…). */
function channelsLast(im: Importer, x: Live): { value: Value; order: number[] } {
  const rank = dimsOf(x).length;
  const positions = Array.from({ length: rank - 2 }, (_, i) => i + 2);
  return {
    value: arrange(im.g, x, [...positions, 1]),
    order: [ONE, rank - 1, ...positions.map((p) => p - 1)],
  };
}

function conv(im: Importer, node: OnnxNode): Live {
  const x = im.live(node.inputs[0]!);
  const w = im.constant(node.inputs[1]!);
  if (w === undefined) throw new RangeError('weights that are not constant');
  const dims = w.dims.length - 2;
  const same = (name: string, fallback: number): number => {
    const all = list(node, name) ?? [fallback];
    if (all.some((v) => v !== all[0])) throw new RangeError(`${name} [${all}] that differ`);
    return all[0]!;
  };
  if (whole(node, 'group', 1) !== 1 || same('dilations', 1) !== 1) throw new RangeError('groups or dilation');
  if (same('output_padding', 0) !== 0 || (node.attributes.auto_pad ?? 'NOTSET') !== 'NOTSET')
    throw new RangeError('padding by rule');
  const { value, order } = channelsLast(im, x);
  const weight = im.tensor(w, w.dims);
  const b = node.inputs[2];
  const bias = b === undefined || b === '' ? undefined : im.tensor(im.constant(b)!, im.constant(b)!.dims);
  const options = { stride: same('strides', 1), pad: same('pads', 0) };
  const { g } = im;
  if (node.op === 'ConvTranspose') {
    if (dims !== 1) throw new RangeError(`${dims} spatial dims`);
    return live(g.convTranspose1d(value, weight, bias, options), order);
  }
  if (dims === 1) return live(g.conv1d(value, weight, bias, options), order);
  if (dims === 2) return live(g.conv2d(value, weight, bias, options), order);
  throw new RangeError(`${dims} spatial dims`);
}

function reshapeTo(im: Importer, x: Live, dims: readonly number[]): Live {
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

function reshape(im: Importer, node: OnnxNode): Known {
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

function instanceNorm(im: Importer, node: OnnxNode): Known {
  const x = im.raw(node.inputs[0]!);
  const eps = whole(node, 'epsilon', 1e-5);
  const [scale, bias] = [im.constant(node.inputs[1]!), im.constant(node.inputs[2]!)];
  if (scale === undefined || bias === undefined) throw new RangeError('scales that are not constant');
  if (x.kind === 'grouped') {
    if (
      !Array.from(scale.numbers()).every((v) => v === 1) ||
      !Array.from(bias.numbers()).every((v) => v === 0)
    )
      throw new RangeError('a group norm with scales of its groups');
    return { ...x, eps };
  }
  const { value, order } = channelsLast(im, im.settle(x, node.inputs[0]!));
  const n = value.shape.at(-1)!;
  const [w, b] = [im.tensor(scale, [n]), im.tensor(bias, [n])];
  return live(im.g.groupNorm(value, w, b, n, eps), order);
}

function groupNorm(im: Importer, node: OnnxNode): Known {
  const { value, order } = channelsLast(im, im.live(node.inputs[0]!));
  const n = value.shape.at(-1)!;
  const groups = whole(node, 'num_groups', 1);
  // Until opset 21 a scale belongs to a group, from then on to a channel.
  const vector = (name: string): Value => {
    const c = im.constant(name);
    if (c === undefined) throw new RangeError('scales that are not constant');
    if (count(c.dims) === n) return im.tensor(c, [n]);
    const values = c.numbers();
    return im.g.constant(
      Float32Array.from({ length: n }, (_, i) => values[Math.floor((i * groups) / n)]!),
      [n],
    );
  };
  const eps = whole(node, 'epsilon', 1e-5);
  return live(im.g.groupNorm(value, vector(node.inputs[1]!), vector(node.inputs[2]!), groups, eps), order);
}

/** The value with ONNX's last axis as the graph's last. */
export function lastLast(im: Importer, x: Live): Live {
  const dims = dimsOf(x);
  if (x.order.at(-1) === x.value.shape.length - 1 && x.order.at(-1) !== 0) return x;
  const axes = dims.map((_, i) => i).filter((i) => dims[i] !== 1 || i === dims.length - 1);
  const order = dims.map((_, i) => (axes.includes(i) ? axes.indexOf(i) + 1 : ONE));
  return live(arrange(im.g, x, axes), order);
}

function layerNorm(im: Importer, node: OnnxNode): Known {
  const x = lastLast(im, im.live(node.inputs[0]!));
  const rank = x.order.length;
  if (axisOf(whole(node, 'axis', -1), rank) !== rank - 1)
    throw new RangeError('over more than the last axis');
  const n = x.value.shape.at(-1)!;
  const vector = (name: string | undefined): Value | undefined =>
    name === undefined || name === '' ? undefined : im.tensor(im.constant(name)!, [n]);
  const eps = whole(node, 'epsilon', 1e-5);
  const [weight, bias] = [vector(node.inputs[1]), vector(node.inputs[2])];
  return { kind: 'norm', norm: 'layer', x: x.value, order: x.order, groups: 1, eps, weight, bias };
}

function divide(im: Importer, node: OnnxNode): Known {
  const norm = layerNormOf(node, im);
  if (norm === undefined) return binary(im, node, 'div');
  const x = lastLast(im, im.live(norm.x));
  return { kind: 'norm', norm: 'layer', x: x.value, order: x.order, groups: 1, eps: norm.eps } satisfies Norm;
}

function gemm(im: Importer, node: OnnxNode): Live {
  const weight = im.constant(node.inputs[1]!);
  if (weight === undefined || whole(node, 'transA', 0) === 1 || whole(node, 'beta', 1) !== 1)
    throw new RangeError('a product that is no linear layer');
  const x = lastLast(im, im.live(node.inputs[0]!));
  const stored = im.tensor(weight, weight.dims);
  const w = whole(node, 'transB', 0) === 1 ? stored : im.g.permute(stored, [1, 0]);
  const c = node.inputs[2] === undefined || node.inputs[2] === '' ? undefined : im.constant(node.inputs[2]);
  const alpha = whole(node, 'alpha', 1);
  const scaled = alpha === 1 ? x.value : im.g.affine(x.value, alpha, 0);
  const n = w.shape[0]!;
  const bias = c !== undefined && count(c.dims) === n ? im.tensor(c, [n]) : undefined;
  if (node.inputs[2] && bias === undefined) throw new RangeError('a bias that is no constant vector');
  return live(im.g.linear(scaled, w, bias), x.order);
}

function reduce(name: ReduceName): Lowering {
  return (im, node) => {
    const x = im.live(node.inputs[0]!);
    const rank = x.order.length;
    const given = numbers(im, node, 1, 'axes') ?? x.order.map((_, i) => i);
    const axes = given.map((a) => axisOf(a, rank));
    let { value } = x;
    for (const axis of axes) {
      if (axis === 0) continue; // the batch, of one sample
      const at = x.order[axis]!;
      if (at !== ONE && value.shape[at] !== 1) value = im.g.reduce(name, value, at);
    }
    const keep = whole(node, 'keepdims', 1) === 1;
    return live(value, keep ? x.order : x.order.filter((_, i) => !axes.includes(i)));
  };
}

function concat(im: Importer, node: OnnxNode): Live {
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
function sliced(im: Importer, x: Live, axis: number, start: number, length: number): Live {
  const dims = dimsOf(x);
  if (start === 0 && length === dims[axis]) return x;
  if (length < 1 || x.order[axis] === ONE) throw new RangeError('an empty slice');
  return live(im.g.slice(x.value, x.order[axis]!, start, length), x.order);
}

function slice(im: Importer, node: OnnxNode): Live {
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

function split(im: Importer, node: OnnxNode): Live[] {
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

function gather(im: Importer, node: OnnxNode): Live {
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

function expanded(im: Importer, node: OnnxNode): Live {
  const x = im.live(node.inputs[0]!);
  const dims = broadcastDims(dimsOf(x), numbers(im, node, 1, 'shape')!);
  const from = [...Array<number>(dims.length - x.order.length).fill(1), ...dimsOf(x)];
  const order = [...Array<number>(dims.length - x.order.length).fill(ONE), ...x.order];
  if (dims.every((d, i) => d === from[i])) return live(x.value, order);
  const axes = dims.map((_, i) => i).filter((i) => dims[i] !== 1);
  const value = arrange(im.g, live(x.value, order), axes);
  return live(im.g.expand(value, [1, ...axes.map((i) => dims[i]!)]), plainOrder(dims));
}

function pool(im: Importer, node: OnnxNode): Live {
  const { value, order } = channelsLast(im, im.live(node.inputs[0]!));
  const [kernel, stride, pad] = ['kernel_shape', 'strides', 'pads'].map((name) => list(node, name) ?? []);
  const one = (values: readonly number[], fallback: number): number => {
    if (values.some((v) => v !== values[0])) throw new RangeError('windows that are not square');
    return values[0] ?? fallback;
  };
  if (kernel!.length !== 2 || whole(node, 'ceil_mode', 0) === 1) throw new RangeError('windows of this kind');
  return live(
    im.g.maxPool2d(value, { kernel: one(kernel!, 1), stride: one(stride!, 1), pad: one(pad!, 0) }),
    order,
  );
}

function power(im: Importer, node: OnnxNode): Live {
  const names: Record<string, UnaryName> = {
    '2': 'square',
    '0.5': 'sqrt',
    '-0.5': 'rsqrt',
    '-1': 'reciprocal',
  };
  const exponent = im.scalar(node.inputs[1]!);
  const x = im.live(node.inputs[0]!);
  if (exponent === 1) return x;
  if (exponent === 3) return live(im.g.mul(im.g.unary('square', x.value), x.value), x.order);
  const name = names[String(exponent)];
  if (name === undefined) throw new RangeError(`an exponent of ${exponent}`);
  return live(im.g.unary(name, x.value), x.order);
}

function clip(im: Importer, node: OnnxNode): Live {
  const x = im.live(node.inputs[0]!);
  let { value } = x;
  for (const [input, name] of [
    [1, 'maximum'],
    [2, 'minimum'],
  ] as const) {
    const bound = node.inputs[input] ? im.scalar(node.inputs[input]) : undefined;
    if (bound !== undefined) value = im.g.binary(name, value, im.g.constant([bound], [1]));
  }
  return live(value, x.order);
}

function softmax(im: Importer, node: OnnxNode): Known {
  const raw = im.raw(node.inputs[0]!);
  const axis = whole(node, 'axis', -1);
  if (raw.kind === 'scores') {
    const rank = dimsOf(raw.q).length;
    if (axisOf(axis, rank) !== rank - 1) throw new RangeError('an attention over its queries');
    return { ...raw, softmaxed: true };
  }
  const x = lastLast(im, im.settle(raw, node.inputs[0]!));
  if (axisOf(axis, x.order.length) !== x.order.length - 1) throw new RangeError('not over the last axis');
  return live(im.g.softmax(x.value), x.order);
}

function batchNorm(im: Importer, node: OnnxNode): Live {
  const { value, order } = channelsLast(im, im.live(node.inputs[0]!));
  const n = value.shape.at(-1)!;
  const [weight, bias, mean, variance] = node.inputs
    .slice(1)
    .map((name) => im.tensor(im.constant(name)!, [n]));
  return live(im.g.batchNorm(value, weight!, bias!, mean!, variance!, whole(node, 'epsilon', 1e-5)), order);
}

function reordered(change: (order: readonly number[], node: OnnxNode, im: Importer) => number[]): Lowering {
  return (im, node) => {
    const x = im.live(node.inputs[0]!);
    return live(x.value, change(x.order, node, im));
  };
}

const pass: Lowering = (im, node) => im.raw(node.inputs[0]!);

export const LOWERINGS: Readonly<Record<string, Lowering>> = {
  Identity: pass,
  Dropout: pass,
  Cast: pass,
  Add: elementwise('add'),
  Sub: elementwise('sub'),
  Mul: elementwise('mul'),
  Div: divide,
  Min: elementwise('minimum'),
  Max: elementwise('maximum'),
  Relu: unary('relu'),
  Tanh: unary('tanh'),
  Sigmoid: unary('sigmoid'),
  Elu: unary('elu'),
  Softplus: unary('softplus'),
  Mish: unary('mish'),
  Exp: unary('exp'),
  Log: unary('log'),
  Sin: unary('sin'),
  Cos: unary('cos'),
  Sqrt: unary('sqrt'),
  Abs: unary('abs'),
  Neg: unary('neg'),
  Erf: unary('erf'),
  Reciprocal: unary('reciprocal'),
  Gelu: (im, node) => unary(node.attributes.approximate === 'tanh' ? 'gelu_tanh' : 'gelu')(im, node),
  Pow: power,
  Clip: clip,
  Conv: conv,
  ConvTranspose: conv,
  Gemm: gemm,
  MatMul: multiply,
  InstanceNormalization: instanceNorm,
  GroupNormalization: groupNorm,
  LayerNormalization: layerNorm,
  BatchNormalization: batchNorm,
  Softmax: softmax,
  MaxPool: pool,
  GlobalAveragePool: (im, node) => {
    const axes = im
      .live(node.inputs[0]!)
      .order.map((_, i) => i)
      .slice(2);
    return reduce('mean')(im, { ...node, inputs: [node.inputs[0]!], attributes: { axes } });
  },
  ReduceMean: reduce('mean'),
  ReduceSum: reduce('sum'),
  ReduceMax: reduce('max'),
  ReduceMin: reduce('min'),
  Concat: concat,
  Slice: slice,
  Split: split,
  Gather: gather,
  Reshape: reshape,
  Flatten: (im, node) => {
    const x = im.live(node.inputs[0]!);
    if (whole(node, 'axis', 1) !== 1) throw new RangeError('behind another axis than the batch');
    return reshapeTo(im, x, [1, count(dimsOf(x))]);
  },
  Expand: expanded,
  Transpose: reordered((order, node) => {
    const perm = list(node, 'perm') ?? order.map((_, i) => i).reverse();
    return perm.map((p) => order[p]!);
  }),
  Unsqueeze: reordered((order, node, im) => {
    const marks = unsqueezedDims(
      order.map((_, i) => i + 2),
      numbers(im, node, 1, 'axes')!,
    );
    return marks.map((m) => (m === 1 ? ONE : order[m - 2]!));
  }),
  Squeeze: (im, node) => {
    const x = im.live(node.inputs[0]!);
    const dims = dimsOf(x);
    const kept = squeezedDims(
      dims.map((d, i) => (d === 1 ? 1 : i + 2)),
      numbers(im, node, 1, 'axes'),
    );
    return reshapeTo(
      im,
      x,
      kept.map((m) => (m === 1 ? 1 : dims[m - 2]!)),
    );
  },
  Shape: (im, node) => {
    const dims = dimsOf(im.live(node.inputs[0]!));
    const start = axisOf(whole(node, 'start', 0), dims.length);
    const end = axisOf(whole(node, 'end', dims.length), dims.length);
    return constant([end - start], dims.slice(start, end), true);
  },
};
