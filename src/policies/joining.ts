// The ways in which a chunk may be joined to the one before while it is drawn: the sampler draws it there, the network
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
  const check = (trained?: boolean): void => {
    if (trained === true)
      throw new TendonError(
        'unsupported',
        'this policy was not trained with the beginning of its chunks given; leave chunks.trained out, and it is drawn there by guidance',
      );
  };
  return {
    check,
    guides: (prefix) => prefix?.derivative === true,
    begin(prefix, newest, first) {
      check(prefix?.trained);
      if (prefix === undefined) return NOTHING;
      const rows = prefixRows(shape, prefix, newest, first);
      // Through the derivative the prefix is an input of the graph itself (guided.ts).
      return prefix.derivative === true ? { ...NOTHING, inputs: rows } : { ...NOTHING, towards: rows };
    },
  };
}

/** Guided as others are, or, when a prefix asks for it, given its beginning as the network was trained: at most `most` rows. */
export const drawnOrGiven =
  (most: number) =>
  (shape: JoiningShape): Joining => {
    const [guided, given] = [drawn(shape), conditioned(shape, 'given')];
    return {
      check: () => undefined,
      guides: guided.guides,
      begin(prefix, newest, first) {
        if (prefix?.trained !== true) {
          const begun = guided.begin(prefix, newest, first);
          return { ...begun, inputs: { ...given.begin(undefined, newest, first).inputs, ...begun.inputs } };
        }
        const decided = prefix.weights.filter((weight) => weight >= 1).length;
        const are_first = prefix.weights.every((weight, i) => weight >= 1 === i < decided);
        if (decided < 1 || decided > most || decided >= shape.rows || !are_first)
          throw new TendonError(
            'input_invalid',
            `prefix: this policy was trained with 1 to ${most} rows of its chunk given (rtc_training_max_delay), got ${decided} of weight 1${are_first ? '' : ', not all of them at the beginning'}; its inference takes longer than that: ask for its chunks earlier, or guide it instead (trained: false)`,
            { decided, most },
          );
        return given.begin(prefix, newest, first);
      },
    };
  };

/**
 * The network was trained with the beginning of its chunk given: rows of weight 1 go in as they are, under the graph's inputs
 * `name` and `name`_weights.
 */
export function conditioned(shape: JoiningShape, name = 'prefix'): Joining {
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
      const inputs: NetworkInputs = { [name]: prefix, [`${name}_weights`]: decided };
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
