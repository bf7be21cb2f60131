// Derivatives as more of the graph: given a cotangent of a value, the rules below write the vector–Jacobian product back
// to an input out of the same ops, so that it is compiled, staged and fused like everything else (reverse-mode
// differentiation, one rule per op; layouts as in graph.ts).

import { TendonError } from '../types/index.js';
import type { GraphBuilder, RecordedNode, Value } from './graph.js';

/** What a rule sees: the node, its inputs and output, and the cotangent of its output. */
interface Site {
  readonly g: GraphBuilder;
  readonly node: RecordedNode;
  readonly x: readonly Value[];
  readonly y: Value;
  readonly dy: Value;
  /** Whether input i depends on what is differentiated by. */
  readonly needs: (i: number) => boolean;
}
/** Cotangents of the inputs; undefined where none is needed. */
type Rule = (site: Site) => (Value | undefined)[];

/** Jᵀ·cotangent, J = ∂of/∂by. Throws `unsupported` for an op without a rule. */
export function vectorJacobian(g: GraphBuilder, of: Value, by: Value, cotangent: Value): Value {
  const nodes = g.nodes.slice(0, of.id + 1);
  const depends = nodes.map(() => false);
  depends[by.id] = true;
  nodes.forEach((node, id) => {
    if (node.inputs.some((i) => depends[i])) depends[id] = true;
  });
  const value = (id: number): Value => ({ id, shape: nodes[id]!.shape });
  const found = new Map<number, Value>([[of.id, cotangent]]);
  for (let id = of.id; id > by.id; id--) {
    const dy = found.get(id);
    const node = nodes[id]!;
    if (dy === undefined || !depends[id]) continue;
    const rule = Object.hasOwn(RULES, node.op) ? RULES[node.op] : undefined;
    if (rule === undefined)
      throw new TendonError(
        'unsupported',
        `the op ${node.op} has no derivative here; guidance without one has none of its needs`,
        {
          op: node.op,
        },
      );
    const x = node.inputs.map(value);
    const needs = (i: number): boolean => depends[node.inputs[i]!] === true;
    rule({ g, node, x, y: value(id), dy, needs }).forEach((dx, i) => {
      if (dx === undefined || !needs(i)) return;
      const to = node.inputs[i]!;
      const folded = unbroadcast(g, dx, x[i]!.shape);
      const before = found.get(to);
      found.set(to, before === undefined ? folded : g.add(before, folded));
    });
  }
  const result = found.get(by.id);
  if (result === undefined)
    throw new TendonError(
      'graph_invalid',
      'what is differentiated does not depend on what it is differentiated by',
    );
  return result;
}

/** Sums over the axes along which a value of `shape` had been repeated; the batch is never one. */
function unbroadcast(g: GraphBuilder, value: Value, shape: readonly number[]): Value {
  let out = value;
  shape.forEach((n, axis) => {
    if (axis > 0 && n === 1 && out.shape[axis] !== 1) out = g.reduce('sum', out, axis);
  });
  return out;
}

const scalar = (g: GraphBuilder, value: number): Value => g.constant([value], [1]);
const attribute = (node: RecordedNode, name: string, fallback: number): number =>
  (node.attributes[name] as number | undefined) ?? fallback;
/** 1 where v > 0. */
const positive = (g: GraphBuilder, v: Value): Value =>
  g.binary('minimum', g.binary('maximum', g.affine(v, 1e30, 0), scalar(g, 0)), scalar(g, 1));

