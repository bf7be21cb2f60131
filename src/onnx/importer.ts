// From ONNX nodes to the graph builder, node by node. What is known from shapes and weights alone is folded on the way;
// norms and attention, which exporters take apart, are held back until it is clear what they are.

import { GraphBuilder, type Stage, type Value } from '../native/index.js';
import { TendonError } from '../types/index.js';
import type { OnnxModel, OnnxNode } from '../weights/index.js';
import { settleScores } from './attention.js';
import { type Constant, constant, count, FOLDS, fromTensor } from './constants.js';
import type { Context, Known } from './known.js';
import { LOWERINGS } from './lower.js';
import { arrange, dimsOf, type Live, live, plainOrder } from './value.js';

/** How an ONNX file becomes a graph of the core. */
export interface ImportOptions {
  /** Stage of each input by name; `step` where it is not named. */
  readonly stages?: Readonly<Record<string, Stage>>;
  /** Sizes of dims that the file leaves open, the batch's apart, by input name; every open dim in order. */
  readonly sizes?: Readonly<Record<string, readonly number[]>>;
  /** What an input becomes, given the shape that the file has for it, (1, …): where it is not an input of its own. */
  readonly from?: Readonly<Record<string, (g: GraphBuilder, shape: readonly number[]) => Value>>;
}

export class Importer implements Context {
  readonly g = new GraphBuilder();
  private readonly known = new Map<string, Known>();
  private readonly makers = new Map<string, OnnxNode>();
  private readonly users = new Map<string, OnnxNode[]>();
  /** Products with weights by the id of their value, so that a bias behind one can join it. */
  readonly products = new Map<number, { readonly x: Value; readonly weight: Value }>();

  constructor(
    private readonly model: OnnxModel,
    private readonly options: ImportOptions,
  ) {
    for (const node of model.nodes) {
      for (const name of node.outputs) this.makers.set(name, node);
      for (const name of node.inputs) this.users.set(name, [...(this.users.get(name) ?? []), node]);
    }
    for (const [name, tensor] of model.tensors) this.known.set(name, fromTensor(tensor));
  }

  run(): GraphBuilder {
    for (const port of this.model.inputs) this.input(port);
    for (const node of this.model.nodes) this.node(node);
    for (const { name } of this.model.outputs) {
      const x = this.live(name);
      const dims = dimsOf(x);
      // The batch is the first dim of what comes out, as of what went in.
      this.g.output(name, arrange(this.g, x, dims.map((_, i) => i).slice(1)));
    }
    return this.g;
  }

  maker(name: string): OnnxNode | undefined {
    return this.makers.get(name);
  }

  takers(name: string): readonly OnnxNode[] {
    return this.users.get(name) ?? [];
  }

  constant(name: string): Constant | undefined {
    const found = this.known.get(name);
    return found?.kind === 'constant' ? found : undefined;
  }

  scalar(name: string): number | undefined {
    const found = this.constant(name);
    return found !== undefined && count(found.dims) === 1 ? found.numbers()[0] : undefined;
  }

  /** The value as it stands, norms and scores held back. */
  raw(name: string): Known {
    const found = this.known.get(name);
    if (found === undefined)
      throw new TendonError('file_corrupt', `${this.model.path}: nobody makes the value "${name}"`, { name });
    return found;
  }

  live(name: string): Live {
    const settled = this.settle(this.raw(name), name);
    // Made once, whoever asks again.
    if (this.known.get(name)?.kind !== 'constant') this.known.set(name, settled);
    return settled;
  }

  /** Whatever it is, as a value of the graph. */
  settle(x: Known, name: string): Live {
    switch (x.kind) {
      case 'live':
        return x;
      case 'constant': {
        const shape = x.dims.filter((d) => d !== 1);
        return live(this.tensor(x, shape.length === 0 ? [1, 1] : [1, ...shape]), plainOrder(x.dims));
      }
      case 'norm': {
        const n = x.x.shape.at(-1)!;
        const fill = (v: number): Value => this.g.constant(new Float32Array(n).fill(v), [n]);
        const [weight, bias] = [x.weight ?? fill(1), x.bias ?? fill(0)];
        const value =
          x.norm === 'group'
            ? this.g.groupNorm(x.x, weight, bias, x.groups, x.eps)
            : this.g.layerNorm(x.x, weight, bias, x.eps);
        return live(value, x.order);
      }
      default:
        if (x.kind === 'scores' && !x.softmaxed && x.mask === undefined) return settleScores(this, x);
        throw new TendonError(
          'unsupported',
          `${this.model.path}: "${name}" is ${x.kind === 'grouped' ? 'half a group norm' : 'half an attention'} whose other half is not known here`,
        );
    }
  }

