// What an ONNX graph computes from shapes and weights alone, computed here: exporters spell shapes out as little programs
// (Shape, Gather, Concat …) that are constant once the input's shape is known.

import type { TensorRef } from '../native/index.js';
import type { OnnxNode, OnnxTensor } from '../weights/index.js';

/** A known tensor. Weights keep their place in the file until somebody needs their numbers. */
export interface Constant {
  readonly kind: 'constant';
  readonly dims: readonly number[];
  readonly ref: TensorRef | undefined;
  /** Of whole numbers, which divide without a rest. */
  readonly whole: boolean;
  numbers(): ArrayLike<number>;
}

export const count = (dims: readonly number[]): number => dims.reduce((n, d) => n * d, 1);

export function constant(dims: readonly number[], values: ArrayLike<number>, whole = false): Constant {
  return { kind: 'constant', dims, ref: undefined, whole, numbers: () => values };
}

export function fromTensor(tensor: OnnxTensor): Constant {
  return {
    kind: 'constant',
    dims: tensor.dims,
    ref: tensor.ref,
    whole: tensor.whole,
    numbers: () => tensor.numbers(),
  };
}

/** More elements than any shape arithmetic; larger constants are folded by the core. */
const MAX_FOLDED = 1 << 24;

/** Row-major strides. */
function strides(dims: readonly number[]): number[] {
  const out = Array<number>(dims.length).fill(1);
  for (let i = dims.length - 2; i >= 0; i--) out[i] = out[i + 1]! * dims[i + 1]!;
  return out;
}

/** Reads `dims` from a tensor by strides of its own, 0 where it repeats. */
function strided(x: Constant, dims: readonly number[], step: readonly number[], start = 0): Constant {
  const from = x.numbers();
  const total = count(dims);
  if (total > MAX_FOLDED) throw new RangeError(`a constant of ${total} elements`);
  const out = new Float64Array(total);
  const index = Array<number>(dims.length).fill(0);
  let at = start;
  for (let i = 0; i < total; i++) {
    out[i] = from[at]!;
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      index[axis]!++;
      at += step[axis]!;
      if (index[axis]! < dims[axis]!) break;
      at -= step[axis]! * dims[axis]!;
      index[axis] = 0;
    }
  }
  return constant(dims, out, x.whole);
}

export function transpose(x: Constant, perm: readonly number[]): Constant {
  const step = strides(x.dims);
  return strided(
    x,
    perm.map((p) => x.dims[p]!),
    perm.map((p) => step[p]!),
  );
}

/** As numpy broadcasts. */
export function expand(x: Constant, dims: readonly number[]): Constant {
  const shift = dims.length - x.dims.length;
  const own = strides(x.dims);
  return strided(
    x,
    dims,
    dims.map((_, i) => (i < shift || x.dims[i - shift] === 1 ? 0 : own[i - shift]!)),
  );
}

export function broadcastDims(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a[i - rank + a.length] ?? 1;
    const y = b[i - rank + b.length] ?? 1;
    if (x !== y && x !== 1 && y !== 1) throw new RangeError(`[${a}] and [${b}] do not broadcast`);
    return x === 1 ? y : x;
  });
}

/** ONNX Reshape's target: 0 keeps a dim, one −1 is filled in. */
export function reshapedDims(
  from: readonly number[],
  target: ArrayLike<number>,
  allowZero: boolean,
): number[] {
  const dims = Array.from(target, (d, i) => (d === 0 && !allowZero ? (from[i] ?? 0) : d));
  const known = dims.reduce((n, d) => (d === -1 ? n : n * d), 1);
  const filled = dims.map((d) => (d === -1 ? count(from) / known : d));
  if (count(filled) !== count(from) || filled.some((d) => !Number.isInteger(d) || d < 0))
    throw new RangeError(`[${from}] cannot be reshaped to [${Array.from(target)}]`);
  return filled;
}

/** One axis of a Slice: start, end and step in ONNX's terms, negative ones counting from the end. */
export function sliceRange(
  length: number,
  start: number,
  end: number,
  step: number,
): { start: number; length: number } {
  if (step !== 1) throw new RangeError(`slices of step ${step}`);
  const clamp = (v: number): number => Math.min(length, Math.max(0, v < 0 ? v + length : v));
  return { start: clamp(start), length: Math.max(0, clamp(end) - clamp(start)) };
}

export function slice(x: Constant, axis: number, start: number, length: number): Constant {
  const step = strides(x.dims);
  const dims = x.dims.map((d, i) => (i === axis ? length : d));
  return strided(x, dims, step, start * step[axis]!);
}

type Fold = (inputs: readonly Constant[], node: OnnxNode) => Constant;

const elementwise =
  (f: (...x: number[]) => number, keepsWhole = true): Fold =>
  (inputs) => {
    const dims = inputs.map((i) => i.dims).reduce(broadcastDims);
    const operands = inputs.map((i) => expand(i, dims).numbers());
    const out = new Float64Array(count(dims));
    const whole = keepsWhole && inputs.every((x) => x.whole);
    for (let i = 0; i < out.length; i++) out[i] = f(...operands.map((o) => o[i]!));
    return constant(dims, out, whole);
  };

const int = (node: OnnxNode, name: string, fallback: number): number =>
  typeof node.attributes[name] === 'number' ? (node.attributes[name] as number) : fallback;
const reshape = (x: Constant, dims: readonly number[]): Constant => ({
  ...x,
  dims,
  ...(x.ref === undefined ? {} : { ref: { ...x.ref, shape: dims } }),
});