/** f′ of each function of one argument, from x and y = f(x). */
const SLOPES: Readonly<Record<string, (g: GraphBuilder, x: Value, y: Value) => Value>> = {
  relu: (g, x) => positive(g, x),
  abs: (g, x) => g.affine(positive(g, x), 2, -1),
  neg: (g, x) => g.affine(x, 0, -1),
  square: (g, x) => g.affine(x, 2, 0),
  exp: (_, __, y) => y,
  log: (g, x) => g.unary('reciprocal', x),
  sin: (g, x) => g.unary('cos', x),
  cos: (g, x) => g.unary('neg', g.unary('sin', x)),
  sqrt: (g, _, y) => g.affine(g.unary('reciprocal', y), 0.5, 0),
  rsqrt: (g, _, y) => g.affine(g.mul(y, g.unary('square', y)), -0.5, 0),
  reciprocal: (g, _, y) => g.unary('neg', g.unary('square', y)),
  tanh: (g, _, y) => g.affine(g.unary('square', y), -1, 1),
  sigmoid: (g, _, y) => g.mul(y, g.affine(y, -1, 1)),
  softplus: (g, x) => g.unary('sigmoid', x),
  elu: (g, x) => g.binary('minimum', g.unary('exp', x), scalar(g, 1)),
  erf: (g, x) => g.affine(g.unary('exp', g.unary('neg', g.unary('square', x))), 2 / Math.sqrt(Math.PI), 0),
  silu(g, x, y) {
    const s = g.unary('sigmoid', x);
    return g.add(s, g.mul(y, g.affine(s, -1, 1)));
  },
  mish(g, x) {
    const t = g.unary('tanh', g.unary('softplus', x));
    return g.add(t, g.mul(g.mul(x, g.unary('sigmoid', x)), g.affine(g.unary('square', t), -1, 1)));
  },
  gelu(g, x) {
    const cdf = g.affine(g.unary('erf', g.affine(x, Math.SQRT1_2, 0)), 0.5, 0.5);
    const pdf = g.affine(
      g.unary('exp', g.affine(g.unary('square', x), -0.5, 0)),
      1 / Math.sqrt(2 * Math.PI),
      0,
    );
    return g.add(cdf, g.mul(x, pdf));
  },
};

/** dx of (x − mean)/deviation over the last axis, from dy, the normalised x̂ and 1/deviation. */
function normalisedSlope(g: GraphBuilder, dy: Value, normed: Value, rate: Value): Value {
  const mean = g.reduce('mean', dy);
  const along = g.reduce('mean', g.mul(dy, normed));
  return g.mul(g.binary('sub', g.binary('sub', dy, mean), g.mul(normed, along)), rate);
}

const rateOf = (g: GraphBuilder, x: Value, eps: number): Value =>
  g.unary('rsqrt', g.affine(g.reduce('variance', x), 1, eps));
const transposed = (g: GraphBuilder, v: Value): Value => g.permute(v, [0, 2, 1]);
/** dx of a softmax over the last axis. */
const softmaxSlope = (g: GraphBuilder, y: Value, dy: Value): Value =>
  g.mul(y, g.binary('sub', dy, g.reduce('sum', g.mul(dy, y))));

