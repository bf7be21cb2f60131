// The three ways in which a chunk may be joined to the one before while it is drawn: the sampler draws it there, the network
// was trained to be given its beginning, or it cannot be.

import type { NetworkInputs } from '../native/index.js';
import { type ChunkPrefix, type Observation, TendonError } from '../types/index.js';
import type { Joined, Joining } from './denoiser-family.js';

/** What a joining needs to know of its family. */
export interface JoiningShape {
  readonly action_dim: number;
  readonly rows: number;
  readonly columns: number;
  /** Physical rows (rows, action_dim) to normalised ones, in place. */
  encode(rows: Float32Array, newest: Observation): void;
}

const NOTHING: Joined = { inputs: {}, towards: {}, settle: () => undefined };

/** The sampler's loop draws the chunk towards the prefix, directly or through the derivative of the network. */
export function drawn(shape: JoiningShape): Joining {
  return {
    check: () => undefined,
    guides: (prefix) => prefix?.derivative === true,
    begin(prefix, newest, first) {
      if (prefix === undefined) return NOTHING;
      const rows = prefixRows(shape, prefix, newest, first);
      // Through the derivative the prefix is an input of the graph itself (guided.ts).
      return prefix.derivative === true ? { ...NOTHING, inputs: rows } : { ...NOTHING, towards: rows };
    },
  };
}

/** The network was trained with the beginning of its chunk given: rows of weight 1 go in as they are. */
export function conditioned(shape: JoiningShape): Joining {
  const { rows, columns } = shape;
  return {
    check: () => undefined,
    guides: () => false,
    begin(given, newest, first) {
      const { prefix, prefix_weights } =
        given === undefined
          ? { prefix: new Float32Array(rows * columns), prefix_weights: new Float32Array(rows) }
          : prefixRows(shape, given, newest, first);
      const decided = prefix_weights.map((weight) => (weight >= 1 ? 1 : 0));
      const inputs: NetworkInputs = { prefix, prefix_weights: decided };
      const settle = (x: Float32Array): void =>
        decided.forEach((weight, row) => {
          if (weight === 0) return;
          const known = prefix.subarray(row * columns, (row + 1) * columns);
          for (let at = row * columns; at < x.length; at += prefix.length) x.set(known, at);
        });
      return { inputs, towards: {}, settle };
    },
  };
}

/** No chunk of this network can be drawn towards another; `why` begins the sentence. */
export function notJoined(why: string): Joining {
  const check = (): void => {
    throw new TendonError('unsupported', `${why}; choose chunks mode receding, async or ensemble`);
  };
  return {
    check,
    guides: () => false,
    begin(prefix) {
      if (prefix !== undefined) check();
      return NOTHING;
    },
  };
}

/** A prefix in rows of x, of which the first `first` lie before the newest observation and stay free. */
function prefixRows(
  { action_dim: n, rows, columns, encode }: JoiningShape,
  given: ChunkPrefix,
  newest: Observation,
  first: number,
): { prefix: Float32Array; prefix_weights: Float32Array } {
  if (given.actions.length !== given.weights.length * n || !given.actions.every(Number.isFinite))
    throw new TendonError(
      'input_invalid',
      `prefix: expected ${given.weights.length} × ${n} finite actions, got ${given.actions.length} numbers`,
    );
  const count = Math.min(given.weights.length, rows - first);
  const actions = given.actions.slice(0, count * n);
  encode(actions, newest);
  // Columns that mean nothing are drawn to zero with the rest, as LeRobot does.
  const prefix = new Float32Array(rows * columns);
  for (let row = 0; row < count; row++)
    prefix.set(actions.subarray(row * n, (row + 1) * n), (first + row) * columns);
  const prefix_weights = new Float32Array(rows);
  prefix_weights.set(given.weights.subarray(0, count), first);
  return { prefix, prefix_weights };
}
