// What of a state nobody needs to learn, because it follows from what is predicted: an offset to something that stands
// still, a distance, a direction, a cut of it. Given in the state's own units, by place; networks see it normalised.

import * as z from 'zod';
import type { GraphBuilder, Value } from '../../native/index.js';
import type { Affine } from '../processors/affine.js';

const place = z.number().int().min(0);

export const FollowsSchema = z.lazy(() =>
  z.array(
    z.discriminatedUnion('as', [
      /** From feature `of` to what does not move: it changes by as much, the other way. */
      z.object({ as: z.literal('offset'), at: place, of: place }),
      /** √(Σ of²), at least `floor`. */
      z.object({ as: z.literal('norm'), at: place, of: z.array(place).min(1), floor: z.number().min(0) }),
      z.object({ as: z.literal('ratio'), at: place, of: place, by: place }),
      z.object({ as: z.literal('tanh'), at: place, of: place, scale: z.number().positive() }),
    ]),
  ),
);
export type Follows = z.infer<typeof FollowsSchema>;

/**
 * Where predictions go, (predictions, state_dim) of a state normalised by `affine`: each to its own place of `predicted`,
 * and to the offsets that move against it.
 */
export function placing(
  predicted: readonly number[],
  follows: Follows,
  state_dim: number,
  { mul }: Pick<Affine, 'mul'>,
): Float32Array {
  const out = new Float32Array(predicted.length * state_dim);
  predicted.forEach((at, row) => {
    out[row * state_dim + at] = 1;
    for (const follow of follows)
      if (follow.as === 'offset' && follow.of === at)
        out[row * state_dim + follow.at] = -mul[follow.at]! / mul[at]!;
  });
  return out;
}

/** `state` (rows, particles, state_dim), normalised, with its norms, ratios and cuts made anew, in the order they are given. */
export function followed(g: GraphBuilder, state: Value, follows: Follows, { mul, add }: Affine): Value {
  const columns = new Map<number, Value>();
  /** A feature in its own unit. */
  const read = (at: number): Value =>
    columns.get(at) ?? g.affine(g.slice(state, 2, at, 1), 1 / mul[at]!, -add[at]! / mul[at]!);
  for (const follow of follows) {
    if (follow.as === 'offset') continue;
    columns.set(follow.at, made(g, follow, read));
  }
  if (columns.size === 0) return state;
  const parts: Value[] = [];
  let from = 0;
  for (const at of [...columns.keys()].sort((a, b) => a - b)) {
    if (at > from) parts.push(g.slice(state, 2, from, at - from));
    parts.push(g.affine(columns.get(at)!, mul[at]!, add[at]!));
    from = at + 1;
  }
  const width = state.shape[2]!;
  if (from < width) parts.push(g.slice(state, 2, from, width - from));
  return g.concat(parts, 2);
}

function made(
  g: GraphBuilder,
  follow: Exclude<Follows[number], { as: 'offset' }>,
  read: (at: number) => Value,
): Value {
  switch (follow.as) {
    case 'norm': {
      const squares = follow.of.map((i) => g.unary('square', read(i)));
      const norm = g.unary(
        'sqrt',
        squares.reduce((a, b) => g.add(a, b)),
      );
      return g.binary('maximum', norm, g.constant([follow.floor], [1]));
    }
    case 'ratio':
      return g.binary('div', read(follow.of), read(follow.by));
    case 'tanh':
      return g.unary('tanh', g.affine(read(follow.of), 1 / follow.scale, 0));
  }
}
