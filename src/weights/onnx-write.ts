// Any network described through the graph builder, written as ONNX (opset 17) with the same weights: how benches get
// the peer's model. Convolutions want channels first, so a value that comes from one stays in that layout for as long
// as its consumers allow, as PyTorch's exporter would write it.

import type { GraphBuilder, RecordedNode } from '../native/index.js';
import { TendonError } from '../types/index.js';
import { ELEMENTWISE } from './onnx-elementwise.js';
import { attribute, type Bytes, bytes, FLOAT, INT64, tensor, text, valueInfo, whole } from './onnx-proto.js';
import { readTensor } from './tensor.js';

/** A value in the file: its name and whether (batch, channels, positions) instead of (batch, positions, channels). */
interface Held {
  readonly name: string;
  readonly first: boolean;
}

class OnnxWriter {
  private readonly nodes: Bytes = [];
  private readonly initializers: Bytes = [];
  private readonly inputs: Bytes = [];
  private readonly outputs: Bytes = [];
  private readonly held: Held[] = [];
  private readonly weights = new Map<string, string>();
  private readonly steps = new Map<number, boolean>();
  private fresh = 0;

  constructor(
    private readonly graph: GraphBuilder,
    private readonly batch: number,
  ) {}

  write(): Buffer {
    this.graph.nodes.forEach((node, id) => {
      const held = this.lower(node, id);
      if (held !== undefined) this.held[id] = held;
    });
    for (const { name, id } of this.graph.outputs) {
      if (this.graph.nodes.some((n) => n?.op === 'input' && n.name === name))
        throw new TendonError(
          'unsupported',
          `ONNX: an input and an output are both named ${name}, which no file can say; rename the output`,
          { name },
        );
      this.emit('Identity', [this.last(id)], name);
      this.outputs.push(...bytes(12, valueInfo(name, this.shape(id))));
    }
    const body = [...this.nodes, ...text(2, 'tendon'), ...this.initializers, ...this.inputs, ...this.outputs];
    const opset = bytes(8, [...text(1, ''), ...whole(2, 17)]);
    return Buffer.concat([...whole(1, 8), ...opset, ...text(2, 'tendon'), ...bytes(7, body)]);
  }

  /** Shape with the batch of the file: values of the step have it, those known earlier have one row. */
  private shape(id: number): number[] {
    const node = this.graph.nodes[id]!;
    return node.shape.map((d, i) => (i === 0 && this.isStep(id) ? d * this.batch : d));
  }

  private isStep(id: number): boolean {
    let known = this.steps.get(id);
    if (known === undefined) {
      const node = this.graph.nodes[id]!;
      known = node.op === 'input' ? node.stage === 'step' : node.inputs.some((i) => this.isStep(i));
      this.steps.set(id, known);
    }
    return known;
  }

  private emit(op: string, inputs: readonly string[], out?: string, attributes: Bytes[] = []): string {
    const name = out ?? `v${this.fresh++}`;
    this.nodes.push(
      ...bytes(1, [
        ...inputs.flatMap((i) => text(1, i)),
        ...text(2, name),
        ...text(4, op),
        ...attributes.flatMap((a) => bytes(5, a)),
      ]),
    );
    return name;
  }

  private ints(values: readonly number[]): string {
    return this.store(
      values,
      [values.length],
      INT64,
      new Uint8Array(BigInt64Array.from(values.map(BigInt)).buffer),
    );
  }

  private floats(values: Float32Array, dims: readonly number[]): string {
    return this.store(
      undefined,
      dims,
      FLOAT,
      new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    );
  }

  private store(
    key: readonly number[] | undefined,
    dims: readonly number[],
    type: number,
    data: Uint8Array,
  ): string {
    const known = key === undefined ? undefined : this.weights.get(key.join());
    if (known !== undefined) return known;
    const name = `c${this.fresh++}`;
    if (key !== undefined) this.weights.set(key.join(), name);
    this.initializers.push(...bytes(5, tensor(name, dims, type, data)));
    return name;
  }

  /** A model value as an initializer; one that is computed from weights has been written as that. */
  private weight(id: number, dims?: readonly number[]): string {
    const node = this.graph.nodes[id]!;
    if (this.held[id] !== undefined) {
      const name = this.last(id);
      return dims === undefined ? name : this.emit('Reshape', [name, this.ints(dims)]);
    }
    return this.floats(this.modelValues(id), dims ?? node.shape);
  }

