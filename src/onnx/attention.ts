// Products of two computed values are attention, taken apart by the exporter: q·kᵀ, a scale, a mask, softmax, ·v. Products
// with weights are linear layers.

import type { OnnxNode } from '../weights/index.js';
import { type Constant, count } from './constants.js';
import type { Context, Known, Scores } from './known.js';
import { lastLast } from './node.js';
import { arrange, dimsOf, type Live, live, ONE } from './value.js';

export function multiply(im: Context, node: OnnxNode): Known {
  const [a, b] = node.inputs.map((name) => im.raw(name)) as [Known, Known];
  if (b.kind === 'constant') return linear(im, im.settle(a, node.inputs[0]!), b);
  if (a.kind === 'scores' && a.softmaxed) return attend(im, a, im.settle(b, node.inputs[1]!));
  if (a.kind === 'constant') throw new RangeError('a constant times a computed value');
  const [q, k] = [im.settle(a, node.inputs[0]!), im.settle(b, node.inputs[1]!)];
  return { kind: 'scores', q, k, scale: 1, mask: undefined, softmaxed: false };
}

function linear(im: Context, given: Live, w: Constant): Live {
  if (w.dims.length !== 2) throw new RangeError(`weights of ${w.dims.length} dims`);
  const x = lastLast(im, given);
  const weight = im.g.permute(im.tensor(w, w.dims), [1, 0]);
  const value = im.g.linear(x.value, weight);
  im.products.set(value.id, { x: x.value, weight });
  return live(value, x.order);
}

/** The axis of the heads: the one before the last two that is longer than 1, if any. */
function headAxis(x: Live): number | undefined {
  const leading = dimsOf(x)
    .slice(0, -2)
    .map((d, i) => ({ d, i }))
    .filter(({ d }) => d !== 1);
  if (leading.length > 1) throw new RangeError('a product over more than heads');
  return leading[0]?.i;
}

/** softmax(q·kᵀ·scale + mask)·v with q (…, h, queries, d), k (…, h, d, keys), v (…, h, keys, d). */
export function attend(im: Context, { q, k, scale, mask }: Scores, v: Live): Live {
  const { g } = im;
  const rank = dimsOf(q).length;
  const head = headAxis(q);
  const heads = head === undefined ? 1 : dimsOf(q)[head]!;
  const packed = (x: Live, time: number, width: number) => {
    const own = headAxis(x);
    const [t, d] = [dimsOf(x)[time]!, dimsOf(x)[width]!];
    return g.reshape(arrange(g, x, own === undefined ? [time, width] : [time, own, width]), [
      1,
      t,
      heads * d,
    ]);
  };
  const queries = packed(q, rank - 2, rank - 1);
  const keys = packed(k, rank - 1, rank - 2);
  const values = packed(v, rank - 2, rank - 1);
  const [m, n] = [queries.shape[1]!, keys.shape[1]!];
  if (mask !== undefined && count(mask.dims) !== m * n) throw new RangeError('a mask that differs by head');
  const hidden = mask === undefined ? undefined : g.constant(Float32Array.from(mask.numbers()), [m, n]);
  const out = g.attention(queries, keys, values, heads, hidden, scale);
  const order = dimsOf(q).map(() => ONE);
  if (head === undefined) {
    order[rank - 2] = 1;
    order[rank - 1] = 2;
    return live(out, order);
  }
  order[rank - 2] = 1;
  order[head] = 2;
  order[rank - 1] = 3;
  return live(g.reshape(out, [1, m, heads, out.shape[2]! / heads]), order);
}

/** A product that was no attention after all. */
export function settleScores(im: Context, { q, k, scale }: Scores): Live {
  const rank = dimsOf(q).length;
  if (headAxis(q) !== undefined || headAxis(k) !== undefined)
    throw new RangeError('a product of two computed values with heads, outside attention');
  const product = im.g.matmul(arrange(im.g, q, [rank - 2, rank - 1]), arrange(im.g, k, [rank - 2, rank - 1]));
  const order = dimsOf(q).map((_, i) => (i === rank - 2 ? 1 : i === rank - 1 ? 2 : ONE));
  return live(scale === 1 ? product : im.g.affine(product, scale, 0), order);
}

/** A constant whose only axis longer than 1 is `axis` of `rank` axes, of length n. */
export function isVector(c: Constant, rank: number, axis: number, n: number): boolean {
  const shift = rank - c.dims.length;
  return count(c.dims) === n && (n === 1 || c.dims[axis - shift] === n);
}