  /** A constant in the graph: by its place in the file where it is whole, by its numbers else. */
  tensor(x: Constant, shape: readonly number[]): Value {
    if (x.ref !== undefined) return this.g.weight({ ...x.ref, shape });
    return this.g.constant(Float32Array.from(x.numbers()), shape);
  }

  private input(port: OnnxModel['inputs'][number]): void {
    const open = [...(this.options.sizes?.[port.name] ?? [])];
    const dims = port.dims.map((d, i) => (i === 0 ? 1 : (d ?? open.shift())));
    if (port.dims[0] !== undefined && port.dims[0] !== 1)
      throw new TendonError(
        'unsupported',
        `${this.model.path}: input ${port.name} has a first dim of ${port.dims[0]}; it must be the batch, 1 or open`,
      );
    const missing = dims.findIndex((d) => d === undefined || d < 1);
    if (missing >= 0)
      throw new TendonError(
        'config_invalid',
        `${this.model.path}: dim ${missing} of input ${port.name} is open; give its size (sizes.${port.name})`,
      );
    const shape = (dims as number[]).slice(1);
    const whole = shape.length === 0 ? [1, 1] : [1, ...shape];
    const from = this.options.from?.[port.name];
    const value =
      from === undefined
        ? this.g.input(port.name, whole, this.options.stages?.[port.name] ?? 'step')
        : from(this.g, whole);
    // Every axis but the batch stands for itself, also those of length 1.
    this.known.set(
      port.name,
      live(
        value,
        (dims as number[]).map((_, i) => (i === 0 ? -1 : i)),
      ),
    );
  }

  private node(node: OnnxNode): void {
    const inputs = node.inputs.map((name) => (name === '' ? undefined : this.raw(name)));
    const fold = FOLDS[node.op];
    const constants = inputs.filter((x): x is Constant => x?.kind === 'constant');
    let made: Known | readonly Known[];
    try {
      if (node.op === 'Constant') made = constantOf(node);
      else if (fold !== undefined && constants.length === inputs.length) made = fold(constants, node);
      else {
        const lower = LOWERINGS[node.op];
        if (lower === undefined)
          throw new TendonError(
            'unsupported',
            `${this.model.path}: the op ${node.op} is not read (node "${node.name}")`,
            {
              op: node.op,
            },
          );
        made = lower(this, node);
      }
    } catch (caught) {
      // RangeError: something that is not read. TypeError: an input or attribute that the op must have and this has not.
      const malformed = caught instanceof TypeError;
      if (!malformed && !(caught instanceof RangeError)) throw caught;
      throw new TendonError(
        malformed ? 'file_corrupt' : 'unsupported',
        `${this.model.path}: ${node.op} (node "${node.name}"): ${malformed ? `it lacks an input or attribute that it must have (${caught.message})` : caught.message}`,
        { op: node.op },
        { cause: caught },
      );
    }
    const results = Array.isArray(made) ? (made as readonly Known[]) : [made as Known];
    node.outputs.forEach((name, i) => {
      if (name !== '' && results[i] !== undefined) this.known.set(name, results[i]!);
    });
  }
}

function constantOf(node: OnnxNode): Constant {
  const { value, value_float, value_int, value_floats, value_ints } = node.attributes as Record<
    string,
    never
  >;
  if (value !== undefined) return fromTensor(value);
  if (value_float !== undefined) return constant([], [value_float]);
  if (value_int !== undefined) return constant([], [value_int], true);
  if (value_floats !== undefined) return constant([(value_floats as number[]).length], value_floats);
  if (value_ints !== undefined) return constant([(value_ints as number[]).length], value_ints, true);
  throw new RangeError('a constant without a value of a kind that is read');
}
