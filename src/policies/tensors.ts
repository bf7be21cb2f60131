// The tensors of a checkpoint, handed to a graph by name and counted, so that one left unused or missing is an error and
// not a silent difference.

import type { GraphBuilder, TensorRef, Value } from '../native/index.js';
import { TendonError } from '../types/index.js';
import { ELEMENT_BYTES, openWeights, renamed, type WeightFile } from '../weights/index.js';

/**
 * Tensors of a weights file, asked for by name: each must have the shape that its user expects, and none may be left over.
 */
export class Tensors {
  private readonly used = new Set<string>();
  private said = false;

  /** `allow_unused`: tensors that belong to nothing are named in a warning instead of being refused. */
  constructor(
    private readonly file: WeightFile,
    private readonly family: string,
    private readonly allow_unused = false,
  ) {}

  /** The weights of a folder (see openWeights). */
  static open(dir: string, family: string, within?: string): Tensors {
    return new Tensors(openWeights(dir, within), family);
  }

  /** The same tensors by other names. */
  renamed(names: (name: string) => string): Tensors {
    return new Tensors(renamed(this.file, names), this.family, this.allow_unused);
  }

  has(name: string): boolean {
    return this.file.tensors.has(name);
  }

  names(): string[] {
    return [...this.file.tensors.keys()];
  }

  /** The tensor, whose shape must be `shape` (−1: any). */
  ref(name: string, shape: readonly number[]): TensorRef {
    const ref = this.file.tensors.get(name);
    if (ref === undefined)
      throw new TendonError(
        'weights_mismatch',
        `${this.family}: ${this.file.path} has no tensor ${name} (expected ${text(shape)} from config.json)`,
        { name },
      );
    const fits = ref.shape.length === shape.length && shape.every((d, i) => d === -1 || d === ref.shape[i]);
    if (!fits)
      throw new TendonError(
        'weights_mismatch',
        `${this.family}: tensor ${name} should be ${text(shape)} by config.json, but is ${text(ref.shape)} in ${this.file.path}; config and weights belong to different trainings`,
        { name, expected: shape, got: ref.shape },
      );
    this.used.add(name);
    return ref;
  }

  shape(name: string): readonly number[] {
    return this.file.tensors.get(name)?.shape ?? this.ref(name, []).shape;
  }

  /** The tensor whatever its shape, counted as used. */
  anyShape(name: string): TensorRef {
    const ref = this.file.tensors.get(name);
    return this.ref(name, ref?.shape ?? []);
  }

  weight(g: GraphBuilder, name: string, shape: readonly number[]): Value {
    return g.weight(this.ref(name, shape));
  }

  /** Rows start … start + count − 1 of a tensor of `shape`, where they lie in the file. */
  rows(g: GraphBuilder, name: string, shape: readonly number[], start: number, count: number): Value {
    const ref = this.ref(name, shape);
    const row = shape.slice(1).reduce((n, d) => n * d, ELEMENT_BYTES[ref.dtype]!);
    return g.weight({
      ...ref,
      name: `${name}[${start}:${start + count}]`,
      shape: [count, ...shape.slice(1)],
      offset: ref.offset + start * row,
    });
  }

  /** Linear layer `name`.{weight, bias} from `x`'s last dim to `out`. */
  linear(g: GraphBuilder, x: Value, name: string, out: number, bias = true): Value {
    const w = this.weight(g, `${name}.weight`, [out, x.shape.at(-1)!]);
    return g.linear(x, w, bias ? this.weight(g, `${name}.bias`, [out]) : undefined);
  }

  layerNorm(g: GraphBuilder, x: Value, name: string, eps = 1e-5): Value {
    const n = x.shape.at(-1)!;
    return g.layerNorm(x, this.weight(g, `${name}.weight`, [n]), this.weight(g, `${name}.bias`, [n]), eps);
  }

  /** Marks tensors that a family knows of and does not need at run time. */
  ignore(pattern: RegExp): void {
    for (const name of this.file.tensors.keys()) if (pattern.test(name)) this.used.add(name);
  }

  /** Every tensor must have been used or ignored. */
  finish(): void {
    const left = this.names().filter((n) => !this.used.has(n));
    if (left.length === 0) return;
    const what = `${this.family}: ${left.length} tensor(s) of ${this.file.path} belong to nothing in the network that config.json describes`;
    if (!this.allow_unused)
      throw new TendonError(
        'weights_mismatch',
        `${what}, e.g. ${left.slice(0, 3).join(', ')}; if they are known to be of no use when acting, load with allow_unused (--allow-unused)`,
        { unused: left },
      );
    if (!this.said) process.emitWarning(`${what} and are left out: ${left.join(', ')}`, 'TendonWarning');
    this.said = true;
  }
}

const text = (shape: readonly number[]): string => `(${shape.map((d) => (d === -1 ? 'any' : d)).join(', ')})`;