const divide: Fold = (inputs, node) =>
  elementwise(inputs.every((x) => x.whole) ? (a, b) => Math.trunc(a / b!) : (a, b) => a / b!)(inputs, node);

export const FOLDS: Readonly<Record<string, Fold>> = {
  Identity: ([x]) => x!,
  Add: elementwise((a, b) => a + b!),
  Sub: elementwise((a, b) => a - b!),
  Mul: elementwise((a, b) => a * b!),
  Div: divide,
  Neg: elementwise((a) => -a),
  Sqrt: elementwise(Math.sqrt, false),
  Exp: elementwise(Math.exp, false),
  Equal: elementwise((a, b) => (a === b ? 1 : 0)),
  Where: elementwise((c, a, b) => (c ? a! : b!)),
  Cast: ([x], node) => {
    const whole = [2, 3, 5, 6, 7].includes(int(node, 'to', 1));
    return whole ? constant(x!.dims, Array.from(x!.numbers(), Math.trunc), true) : { ...x!, whole: false };
  },
  Transpose: ([x], node) =>
    transpose(x!, (node.attributes.perm as number[] | undefined) ?? x!.dims.map((_, i) => i).reverse()),
  Reshape: ([x, target], node) =>
    reshape(x!, reshapedDims(x!.dims, target!.numbers(), int(node, 'allowzero', 0) === 1)),
  Unsqueeze: ([x, axes]) => reshape(x!, unsqueezedDims(x!.dims, axes!.numbers())),
  Squeeze: ([x, axes]) => reshape(x!, squeezedDims(x!.dims, axes?.numbers())),
  Expand: ([x, dims]) => expand(x!, broadcastDims(x!.dims, Array.from(dims!.numbers()))),
  Concat: (inputs, node) => {
    const axis = (int(node, 'axis', 0) + inputs[0]!.dims.length) % inputs[0]!.dims.length;
    const outer = count(inputs[0]!.dims.slice(0, axis));
    const out: number[] = [];
    for (let o = 0; o < outer; o++)
      for (const x of inputs) {
        const width = count(x.dims.slice(axis));
        const values = x.numbers();
        for (let i = 0; i < width; i++) out.push(values[o * width + i]!);
      }
    const length = inputs.reduce((n, x) => n + x.dims[axis]!, 0);
    return constant(
      inputs[0]!.dims.map((d, i) => (i === axis ? length : d)),
      out,
    );
  },
  Gather: ([x, index], node) => {
    const axis = (int(node, 'axis', 0) + x!.dims.length) % x!.dims.length;
    const rows = Array.from(index!.numbers(), (i) => (i < 0 ? i + x!.dims[axis]! : i));
    if (rows.some((i) => !(i >= 0 && i < x!.dims[axis]!))) throw new RangeError(`index [${rows}]`);
    const outer = count(x!.dims.slice(0, axis));
    const inner = count(x!.dims.slice(axis + 1));
    const values = x!.numbers();
    const out: number[] = [];
    for (let o = 0; o < outer; o++)
      for (const r of rows)
        for (let i = 0; i < inner; i++) out.push(values[(o * x!.dims[axis]! + r) * inner + i]!);
    return constant([...x!.dims.slice(0, axis), ...index!.dims, ...x!.dims.slice(axis + 1)], out, x!.whole);
  },
  Slice: (inputs) => {
    const [x, starts, ends, axes, steps] = inputs as [Constant, Constant, Constant, Constant?, Constant?];
    let out = x;
    Array.from(starts.numbers()).forEach((start, i) => {
      const given = axes?.numbers()[i] ?? i;
      const axis = given < 0 ? given + x.dims.length : given;
      const range = sliceRange(x.dims[axis]!, start, ends.numbers()[i]!, steps?.numbers()[i] ?? 1);
      out = slice(out, axis, range.start, range.length);
    });
    return out;
  },
  ConstantOfShape: ([dims], node) => {
    const value = node.attributes.value as OnnxTensor | undefined;
    const shape = Array.from(dims!.numbers());
    if (!(count(shape) <= MAX_FOLDED)) throw new RangeError(`a constant of ${count(shape)} elements`);
    return constant(
      shape,
      new Float64Array(count(shape)).fill(value?.numbers()[0] ?? 0),
      value?.whole ?? false,
    );
  },
  Range: ([start, limit, delta]) => {
    const [a, b, d] = [start, limit, delta].map((x) => x!.numbers()[0]!) as [number, number, number];
    const n = Math.max(0, Math.ceil((b - a) / d));
    if (!(n <= MAX_FOLDED)) throw new RangeError(`a range of ${n}`);
    return constant(
      [n],
      Array.from({ length: n }, (_, i) => a + i * d),
    );
  },
};

export function unsqueezedDims(dims: readonly number[], axes: ArrayLike<number>): number[] {
  const rank = dims.length + axes.length;
  const at = new Set(Array.from(axes, (a) => (a < 0 ? a + rank : a)));
  let next = 0;
  return Array.from({ length: rank }, (_, i) => (at.has(i) ? 1 : dims[next++]!));
}

export function squeezedDims(dims: readonly number[], axes: ArrayLike<number> | undefined): number[] {
  const at = axes === undefined ? undefined : new Set(Array.from(axes, (a) => (a < 0 ? a + dims.length : a)));
  return dims.filter((d, i) => (at === undefined ? d !== 1 : !at.has(i)));
}
