// What a block needs of a checkpoint: its tensors by name, each checked against the shape that the network gives it.
// policies/tensors.ts implements it and counts which tensors were asked for.

import type { GraphBuilder, TensorRef, Value } from '../native/index.js';

export interface Weights {
  has(name: string): boolean;
  /** As it is in the checkpoint. Throws `weights_mismatch` where there is none. */
  shape(name: string): readonly number[];
  /** The tensor, whose shape must be `shape` (−1: any). Throws `weights_mismatch`. */
  ref(name: string, shape: readonly number[]): TensorRef;
  weight(g: GraphBuilder, name: string, shape: readonly number[]): Value;
  /** Rows start … start + count − 1 of a tensor of `shape`. */
  rows(g: GraphBuilder, name: string, shape: readonly number[], start: number, count: number): Value;
  /** `name`.{weight, bias} from the last dim of `x` to `out`. */
  linear(g: GraphBuilder, x: Value, name: string, out: number, bias?: boolean): Value;
  layerNorm(g: GraphBuilder, x: Value, name: string, eps?: number): Value;
  /** Marks tensors that the network knows and does not need when it runs. */
  ignore(pattern: RegExp): void;
}
