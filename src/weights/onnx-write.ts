// Any network described through the graph builder, written as ONNX (opset 17) with the same weights: how benches get
// the peer's model. Convolutions want channels first, so a value that comes from one stays in that layout for as long
// as its consumers allow, as PyTorch's exporter would write it.

import type { GraphBuilder, RecordedNode } from '../native/index.js';
import { TendonError } from '../types/index.js';
import { readTensor } from './safetensors.js';

// ---- Protocol buffers, as far as ONNX needs them ----

type Bytes = Uint8Array[];
const utf8 = new TextEncoder();

function varint(value: number): Uint8Array {
  const out: number[] = [];
  let v = BigInt.asUintN(64, BigInt(value));
  do {
    const low = Number(v & 0x7fn);
    v >>= 7n;
    out.push(v > 0n ? low | 0x80 : low);
  } while (v > 0n);
  return Uint8Array.from(out);
}
const size = (b: Bytes): number => b.reduce((n, part) => n + part.length, 0);
const whole = (field: number, value: number): Bytes => [varint(field << 3), varint(value)];
const bytes = (field: number, value: Bytes): Bytes => [
  varint((field << 3) | 2),
  varint(size(value)),
  ...value,
];
const text = (field: number, value: string): Bytes => bytes(field, [utf8.encode(value)]);
const float32 = (field: number, value: number): Bytes => [
  varint((field << 3) | 5),
  new Uint8Array(Float32Array.of(value).buffer),
];

const FLOAT = 1;
const INT64 = 7;

function attribute(name: string, value: number | readonly number[] | { float: number }): Bytes {
  if (typeof value === 'number') return [...text(1, name), ...whole(3, value), ...whole(20, 2)];
  if ('float' in value) return [...text(1, name), ...float32(2, value.float), ...whole(20, 1)];
  return [...text(1, name), ...value.flatMap((v) => whole(8, v)), ...whole(20, 7)];
}

function tensor(name: string, dims: readonly number[], type: number, data: Uint8Array): Bytes {
  return [...dims.flatMap((d) => whole(1, d)), ...whole(2, type), ...text(8, name), ...bytes(9, [data])];
}

function valueInfo(name: string, dims: readonly number[]): Bytes {
  const shape = dims.flatMap((d) => bytes(1, whole(1, d)));
  return [...text(1, name), ...bytes(2, bytes(1, [...whole(1, FLOAT), ...bytes(2, shape)]))];
}