  /** Numbers of a weight or constant, or of one that is only turned over. */
  private modelValues(id: number): Float32Array {
    const node = this.graph.nodes[id]!;
    if (node.values !== undefined) return node.values;
    if (node.tensor !== undefined) return readTensor(node.tensor);
    if (node.op === 'reshape') return this.modelValues(node.inputs[0]!);
    if (node.op === 'permute' && node.shape.length === 2) {
      const [rows, columns] = node.shape as [number, number];
      const from = this.modelValues(node.inputs[0]!);
      const swapped = (node.attributes as Record<string, readonly number[]>).perm![0] === 1;
      return swapped
        ? Float32Array.from(
            { length: rows * columns },
            (_, i) => from[(i % columns) * rows + Math.floor(i / columns)]!,
          )
        : from;
    }
    throw new TendonError('unsupported', `ONNX: ${node.op} computed from weights alone is not written`);
  }

  /** Known from weights alone: written where it is used. */
  private isModel(id: number): boolean {
    const node = this.graph.nodes[id]!;
    if (node.op === 'weight' || node.op === 'constant') return true;
    return (node.op === 'permute' || node.op === 'reshape') && this.isModel(node.inputs[0]!);
  }

  /** The value in the layout it has; a model value is written where it is used. */
  private holding(id: number): Held {
    return this.held[id] ?? { name: this.weight(id), first: false };
  }

  /** The value with channels last. */
  private last(id: number): string {
    const h = this.holding(id);
    const rank = this.graph.nodes[id]!.shape.length;
    return h.first ? this.permuted(h.name, rank === 4 ? [0, 2, 3, 1] : [0, 2, 1]) : h.name;
  }
  private first(id: number): string {
    const h = this.holding(id);
    const rank = this.graph.nodes[id]!.shape.length;
    return h.first ? h.name : this.permuted(h.name, rank === 4 ? [0, 3, 1, 2] : [0, 2, 1]);
  }

  private permuted(name: string, perm: readonly number[]): string {
    return this.emit('Transpose', [name], undefined, [attribute('perm', perm)]);
  }

  private scalar(value: number): string {
    return this.floats(Float32Array.of(value), []);
  }

