// What flow-matching VLAs share: a prefix of camera, text and state tokens whose keys and values are kept per layer (the
// observation stage is the cache), an action expert that reads them at every step, and time as a sine embedding.

import type { GraphBuilder, Value } from '../../native/index.js';
import type { Rotation } from '../../networks/index.js';
import { angles } from '../../networks/index.js';

/** Tokens of a prefix and of what is denoised, as the graph has room for them. */
export interface Layout {
  readonly cameras: number;
  readonly tokens_per_camera: number;
  readonly text: number;
  /** State tokens within the prefix: one of SmolVLA's. */
  readonly state: number;
  /** Tokens that the expert denoises. */
  readonly chunk: number;
}

export const prefixLength = ({ cameras, tokens_per_camera, text, state }: Layout): number =>
  cameras * tokens_per_camera + text + state;

/** Large enough that softmax makes exactly nothing of it. */
const MASKED = -1e9;

/** Inputs that depend on which tokens are there; all of the observation stage. */
export interface PrefixInputs {
  readonly rotation: Rotation;
  /** (prefix, prefix) */
  readonly mask: Value;
  /** (chunk, prefix): which tokens the actions may read. */
  readonly readable: Value;
}

export function prefixInputs(g: GraphBuilder, length: number, chunk: number, head_dim: number): PrefixInputs {
  return {
    rotation: rotationInput(g, 'prefix', length, head_dim),
    mask: g.input('prefix_mask', [length, length], 'observation'),
    readable: g.input('chunk_mask', [chunk, length], 'observation'),
  };
}

export function rotationInput(g: GraphBuilder, name: string, length: number, head_dim: number): Rotation {
  const shape = [1, length, 1, head_dim / 2];
  return {
    cos: g.input(`${name}_cos`, shape, 'observation'),
    sin: g.input(`${name}_sin`, shape, 'observation'),
  };
}

/** A rotation that never changes. */
export function fixedRotation(g: GraphBuilder, positions: readonly number[], head_dim: number): Rotation {
  const { cos, sin } = angles(positions, head_dim);
  const shape = [1, positions.length, 1, head_dim / 2];
  return { cos: g.constant(cos, shape), sin: g.constant(sin, shape) };
}

/**
 * The numbers of PrefixInputs, and of `suffix` positions behind it, for the tokens that are present; `chunk` rows of actions
 * read all of them.
 */
export function prefixNumbers(
  present: readonly boolean[],
  head_dim: number,
  suffix: number,
  chunk: number,
  /** Whether token i may read token j, both present. */
  sees: (i: number, j: number) => boolean,
): Record<string, Float32Array> {
  const n = present.length;
  let count = 0;
  // Positions count the tokens that are there; those that are not have garbage that nobody reads.
  const positions = present.map((here) => (here ? count++ : Math.max(count - 1, 0)));
  const mask = new Float32Array(n * n).fill(MASKED);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < n; j++) if (present[i] && present[j] && sees(i, j)) mask[i * n + j] = 0;
  const turned = (name: string, at: readonly number[]): Record<string, Float32Array> => {
    const { cos, sin } = angles(at, head_dim);
    return { [`${name}_cos`]: cos, [`${name}_sin`]: sin };
  };
  return {
    ...turned('prefix', positions),
    ...turned(
      'suffix',
      Array.from({ length: suffix }, (_, i) => count + i),
    ),
    prefix_mask: mask,
    chunk_mask: Float32Array.from({ length: chunk * n }, (_, at) => (present[at % n] ? 0 : MASKED)),
    state_mask: Float32Array.from({ length: n + 1 }, (_, i) => (i === n || present[i] ? 0 : MASKED)),
  };
}

/** (rows, rows) for a mask: row i reads up to itself. */
export function causal(rows: number): Float32Array {
  return Float32Array.from({ length: rows * rows }, (_, at) =>
    at % rows <= Math.floor(at / rows) ? 0 : MASKED,
  );
}

/**
 * [sin(all) ‖ cos(all)] of a flow time in [0, 1], `width` numbers: periods from `min` to `max` evenly in their logarithm,
 * angles in f64 (at t = 1 the shortest has turned 250 times).
 */
export function timeEmbedding(t: number, width: number, min: number, max: number): Float32Array {
  const half = width / 2;
  const out = new Float32Array(width);
  for (let k = 0; k < half; k++) {
    const period = min * (max / min) ** (k / (half - 1));
    const angle = (t * 2 * Math.PI) / period;
    out[k] = Math.sin(angle);
    out[half + k] = Math.cos(angle);
  }
  return out;
}

/** Times of N steps from 1 downwards, as the peers compute them: 1 + i·(−1/N). */
export const flowTimes = (steps: number): number[] =>
  Array.from({ length: steps }, (_, i) => 1 + i * (-1 / steps));
