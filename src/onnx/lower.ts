// The ops, each as what the graph builder calls it. Values keep the axes they have (value.ts); an op asks only for the
// arrangement it cannot do without.

import type { BinaryName, ReduceName, UnaryName } from '../native/index.js';
import type { OnnxNode } from '../weights/index.js';
import { multiply } from './attention.js';
import { constant, count, squeezedDims, unsqueezedDims } from './constants.js';
import { binary } from './elementwise.js';
import type { Context } from './known.js';
import { concat, expanded, gather, reordered, reshape, reshapeTo, slice, split } from './moves.js';
import { axisOf, type Lowering, list, numbers, whole } from './node.js';
import { batchNorm, divide, groupNorm, instanceNorm, layerNorm, softmax } from './norms.js';
import { conv, gemm, pool } from './products.js';
import { dimsOf, type Live, live, ONE } from './value.js';

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

function power(im: Context, node: OnnxNode): Live {
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

function clip(im: Context, node: OnnxNode): Live {
  const x = im.live(node.inputs[0]!);
  let { value } = x;
  for (const [input, name] of [
    [1, 'maximum'],
    [2, 'minimum'],
  ] as const) {
    if (!node.inputs[input]) continue;
    const bound = im.scalar(node.inputs[input]);
    if (bound === undefined) throw new RangeError('a bound that is computed');
    value = im.g.binary(name, value, im.g.constant([bound], [1]));
  }
  return live(value, x.order);
}

const pass: Lowering = (im, node) => im.raw(node.inputs[0]!);

export const LOWERINGS: Readonly<Record<string, Lowering>> = {
  Identity: pass,
  Dropout: pass,
  Cast: (im, node) => {
    const known = im.raw(node.inputs[0]!);
    // FLOAT, FLOAT16, DOUBLE, BFLOAT16; to any other type numbers would be cut.
    if (known.kind === 'live' && ![1, 10, 11, 16].includes(whole(node, 'to', 1)))
      throw new RangeError('a computed value cut to whole numbers');
    return known;
  },
  Add: elementwise('add'),
  Sub: elementwise('sub'),
  Mul: elementwise('mul'),
  Div: divide,
  Min: elementwise('minimum'),
  Max: elementwise('maximum'),
  Relu: unary('relu'),
  Tanh: unary('tanh'),
  Sigmoid: unary('sigmoid'),
  Elu: (im, node) => {
    if ((node.attributes.alpha ?? 1) !== 1) throw new RangeError(`an alpha of ${node.attributes.alpha}`);
    return unary('elu')(im, node);
  },
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
