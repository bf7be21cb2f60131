// The graph builder: describes a network node by node to the core, which checks every shape where it is written
// (native/ops/list.h is the list of ops). Layouts: sequences (batch, time, channels), images (batch, h, w, channels);
// weights as torch stores them.

import { addon, type NativeGraph, type NativeValue, native, type Stage } from './addon.js';

export type Value = NativeValue;

/** A tensor in a file, at an offset that its reader has checked. */
export interface TensorRef {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: string;
  readonly file: string;
  /** Bytes from the start of the file. */
  readonly offset: number;
}

/** Elementwise functions, as the op table names them; a test holds these lists against it. */
export const UNARY_NAMES = [
  'relu',
  'gelu',
  'gelu_tanh',
  'silu',
  'mish',
  'tanh',
  'sigmoid',
  'elu',
  'softplus',
  'exp',
  'log',
  'sin',
  'cos',
  'sqrt',
  'rsqrt',
  'abs',
  'neg',
  'square',
  'reciprocal',
  'erf',
  'symexp',
] as const;
export const BINARY_NAMES = ['add', 'sub', 'mul', 'div', 'minimum', 'maximum'] as const;
export const REDUCE_NAMES = ['sum', 'mean', 'max', 'min', 'variance'] as const;
export type UnaryName = (typeof UNARY_NAMES)[number];
export type BinaryName = (typeof BINARY_NAMES)[number];
export type ReduceName = (typeof REDUCE_NAMES)[number];

/** What was built, op by op: for writing the same network elsewhere (ONNX) and for printing. */
export interface RecordedNode {
  readonly op: string;
  readonly inputs: readonly number[];
  readonly attributes: Readonly<Record<string, number | readonly number[]>>;
  readonly shape: readonly number[];
  readonly name?: string;
  /** Of an input. */
  readonly stage?: Stage;
  readonly tensor?: TensorRef;
  readonly values?: Float32Array;
}

/**
 * Describes a network to the core, node by node. Each method adds an op and gives its value; a wrong shape throws
 * `graph_invalid` at the line that made it. Dim 0 is the batch, and no op mixes it (docs/architecture.md).
 */
export class GraphBuilder {
  readonly native: NativeGraph;
  readonly nodes: RecordedNode[] = [];
  readonly outputs: { name: string; id: number }[] = [];

  constructor() {
    this.native = new (addon().Graph)();
  }

  /** dim 0 is the batch: 1, or the number of guidance groups. */
  input(name: string, shape: readonly number[], stage: Stage): Value {
    return this.record(
      native(() => this.native.input(name, shape, stage)),
      { op: 'input', inputs: [], attributes: {}, shape, name, stage },
    );
  }

  weight(ref: TensorRef): Value {
    const value = native(() => this.native.weight(ref.name, ref.shape, ref.dtype, ref.file, ref.offset));
    return this.record(value, {
      op: 'weight',
      inputs: [],
      attributes: {},
      shape: ref.shape,
      name: ref.name,
      tensor: ref,
    });
  }

  constant(values: Float32Array | readonly number[], shape: readonly number[]): Value {
    const numbers = values instanceof Float32Array ? values : Float32Array.from(values);
    return this.record(
      native(() => this.native.constant(numbers, shape)),
      { op: 'constant', inputs: [], attributes: {}, shape, values: numbers },
    );
  }

  /** Any op of the table by name. */
  op(
    name: string,
    inputs: readonly Value[],
    attributes: Record<string, number | readonly number[]> = {},
  ): Value {
    const ids = inputs.map((v) => v.id);
    const value = native(() => this.native.add(name, ids, attributes));
    return this.record(value, { op: name, inputs: ids, attributes, shape: value.shape });
  }

  output(name: string, value: Value): void {
    native(() => this.native.output(name, value.id));
    this.outputs.push({ name, id: value.id });
  }

  /** x (…, in) · W (out, in) + b (out) */
  linear(x: Value, weight: Value, bias?: Value): Value {
    return this.op('linear', withOptional(x, weight, bias));
  }

  /** x (batch, time, in), W (out, in, kernel) */
  conv1d(
    x: Value,
    weight: Value,
    bias: Value | undefined,
    options: { stride?: number; pad?: number } = {},
  ): Value {
    return this.op('conv1d', withOptional(x, weight, bias), options);
  }

  /** x (batch, time, in), W (in, out, kernel) */
  convTranspose1d(
    x: Value,
    weight: Value,
    bias: Value | undefined,
    options: { stride?: number; pad?: number } = {},
  ): Value {
    return this.op('conv_transpose1d', withOptional(x, weight, bias), options);
  }

