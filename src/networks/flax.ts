// Layers of flax modules by their names: Dense_<i>/{kernel (in, out), bias}, LayerNorm_<i>/{scale, bias}, Conv_<i>. Widths
// and depths follow from the arrays. A module that was vmapped into an ensemble has one more leading axis on every array.

import type { GraphBuilder, Value } from '../native/index.js';
import { TendonError } from '../types/index.js';
import type { ArrayFile, StoredArray } from '../weights/index.js';
import { ELEMENT_BYTES } from '../weights/index.js';

export interface MlpStyle {
  readonly activation: 'gelu_tanh' | 'relu';
  /** Where LayerNorm stands where there is one: after the activation (OGBench, HIQL) or before it (SMORe). */
  readonly norm?: 'after' | 'before';
  /** The last layer is activated too. */
  readonly activate_final?: boolean;
  /** Name of layer i: Dense_<i>, or layers_<i> where the module keeps a list. */
  readonly layer?: (i: number) => string;
}

const dense = (i: number): string => `Dense_${i}`;

/** One module of a checkpoint: arrays below a path, each counted when it is used. */
export class Flax {
  constructor(
    private readonly file: ArrayFile,
    readonly path: string,
    private readonly used: Set<string>,
    private readonly part?: number,
  ) {}

  at(name: string): Flax {
    return new Flax(this.file, this.join(name), this.used, this.part);
  }

  /** Network `i` of an ensemble. */
  member(i: number): Flax {
    return new Flax(this.file, this.path, this.used, i);
  }

  /** Whether there is an array or a module of that name. */
  has(name: string): boolean {
    const path = this.join(name);
    if (this.file.arrays.has(path)) return true;
    for (const key of this.file.arrays.keys()) if (key.startsWith(`${path}/`)) return true;
    return false;
  }

  /** Of one network: without the ensemble's axis. */
  shape(name: string): readonly number[] {
    const { shape } = this.array(name);
    return this.part === undefined ? shape : shape.slice(1);
  }

  /** Networks of an ensemble, from the leading axis of a layer's kernel. */
  size(name: string): number {
    return this.array(name).shape[0] ?? 0;
  }

  /** Width of the input of a Dense. */
  width(name: string): number {
    return this.shape(`${name}/kernel`)[0]!;
  }

  /** An array as it is stored; a scalar has one number. */
  numbers(name: string): Float32Array {
    return this.array(name).numbers();
  }

  vector(g: GraphBuilder, name: string): Value {
    return this.value(g, name, this.shape(name));
  }

  /** x (…, in) · kernel + bias. */
  dense(g: GraphBuilder, x: Value, name: string): Value {
    const [inputs, outputs] = this.shape(`${name}/kernel`);
    if (inputs !== x.shape.at(-1))
      throw new TendonError(
        'weights_mismatch',
        `actor: ${this.join(name)} takes ${inputs} numbers, and ${x.shape.at(-1)} come before it; the flags and the weights belong to different trainings`,
        { name: this.join(name), expected: inputs, got: x.shape.at(-1) },
      );
    const kernel = g.permute(this.value(g, `${name}/kernel`, [inputs!, outputs!]), [1, 0]);
    return g.linear(x, kernel, this.has(`${name}/bias`) ? this.vector(g, `${name}/bias`) : undefined);
  }

  /** flax's LayerNorm: eps 1e-6. */
  layerNorm(g: GraphBuilder, x: Value, name: string): Value {
    return g.layerNorm(x, this.vector(g, `${name}/scale`), this.vector(g, `${name}/bias`), 1e-6);
  }

  /** x (batch, h, w, in), SAME, stride 1; kernel (h, w, in, out). */
  conv(g: GraphBuilder, x: Value, name: string): Value {
    const shape = this.shape(`${name}/kernel`);
    const [rows] = shape;
    const kernel = g.permute(this.value(g, `${name}/kernel`, shape), [3, 2, 0, 1]);
    return g.conv2d(x, kernel, this.vector(g, `${name}/bias`), { stride: 1, pad: Math.floor(rows! / 2) });
  }

  /** Dense layers as far as there are any; LayerNorm where the arrays have one. */
  mlp(
    g: GraphBuilder,
    x: Value,
    { activation, norm = 'after', activate_final = false, layer = dense }: MlpStyle,
  ): Value {
    let h = x;
    for (let i = 0; this.has(layer(i)); i++) {
      h = this.dense(g, h, layer(i));
      const last = !this.has(layer(i + 1));
      if (last && !activate_final) continue;
      const normed = this.has(`LayerNorm_${i}`);
      if (normed && norm === 'before') h = this.layerNorm(g, h, `LayerNorm_${i}`);
      h = g.unary(activation, h);
      if (normed && norm === 'after') h = this.layerNorm(g, h, `LayerNorm_${i}`);
    }
    return h;
  }

  private value(g: GraphBuilder, name: string, shape: readonly number[]): Value {
    const array = this.array(name);
    const count = shape.reduce((n, d) => n * d, 1);
    const first = (this.part ?? 0) * count;
    if (array.ref === undefined) return g.constant(array.numbers().slice(first, first + count), shape);
    const offset = array.ref.offset + first * ELEMENT_BYTES[array.dtype]!;
    const suffix = this.part === undefined ? '' : `[${this.part}]`;
    return g.weight({ ...array.ref, name: `${array.name}${suffix}`, shape, offset });
  }

  private array(name: string): StoredArray {
    const path = this.join(name);
    const array = this.file.arrays.get(path);
    if (array === undefined)
      throw new TendonError('weights_mismatch', `actor: ${this.file.path} has no array ${path}`, {
        name: path,
      });
    if (this.part !== undefined && !(this.part < (array.shape[0] ?? 0)))
      throw new TendonError(
        'weights_mismatch',
        `actor: ${path} has no network ${this.part}: it is (${array.shape.join(', ')})`,
        {
          name: path,
        },
      );
    this.used.add(path);
    return array;
  }

  private join(name: string): string {
    return this.path === '' ? name : `${this.path}/${name}`;
  }
}

/** x·√n/‖x‖ along the last dim. Zero has no direction and becomes NaN, which fails the inference. */
export function lengthNormalize(g: GraphBuilder, x: Value): Value {
  return g.affine(unit(g, x), Math.sqrt(x.shape.at(-1)!), 0);
}

/** x/‖x‖ along the last dim. */
export function unit(g: GraphBuilder, x: Value): Value {
  return g.mul(x, g.unary('rsqrt', g.reduce('sum', g.unary('square', x))));
}
