// Norms and softmax, and the shapes around InstanceNormalization by which a group norm is exported before opset 18.

import type { Value } from '../native/index.js';
import type { OnnxNode } from '../weights/index.js';
import { count } from './constants.js';
import { binary } from './elementwise.js';
import type { Context, Known, Norm } from './known.js';
import { axisOf, channelsLast, lastLast, whole } from './node.js';
import { layerNormOf } from './patterns.js';
import { dimsOf, type Live, live } from './value.js';

export function instanceNorm(im: Context, node: OnnxNode): Known {
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

export function groupNorm(im: Context, node: OnnxNode): Known {
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

export function layerNorm(im: Context, node: OnnxNode): Known {
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

export function divide(im: Context, node: OnnxNode): Known {
  const norm = layerNormOf(node, im);
  if (norm === undefined) return binary(im, node, 'div');
  const x = lastLast(im, im.live(norm.x));
  return { kind: 'norm', norm: 'layer', x: x.value, order: x.order, groups: 1, eps: norm.eps } satisfies Norm;
}

export function softmax(im: Context, node: OnnxNode): Known {
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

export function batchNorm(im: Context, node: OnnxNode): Live {
  const { value, order } = channelsLast(im, im.live(node.inputs[0]!));
  const n = value.shape.at(-1)!;
  const [weight, bias, mean, variance] = node.inputs
    .slice(1)
    .map((name) => im.tensor(im.constant(name)!, [n]));
  return live(im.g.batchNorm(value, weight!, bias!, mean!, variance!, whole(node, 'epsilon', 1e-5)), order);
}