  /** x (batch, h, w, in), W (out, in, kernel_h, kernel_w); `exact` keeps it f32 in every precision. */
  conv2d(
    x: Value,
    weight: Value,
    bias: Value | undefined,
    { exact = false, ...options }: { stride?: number; pad?: number; exact?: boolean } = {},
  ): Value {
    return this.op('conv2d', withOptional(x, weight, bias), { ...options, exact: Number(exact) });
  }

  /** Over the last dim, with the moments of training: (x, weight, bias, running mean, running variance). */
  batchNorm(x: Value, weight: Value, bias: Value, mean: Value, variance: Value, eps = 1e-5): Value {
    return this.op('batch_norm', [x, weight, bias, mean, variance], { eps });
  }

  groupNorm(x: Value, weight: Value, bias: Value, groups: number, eps = 1e-5): Value {
    return this.op('group_norm', [x, weight, bias], { groups, eps });
  }

  layerNorm(x: Value, weight?: Value, bias?: Value, eps = 1e-5): Value {
    return this.op('layer_norm', withOptional(x, weight, bias), { eps });
  }

  rmsNorm(x: Value, weight?: Value, eps = 1e-6): Value {
    return this.op('rms_norm', withOptional(x, weight), { eps });
  }

  /**
   * Rotary position embedding in the convention of halves (Su et al. 2021; Llama, Gemma): x (batch, positions,
   * heads·d), position (batch, positions), of which fewer rows serve blocks of the batch.
   */
  rope(x: Value, position: Value, heads: number, base = 10000): Value {
    return this.op('rope', [x, position], { heads, base });
  }

  maxPool2d(x: Value, options: { kernel: number; stride?: number; pad?: number }): Value {
    return this.op('max_pool2d', [x], options);
  }

  unary(name: UnaryName, x: Value): Value {
    return this.op(name, [x]);
  }

  binary(name: BinaryName, a: Value, b: Value): Value {
    return this.op(name, [a, b]);
  }

  add(a: Value, b: Value): Value {
    return this.op('add', [a, b]);
  }

  mul(a: Value, b: Value): Value {
    return this.op('mul', [a, b]);
  }

  /** x·mul + add */
  affine(x: Value, mul: number, add: number): Value {
    return this.op('affine', [x], { mul, add });
  }

  concat(pieces: readonly Value[], axis = -1): Value {
    return pieces.length === 1 ? pieces[0]! : this.op('concat', pieces, { axis });
  }

  slice(x: Value, axis: number, start: number, length: number): Value {
    return this.op('slice', [x], { axis, start, length });
  }

  /** `shape` whole, batch included; one −1 is filled in. */
  reshape(x: Value, shape: readonly number[]): Value {
    return this.op('reshape', [x], { shape });
  }

  permute(x: Value, perm: readonly number[]): Value {
    return this.op('permute', [x], { perm });
  }

  expand(x: Value, shape: readonly number[]): Value {
    return this.op('expand', [x], { shape });
  }

  /** Over the last dim. */
  softmax(x: Value): Value {
    return this.op('softmax', [x]);
  }

  /** q (batch, queries, heads·d), k and v (batch, keys, heads·d), mask (queries, keys) added to the scores. */
  attention(q: Value, k: Value, v: Value, heads: number, mask?: Value, scale = 0): Value {
    return this.op('attention', withOptional(q, k, v, mask), { heads, scale });
  }

  /** a (batch, m, k) · b (batch, k, n) */
  matmul(a: Value, b: Value): Value {
    return this.op('matmul', [a, b]);
  }

  /** Along one axis, which stays with length 1. */
  reduce(name: ReduceName, x: Value, axis = -1): Value {
    return this.op(name, [x], { axis });
  }

  /** Rows of table (rows, width) by index (batch, …). */
  gather(table: Value, index: Value): Value {
    return this.op('gather', [table, index]);
  }

  /** Two halves along the last axis. */
  halves(x: Value): [Value, Value] {
    const axis = x.shape.length - 1;
    const half = x.shape[axis]! / 2;
    return [this.slice(x, axis, 0, half), this.slice(x, axis, half, half)];
  }

  print(): string {
    return this.native.print();
  }

  private record(value: Value, node: RecordedNode): Value {
    this.nodes[value.id] = node;
    return value;
  }
}

function withOptional(...values: (Value | undefined)[]): Value[] {
  return values.filter((v): v is Value => v !== undefined);
}