  private lower(node: RecordedNode, id: number): Held | undefined {
    const at = node.attributes as Record<string, number>;
    const [a, b, c] = node.inputs as [number, number, number];
    const rank = node.shape.length;
    if (this.isModel(id)) return undefined;
    switch (node.op) {
      case 'input':
        this.inputs.push(...bytes(11, valueInfo(node.name!, this.shape(id))));
        return { name: node.name!, first: false };
      case 'linear': {
        const w = this.graph.nodes[b]!;
        const wt = this.emit('Transpose', [this.weight(b)], undefined, [attribute('perm', [1, 0])]);
        const x = this.last(a);
        if (rank === 2 && c !== undefined)
          return {
            name: this.emit('Gemm', [x, this.weight(b), this.weight(c)], undefined, [attribute('transB', 1)]),
            first: false,
          };
        const product = this.emit('MatMul', [x, wt]);
        return {
          name: c === undefined ? product : this.emit('Add', [product, this.weight(c, [w.shape[0]!])]),
          first: false,
        };
      }
      case 'conv1d':
      case 'conv2d':
      case 'conv_transpose1d': {
        const op = node.op === 'conv_transpose1d' ? 'ConvTranspose' : 'Conv';
        const inputs = [this.first(a), this.weight(b), ...(c === undefined ? [] : [this.weight(c)])];
        return { name: this.emit(op, inputs, undefined, windows(at, rank - 2)), first: true };
      }
      case 'max_pool2d': {
        const kernel = attribute('kernel_shape', [at.kernel!, at.kernel!]);
        return {
          name: this.emit('MaxPool', [this.first(a)], undefined, [kernel, ...windows(at, 2)]),
          first: true,
        };
      }
      case 'batch_norm':
        return {
          name: this.emit(
            'BatchNormalization',
            [this.first(a), ...node.inputs.slice(1).map((i) => this.weight(i))],
            undefined,
            [attribute('epsilon', { float: at.eps ?? 1e-5 })],
          ),
          first: true,
        };
      case 'group_norm': {
        // PyTorch's exporter: instance norm over the groups, then scale and shift.
        const n = node.shape.at(-1)!;
        const column = [n, ...node.shape.slice(2).map(() => 1)];
        const grouped = this.emit('Reshape', [this.first(a), this.ints([0, at.groups!, -1])]);
        const one = this.floats(new Float32Array(at.groups!).fill(1), [at.groups!]);
        const zero = this.floats(new Float32Array(at.groups!), [at.groups!]);
        const norm = this.emit('InstanceNormalization', [grouped, one, zero], undefined, [
          attribute('epsilon', { float: at.eps ?? 1e-5 }),
        ]);
        const back = this.emit('Reshape', [norm, this.ints([0, n, ...node.shape.slice(1, -2), -1])]);
        const scaled = this.emit('Mul', [back, this.weight(b, column)]);
        return { name: this.emit('Add', [scaled, this.weight(c, column)]), first: true };
      }
      case 'layer_norm': {
        const n = node.shape.at(-1)!;
        const scale = b === undefined ? this.floats(new Float32Array(n).fill(1), [n]) : this.weight(b);
        return {
          name: this.emit(
            'LayerNormalization',
            [this.last(a), scale, ...(c === undefined ? [] : [this.weight(c)])],
            undefined,
            [attribute('epsilon', { float: at.eps ?? 1e-5 })],
          ),
          first: false,
        };
      }
      case 'softmax':
        return {
          name: this.emit('Softmax', [this.last(a)], undefined, [attribute('axis', -1)]),
          first: false,
        };
      case 'rms_norm': {
        const x = this.last(a);
        const mean = this.mean(this.emit('Mul', [x, x]), -1);
        const rms = this.emit('Sqrt', [this.emit('Add', [mean, this.scalar(at.eps ?? 1e-6)])]);
        const normed = this.emit('Div', [x, rms]);
        return {
          name: b === undefined ? normed : this.emit('Mul', [normed, this.weight(b)]),
          first: false,
        };
      }
      case 'rope':
        return { name: this.rope(node), first: false };
      case 'attention':
        return { name: this.attention(node), first: false };
      case 'matmul':
        return { name: this.emit('MatMul', [this.last(a), this.last(b)]), first: false };
      case 'permute':
        return {
          name: this.permuted(this.last(a), (node.attributes as Record<string, readonly number[]>).perm!),
          first: false,
        };
      case 'expand':
        return { name: this.emit('Expand', [this.last(a), this.ints(this.shape(id))]), first: false };
      case 'gather': {
        // The nearest row that there is.
        const nearest = this.emit('Max', [this.emit('Round', [this.last(b)]), this.scalar(0)]);
        const row = this.emit('Min', [nearest, this.scalar(this.graph.nodes[a]!.shape[0]! - 1)]);
        const index = this.emit('Cast', [row], undefined, [attribute('to', INT64)]);
        return { name: this.emit('Gather', [this.last(a), index]), first: false };
      }
      case 'sum':
      case 'mean':
      case 'max':
      case 'min':
      case 'variance':
        return { name: this.reduced(node.op, this.last(a), at.axis ?? -1), first: false };
      case 'affine': {
        const h = this.holding(a);
        const scaled = (at.mul ?? 1) === 1 ? h.name : this.emit('Mul', [h.name, this.scalar(at.mul!)]);
        return { name: this.emit('Add', [scaled, this.scalar(at.add ?? 0)]), first: h.first };
      }
      case 'add':
      case 'sub':
      case 'mul':
      case 'div':
      case 'minimum':
      case 'maximum': {
        const op = BINARY[node.op]!;
        if (this.held[a] === undefined || this.held[b] === undefined)
          return { name: this.emit(op, [this.last(a), this.last(b)]), first: false };
        const first = this.held[a]!.first || this.held[b]!.first;
        const pick = (i: number): string => (first ? this.first(i) : this.held[i]!.name);
        return { name: this.emit(op, [pick(a), pick(b)]), first };
      }
      case 'concat': {
        const axis = (at.axis! + rank) % rank;
        const first = rank === 3 && node.inputs.every((i) => this.held[i]?.first === true);
        const names = node.inputs.map((i) => this.spread(first ? this.first(i) : this.last(i), i, id));
        return {
          name: this.emit('Concat', names, undefined, [attribute('axis', first ? [0, 2, 1][axis]! : axis)]),
          first,
        };
      }
      case 'slice': {
        const h = this.holding(a);
        const axis = h.first ? (rank === 4 ? [0, 2, 3, 1] : [0, 2, 1])[at.axis!]! : at.axis!;
        return {
          name: this.emit('Slice', [
            h.name,
            this.ints([at.start!]),
            this.ints([at.start! + at.length!]),
            this.ints([axis]),
          ]),
          first: h.first,
        };
      }
      case 'reshape':
        return { name: this.emit('Reshape', [this.last(a), this.ints(this.shape(id))]), first: false };
      default: {
        const write = ELEMENTWISE[node.op];
        if (write === undefined)
          throw new TendonError('unsupported', `ONNX: the op ${node.op} cannot be written`, { op: node.op });
        const h = this.holding(a);
        const emit = (op: string, ...inputs: (string | number)[]): string =>
          this.emit(
            op,
            inputs.map((i) => (typeof i === 'number' ? this.scalar(i) : i)),
          );
        return { name: write(emit, h.name), first: h.first };
      }
    }
  }

