// Two operands, element by element: in the arrangement of the larger one, constants brought into it beforehand.

import type { BinaryName, Value } from '../native/index.js';
import type { OnnxNode } from '../weights/index.js';
import { isVector, settleScores } from './attention.js';
import { broadcastDims, type Constant, count, transpose } from './constants.js';
import type { Context, Known } from './known.js';
import { activationOf } from './patterns.js';
import { arrange, dimsOf, type Live, live, ONE } from './value.js';

export function binary(im: Context, node: OnnxNode, name: BinaryName): Known {
  if (node.inputs.length === 1) return im.raw(node.inputs[0]!);
  if (node.inputs.length > 2) throw new RangeError(`${node.inputs.length} operands`);
  const activation = name === 'mul' ? activationOf(node, im) : undefined;
  if (activation !== undefined) {
    const x = im.live(activation.x);
    return live(im.g.unary(activation.name, x.value), x.order);
  }
  const [a, b] = node.inputs.map((input) => im.raw(input)) as [Known, Known];
  if (b.kind === 'constant') return withConstant(im, name, a, b, false, node.inputs[0]!);
  if (a.kind === 'constant') return withConstant(im, name, b, a, true, node.inputs[1]!);
  return together(im, name, settled(im, a, node.inputs[0]!), settled(im, b, node.inputs[1]!));
}

const settled = (im: Context, x: Known, name: string): Live =>
  x.kind === 'scores' && !x.softmaxed ? settleScores(im, x) : im.settle(x, name);

/** `swapped`: the constant comes first. */
function withConstant(
  im: Context,
  name: BinaryName,
  x: Known,
  c: Constant,
  swapped: boolean,
  label: string,
): Known {
  const one = count(c.dims) === 1 ? c.numbers()[0]! : undefined;
  if (x.kind === 'scores' && !x.softmaxed) {
    if (name === 'mul' && one !== undefined) return { ...x, scale: x.scale * one };
    if (name === 'div' && one !== undefined && !swapped) return { ...x, scale: x.scale / one };
    if (name === 'add' && x.mask === undefined) return { ...x, mask: c };
  }
  if (x.kind === 'norm') {
    const n = x.x.shape.at(-1)!;
    const channel = x.order.indexOf(x.x.shape.length - 1);
    if (isVector(c, x.order.length, channel, n) && x.bias === undefined) {
      if (name === 'mul' && x.weight === undefined) return { ...x, weight: im.tensor(c, [n]) };
      if (name === 'add') return { ...x, bias: im.tensor(c, [n]) };
    }
  }
  const v = settled(im, x, label);
  const { g } = im;
  if (one !== undefined && c.dims.length <= v.order.length) {
    const scalar: Partial<Record<BinaryName, () => Value>> = {
      add: () => g.affine(v.value, 1, one),
      mul: () => g.affine(v.value, one, 0),
      sub: () => (swapped ? g.affine(v.value, -1, one) : g.affine(v.value, 1, -one)),
      div: () => (swapped ? g.affine(g.unary('reciprocal', v.value), one, 0) : g.affine(v.value, 1 / one, 0)),
    };
    const value = scalar[name]?.() ?? g.binary(name, v.value, g.constant([one], [1]));
    return live(value, v.order);
  }
  const dims = dimsOf(v);
  const out = broadcastDims(dims, c.dims);
  if (out.length !== dims.length || out.some((d, i) => d !== dims[i])) {
    const other = im.settle(c, label);
    return swapped ? together(im, name, other, v) : together(im, name, v, other);
  }
  const last = v.value.shape.length - 1;
  const n = v.value.shape[last]!;
  if (isVector(c, dims.length, v.order.indexOf(last), n) && v.order.includes(last)) {
    const vector = im.tensor(c, [n]);
    const product = im.products.get(v.value.id);
    // The bias that an exporter added behind a product.
    if (name === 'add' && product !== undefined)
      return live(g.linear(product.x, product.weight, vector), v.order);
    return live(swapped ? g.binary(name, vector, v.value) : g.binary(name, v.value, vector), v.order);
  }
  const arranged = im.tensor(...arrangedConstant(c, v));
  return live(swapped ? g.binary(name, arranged, v.value) : g.binary(name, v.value, arranged), v.order);
}

/** The constant with its axes where `x` has them, and its shape there. */
function arrangedConstant(c: Constant, x: Live): [Constant, number[]] {
  const shift = x.order.length - c.dims.length;
  const padded: Constant = { ...c, dims: [...Array<number>(shift).fill(1), ...c.dims] };
  const axes = x.value.shape.map((_, a) => (a === 0 ? -1 : x.order.indexOf(a))).slice(1);
  const used = axes.filter((i) => i >= 0);
  const rest = x.order.map((_, i) => i).filter((i) => !used.includes(i));
  const perm = [...rest, ...used];
  const moved = perm.every((p, i) => p === i) ? padded : transpose(padded, perm);
  return [moved, [1, ...axes.map((i) => (i < 0 ? 1 : padded.dims[i]!))]];
}

function together(im: Context, name: BinaryName, a: Live, b: Live): Live {
  const [da, db] = [dimsOf(a), dimsOf(b)];
  const out = broadcastDims(da, db);
  const covers = (d: readonly number[]): boolean =>
    d.length === out.length && d.every((v, i) => v === out[i]);
  if (covers(da)) return live(im.g.binary(name, a.value, aligned(im, b, a)), a.order);
  if (covers(db)) return live(im.g.binary(name, aligned(im, a, b), b.value), b.order);
  return together(im, name, widened(im, a, out), b);
}

/** `x` repeated to the dims `out`, of which it has the last; the first is the batch. */
function widened(im: Context, x: Live, out: readonly number[]): Live {
  const dims = dimsOf(x);
  const shift = out.length - dims.length;
  const axes = dims.map((_, i) => i).filter((i) => i + shift > 0);
  const value = arrange(im.g, x, axes);
  const shape = out.map((_, i) => (i === 0 ? 1 : (dims[i - shift] ?? 1)));
  const wide = im.g.expand(im.g.reshape(value, shape), [1, ...out.slice(1)]);
  return live(
    wide,
    out.map((_, i) => (i === 0 ? ONE : i)),
  );
}

/** `x` with its axes where `like` has them, 1 where it has none. */
function aligned(im: Context, x: Live, like: Live): Value {
  const dims = dimsOf(x);
  const shift = like.order.length - x.order.length;
  const axes = like.value.shape
    .map((_, a) => (a === 0 ? -1 : like.order.indexOf(a) - shift))
    .slice(1)
    .map((i) => (i >= 0 && i < dims.length ? i : -1));
  const present = axes.filter((i) => i >= 0 && dims[i] !== 1);
  const value = arrange(im.g, x, present);
  const shape = [1, ...axes.map((i) => (i < 0 ? 1 : dims[i]!))];
  const same = value.shape.length === shape.length && shape.every((d, i) => d === value.shape[i]);
  return same ? value : im.g.reshape(value, shape);
}