// ---- The graph ----

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
    const node = this.graph.nodes[id]!;
    return node.op === 'input' ? node.name === 'x' : node.inputs.some((i) => this.isStep(i));
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

  /** A model value as an initializer. */
  private weight(id: number, dims?: readonly number[]): string {
    const node = this.graph.nodes[id]!;
    const values = node.values ?? (node.tensor === undefined ? undefined : readTensor(node.tensor));
    if (values === undefined)
      throw new TendonError('unsupported', `ONNX: ${node.op} computed from weights alone is not written`);
    return this.floats(values, dims ?? node.shape);
  }

  private transposed(name: string): string {
    return this.emit('Transpose', [name], undefined, [attribute('perm', [0, 2, 1])]);
  }

  /** The value with channels last, or first. */
  private last(id: number): string {
    const h = this.held[id]!;
    return h.first ? this.transposed(h.name) : h.name;
  }
  private first(id: number): string {
    const h = this.held[id]!;
    return h.first ? h.name : this.transposed(h.name);
  }

  private lower(node: RecordedNode, id: number): Held | undefined {
    const at = node.attributes as Record<string, number>;
    const [a, b, c] = node.inputs as [number, number, number];
    const rank = node.shape.length;
    switch (node.op) {
      case 'weight':
      case 'constant':
        return undefined;
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
      case 'conv_transpose1d': {
        const op = node.op === 'conv1d' ? 'Conv' : 'ConvTranspose';
        const inputs = [this.first(a), this.weight(b), ...(c === undefined ? [] : [this.weight(c)])];
        const pad = at.pad ?? 0;
        return {
          name: this.emit(op, inputs, undefined, [
            attribute('strides', [at.stride ?? 1]),
            attribute('pads', [pad, pad]),
          ]),
          first: true,
        };
      }
      case 'group_norm': {
        // PyTorch's exporter: instance norm over the groups, then scale and shift.
        const n = node.shape[2]!;
        const grouped = this.emit('Reshape', [this.first(a), this.ints([0, at.groups!, -1])]);
        const one = this.floats(new Float32Array(at.groups!).fill(1), [at.groups!]);
        const zero = this.floats(new Float32Array(at.groups!), [at.groups!]);
        const norm = this.emit('InstanceNormalization', [grouped, one, zero], undefined, [
          attribute('epsilon', { float: at.eps ?? 1e-5 }),
        ]);
        const back = this.emit('Reshape', [norm, this.ints([0, n, -1])]);
        return {
          name: this.emit('Add', [this.emit('Mul', [back, this.weight(b, [n, 1])]), this.weight(c, [n, 1])]),
          first: true,
        };
      }
      case 'layer_norm':
        return {
          name: this.emit('LayerNormalization', [this.last(a), this.weight(b), this.weight(c)], undefined, [
            attribute('epsilon', { float: at.eps ?? 1e-5 }),
          ]),
          first: false,
        };
      case 'mish': {
        const h = this.held[a]!;
        return {
          name: this.emit('Mul', [h.name, this.emit('Tanh', [this.emit('Softplus', [h.name])])]),
          first: h.first,
        };
      }
      case 'silu': {
        const h = this.held[a]!;
        return { name: this.emit('Mul', [h.name, this.emit('Sigmoid', [h.name])]), first: h.first };
      }
      case 'gelu': {
        const h = this.held[a]!;
        const e = this.emit('Erf', [
          this.emit('Div', [h.name, this.floats(Float32Array.of(Math.SQRT2), [])]),
        ]);
        const grown = this.emit('Add', [e, this.floats(Float32Array.of(1), [])]);
        return {
          name: this.emit('Mul', [this.emit('Mul', [h.name, grown]), this.floats(Float32Array.of(0.5), [])]),
          first: h.first,
        };
      }
      case 'affine': {
        const h = this.held[a]!;
        const scaled =
          (at.mul ?? 1) === 1
            ? h.name
            : this.emit('Mul', [h.name, this.floats(Float32Array.of(at.mul!), [])]);
        return {
          name: this.emit('Add', [scaled, this.floats(Float32Array.of(at.add ?? 0), [])]),
          first: h.first,
        };
      }
      case 'add':
      case 'mul': {
        const op = node.op === 'add' ? 'Add' : 'Mul';
        const model = [a, b].find((i) => this.held[i] === undefined);
        if (model !== undefined) {
          const other = this.last(model === a ? b : a);
          return { name: this.emit(op, [other, this.weight(model)]), first: false };
        }
        const first = this.held[a]!.first || this.held[b]!.first;
        const pick = (i: number): string => (first ? this.first(i) : this.held[i]!.name);
        return { name: this.emit(op, [pick(a), pick(b)]), first };
      }
      case 'concat': {
        const axis = (at.axis! + rank) % rank;
        const first = rank === 3 && node.inputs.some((i) => this.held[i]!.first);
        const names = node.inputs.map((i) => this.spread(first ? this.first(i) : this.held[i]!.name, i, id));
        return {
          name: this.emit('Concat', names, undefined, [attribute('axis', first ? [0, 2, 1][axis]! : axis)]),
          first,
        };
      }
      case 'slice': {
        if (this.held[a] === undefined) break;
        const h = this.held[a]!;
        const axis = h.first ? [0, 2, 1][at.axis!]! : at.axis!;
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
      default:
        break;
    }
    throw new TendonError('unsupported', `ONNX: the op ${node.op} cannot be written yet`, { op: node.op });
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

/** `batch` multiplies the rows of the step input x. Throws `unsupported` naming the op that cannot be written. */
export function writeOnnx(graph: GraphBuilder, batch = 1): Buffer {
  return new OnnxWriter(graph, batch).write();
}