  private mean(x: string, axis: number): string {
    return this.emit('ReduceMean', [x], undefined, [attribute('axes', [axis])]);
  }

  /** Along one axis, which stays with length 1; variance divides by n. */
  private reduced(op: string, x: string, axis: number): string {
    if (op === 'mean') return this.mean(x, axis);
    if (op === 'sum') return this.emit('ReduceSum', [x, this.ints([axis])]);
    if (op !== 'variance')
      return this.emit(op === 'max' ? 'ReduceMax' : 'ReduceMin', [x], undefined, [attribute('axes', [axis])]);
    const centred = this.emit('Sub', [x, this.mean(x, axis)]);
    return this.mean(this.emit('Mul', [centred, centred]), axis);
  }

  /** As PyTorch's exporter writes it: heads apart, two products, a softmax. */
  private attention(node: RecordedNode): string {
    const { heads, scale } = node.attributes as { heads: number; scale?: number };
    const width = node.shape[2]! / heads;
    const apart = (id: number, perm: readonly number[]): string =>
      this.permuted(this.emit('Reshape', [this.last(id), this.ints([0, 0, heads, width])]), perm);
    const [q, k, v, mask] = node.inputs as [number, number, number, number | undefined];
    const product = this.emit('MatMul', [apart(q, [0, 2, 1, 3]), apart(k, [0, 2, 3, 1])]);
    const scaled = this.emit('Mul', [product, this.scalar(scale || 1 / Math.sqrt(width))]);
    const scores = mask === undefined ? scaled : this.emit('Add', [scaled, this.last(mask)]);
    const weights = this.emit('Softmax', [scores], undefined, [attribute('axis', -1)]);
    const mixed = this.permuted(this.emit('MatMul', [weights, apart(v, [0, 2, 1, 3])]), [0, 2, 1, 3]);
    return this.emit('Reshape', [mixed, this.ints([0, 0, node.shape[2]!])]);
  }

  /** The halves of each head, turned against each other by position · base^(−2k/d). */
  private rope(node: RecordedNode): string {
    const { heads, base = 10000 } = node.attributes as { heads: number; base?: number };
    const width = node.shape[2]! / heads;
    const half = width / 2;
    const apart = this.emit('Reshape', [this.last(node.inputs[0]!), this.ints([0, 0, heads, width])]);
    const take = (i: number): string =>
      this.emit('Slice', [apart, this.ints([i * half]), this.ints([(i + 1) * half]), this.ints([3])]);
    const [first, second] = [take(0), take(1)];
    const frequency = Float32Array.from({ length: half }, (_, k) => base ** ((-2 * k) / width));
    const position = this.emit('Unsqueeze', [this.last(node.inputs[1]!), this.ints([2, 3])]);
    const turn = this.emit('Mul', [position, this.floats(frequency, [1, 1, 1, half])]);
    const [cos, sin] = [this.emit('Cos', [turn]), this.emit('Sin', [turn])];
    const mul = (a: string, b: string): string => this.emit('Mul', [a, b]);
    const turned = this.emit(
      'Concat',
      [
        this.emit('Sub', [mul(first, cos), mul(second, sin)]),
        this.emit('Add', [mul(second, cos), mul(first, sin)]),
      ],
      undefined,
      [attribute('axis', -1)],
    );
    return this.emit('Reshape', [turned, this.ints([0, 0, node.shape[2]!])]);
  }

  /** Repeats a value of one row for a concatenation with values of the whole batch. */
  private spread(name: string, id: number, whole_id: number): string {
    const rows = this.shape(whole_id)[0]!;
    if (this.shape(id)[0] === rows) return name;
    return this.emit('Tile', [
      name,
      this.ints([
        rows,
        ...this.shape(id)
          .slice(1)
          .map(() => 1),
      ]),
    ]);
  }
}

const BINARY: Readonly<Record<string, string>> = {
  add: 'Add',
  sub: 'Sub',
  mul: 'Mul',
  div: 'Div',
  minimum: 'Min',
  maximum: 'Max',
};

/** Stride and padding over `dims` axes, alike on every side. */
function windows(at: Readonly<Record<string, number>>, dims: number): Bytes[] {
  const all = (value: number, count: number): number[] => Array<number>(count).fill(value);
  return [attribute('strides', all(at.stride ?? 1, dims)), attribute('pads', all(at.pad ?? 0, 2 * dims))];
}

/** `batch` multiplies the rows of the step inputs. Throws `unsupported` naming the op that cannot be written. */
export function writeOnnx(graph: GraphBuilder, batch = 1): Buffer {
  return new OnnxWriter(graph, batch).write();
}
