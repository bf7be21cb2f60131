// What is known of a value while a file is read, and what the lowering of a node may ask of the reader.

import type { GraphBuilder, Value } from '../native/index.js';
import type { OnnxNode } from '../weights/index.js';
import type { Constant } from './constants.js';
import type { Around } from './patterns.js';
import type { Live } from './value.js';

/** A norm that may still take its weight and bias from the Mul and Add behind it; channels are the last graph axis. */
export interface Norm {
  readonly kind: 'norm';
  readonly norm: 'group' | 'layer';
  readonly x: Value;
  readonly order: readonly number[];
  readonly groups: number;
  readonly eps: number;
  readonly weight?: Value | undefined;
  readonly bias?: Value | undefined;
}

/** The first Reshape of a group norm, (1, groups, rest): of `x`, whose ONNX dims were `dims`. */
export interface Grouped {
  readonly kind: 'grouped';
  readonly x: Live;
  readonly dims: readonly number[];
  readonly groups: number;
  /** Set once normalised. */
  readonly eps: number | undefined;
}

/** q·kᵀ on its way to attention; ONNX axes (…, heads, queries, keys). */
export interface Scores {
  readonly kind: 'scores';
  readonly q: Live;
  readonly k: Live;
  readonly scale: number;
  readonly mask: Constant | undefined;
  readonly softmaxed: boolean;
}

export type Known = Live | Constant | Norm | Grouped | Scores;

/** The reader as lowerings see it. */
export interface Context extends Around {
  readonly g: GraphBuilder;
  /** Products with weights by the id of their value, so that a bias behind one can join it. */
  readonly products: Map<number, { readonly x: Value; readonly weight: Value }>;
  takers(name: string): readonly OnnxNode[];
  scalar(name: string): number | undefined;
  /** The value as it stands, norms and scores held back. */
  raw(name: string): Known;
  live(name: string): Live;
  /** Whatever it is, as a value of the graph. */
  settle(x: Known, name: string): Live;
  /** A constant in the graph: by its place in the file where it is whole, by its numbers else. */
  tensor(x: Constant, shape: readonly number[]): Value;
}
