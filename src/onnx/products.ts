// Products and windows: convolutions, linear layers, pooling.

import type { OnnxNode } from '../weights/index.js';
import { count } from './constants.js';
import type { Context } from './known.js';
import { channelsLast, lastLast, list, whole } from './node.js';
import { type Live, live } from './value.js';

export function conv(im: Context, node: OnnxNode): Live {
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

export function gemm(im: Context, node: OnnxNode): Live {
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

export function pool(im: Context, node: OnnxNode): Live {
  const { value, order } = channelsLast(im, im.live(node.inputs[0]!));
  const [kernel, stride, pad] = ['kernel_shape', 'strides', 'pads'].map((name) => list(node, name) ?? []);
  const one = (values: readonly number[], fallback: number): number => {
    if (values.some((v) => v !== values[0])) throw new RangeError('windows that are not square');
    return values[0] ?? fallback;
  };
  const spread = list(node, 'dilations') ?? [];
  if (spread.some((d) => d !== 1)) throw new RangeError('taps that are spread');
  if (!['NOTSET', undefined].includes(node.attributes.auto_pad as string | undefined))
    throw new RangeError(`auto_pad ${node.attributes.auto_pad}`);
  if (kernel!.length !== 2 || whole(node, 'ceil_mode', 0) === 1) throw new RangeError('windows of this kind');
  return live(
    im.g.maxPool2d(value, { kernel: one(kernel!, 1), stride: one(stride!, 1), pad: one(pad!, 0) }),
    order,
  );
}