const RULES: Readonly<Record<string, Rule>> = {
  ...Object.fromEntries(
    Object.entries(SLOPES).map(([name, slope]): [string, Rule] => [
      name,
      ({ g, x, y, dy }) => [g.mul(dy, slope(g, x[0]!, y))],
    ]),
  ),
  add: ({ dy }) => [dy, dy],
  sub: ({ g, dy }) => [dy, g.unary('neg', dy)],
  mul: ({ g, x, dy, needs }) => [
    needs(0) ? g.mul(dy, x[1]!) : undefined,
    needs(1) ? g.mul(dy, x[0]!) : undefined,
  ],
  div: ({ g, x, y, dy, needs }) => [
    g.binary('div', dy, x[1]!),
    needs(1) ? g.unary('neg', g.binary('div', g.mul(dy, y), x[1]!)) : undefined,
  ],
  affine: ({ g, node, dy }) => [g.affine(dy, attribute(node, 'mul', 1), 0)],
  linear: ({ g, x, dy }) => [g.linear(dy, g.permute(x[1]!, [1, 0]))],
  conv1d: ({ g, node, x, dy }) => {
    // Every position that a window saw, the padding before the first included.
    const seen = g.convTranspose1d(dy, x[1]!, undefined, { stride: attribute(node, 'stride', 1), pad: 0 });
    const [, length, channels] = x[0]!.shape as [number, number, number];
    const pad = attribute(node, 'pad', 0);
    const kept = Math.min(length, seen.shape[1]! - pad);
    const back = g.slice(seen, 1, pad, kept);
    if (kept === length) return [back];
    const unseen = g.constant(new Float32Array((length - kept) * channels), [1, length - kept, channels]);
    return [g.concat([back, unseen], 1)];
  },
  conv_transpose1d: ({ g, node, x, dy }) => [
    g.conv1d(dy, x[1]!, undefined, { stride: attribute(node, 'stride', 1), pad: attribute(node, 'pad', 0) }),
  ],
  layer_norm({ g, node, x, dy }) {
    const eps = attribute(node, 'eps', 1e-5);
    const scaled = x[1] === undefined ? dy : g.mul(dy, x[1]);
    return [normalisedSlope(g, scaled, g.layerNorm(x[0]!, undefined, undefined, eps), rateOf(g, x[0]!, eps))];
  },
  group_norm({ g, node, x, dy }) {
    const eps = attribute(node, 'eps', 1e-5);
    const groups = attribute(node, 'groups', 1);
    const [batch, length, channels] = x[0]!.shape as [number, number, number];
    if (x[0]!.shape.length !== 3)
      throw new TendonError('unsupported', 'group_norm of images has no derivative here', {
        op: 'group_norm',
      });
    const width = channels / groups;
    const gather = (v: Value): Value =>
      g.reshape(g.permute(g.reshape(v, [batch, length, groups, width]), [0, 2, 1, 3]), [
        batch,
        groups,
        length * width,
      ]);
    const rows = gather(x[0]!);
    const slope = normalisedSlope(
      g,
      gather(g.mul(dy, x[1]!)),
      g.layerNorm(rows, undefined, undefined, eps),
      rateOf(g, rows, eps),
    );
    const back = g.permute(g.reshape(slope, [batch, groups, length, width]), [0, 2, 1, 3]);
    return [g.reshape(back, [batch, length, channels])];
  },
  softmax: ({ g, y, dy }) => [softmaxSlope(g, y, dy)],
  attention({ g, node, x, dy, needs }) {
    const [q, k, v, mask] = x as [Value, Value, Value, Value?];
    const heads = attribute(node, 'heads', 1);
    const d = q.shape[2]! / heads;
    const scale = attribute(node, 'scale', 0) || 1 / Math.sqrt(d);
    const parts: [Value[], Value[], Value[]] = [[], [], []];
    for (let h = 0; h < heads; h++) {
      const head = (of: Value): Value => g.slice(of, 2, h * d, d);
      const scores = g.affine(g.matmul(head(q), transposed(g, head(k))), scale, 0);
      const shown = mask === undefined ? scores : g.add(scores, g.reshape(mask, [1, ...mask.shape]));
      const shares = g.softmax(shown);
      const back = g.affine(softmaxSlope(g, shares, g.matmul(head(dy), transposed(g, head(v)))), scale, 0);
      if (needs(0)) parts[0].push(g.matmul(back, head(k)));
      if (needs(1)) parts[1].push(g.matmul(transposed(g, back), head(q)));
      if (needs(2)) parts[2].push(g.matmul(transposed(g, shares), head(dy)));
    }
    return parts.map((of) => (of.length > 0 ? g.concat(of) : undefined));
  },
  matmul: ({ g, x, dy, needs }) => [
    needs(0) ? g.matmul(dy, transposed(g, x[1]!)) : undefined,
    needs(1) ? g.matmul(transposed(g, x[0]!), dy) : undefined,
  ],
  sum: ({ g, x, dy }) => [g.expand(dy, x[0]!.shape)],
  mean: ({ g, node, x, dy }) => {
    const axis = (attribute(node, 'axis', -1) + x[0]!.shape.length) % x[0]!.shape.length;
    return [g.affine(g.expand(dy, x[0]!.shape), 1 / x[0]!.shape[axis]!, 0)];
  },
  concat({ g, node, x, dy }) {
    const axis = (attribute(node, 'axis', -1) + dy.shape.length) % dy.shape.length;
    let at = 0;
    return x.map((piece) => {
      const length = piece.shape[axis]!;
      at += length;
      return g.slice(dy, axis, at - length, length);
    });
  },
  slice({ g, node, x, dy }) {
    const shape = x[0]!.shape;
    const axis = (attribute(node, 'axis', 0) + shape.length) % shape.length;
    const start = attribute(node, 'start', 0);
    const zeros = (length: number): Value[] => {
      if (length === 0) return [];
      const dims = shape.map((n, i) => (i === 0 ? 1 : i === axis ? length : n));
      return [g.constant(new Float32Array(dims.reduce((a, b) => a * b, 1)), dims)];
    };
    const after = shape[axis]! - start - dy.shape[axis]!;
    return [g.concat([...zeros(start), dy, ...zeros(after)], axis)];
  },
  reshape: ({ g, x, dy }) => [g.reshape(dy, x[0]!.shape)],
  permute({ g, node, dy }) {
    const perm = node.attributes.perm as readonly number[];
    return [
      g.permute(
        dy,
        perm.map((_, axis) => perm.indexOf(axis)),
      ),
    ];
  },
  expand: ({ dy }) => [dy],
};
