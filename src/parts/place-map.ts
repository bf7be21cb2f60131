// A route as a row of places that were seen once, in order (GNM, ViNT, NoMaD): localised within a window about where we were, the
// next place is the subgoal. Teach by driving once; repeat by going from place to place.

import { TendonError } from '../types/index.js';

/** How a map of places is followed. */
export interface PlaceOptions {
  /** Places looked at to either side of the last one (4). */
  readonly window: number;
  /** The next place is the subgoal once the present one is nearer than this. */
  readonly close: number;
  /** Lost when no place of the window is nearer than this; then every place is looked at. */
  readonly lost: number;
}

/** Where on a map of places an observation is. */
export interface Located {
  /** The nearest place, and the one to go to. */
  readonly at: number;
  readonly subgoal: number;
  /** Distance to the nearest place. */
  readonly distance: number;
  /** No place is near, in the window or anywhere. */
  readonly lost: boolean;
  /** The last place is nearer than `close`. */
  readonly done: boolean;
}

/** Where on the route we are. `before` is the place of the last observation; undefined: anywhere. */
export function locate(
  distances: ArrayLike<number>,
  before: number | undefined,
  { window, close, lost }: PlaceOptions,
): Located {
  const n = distances.length;
  if (n === 0) throw new TendonError('input_invalid', 'route: expected at least one place');
  const nearest = (from: number, to: number): number => {
    let best = from;
    for (let i = from; i <= to; i++) if (!(distances[best]! <= distances[i]!)) best = i;
    return best;
  };
  let at =
    before === undefined
      ? nearest(0, n - 1)
      : nearest(Math.max(0, before - window), Math.min(n - 1, before + window));
  // Lost within the window: perhaps we are elsewhere on the route.
  if (!(distances[at]! <= lost)) at = nearest(0, n - 1);
  const distance = distances[at]!;
  const subgoal = distance < close ? Math.min(at + 1, n - 1) : at;
  return { at, subgoal, distance, lost: !(distance <= lost), done: at === n - 1 && distance < close };
}

/** Places of a drive that lie at least `spacing` apart, by `distance`; the first and the last always. Indices, ascending. */
export function placesOf(
  count: number,
  spacing: number,
  distance: (a: number, b: number) => number,
): number[] {
  if (count === 0) return [];
  const kept = [0];
  for (let i = 1; i < count; i++) if (distance(kept.at(-1)!, i) >= spacing) kept.push(i);
  if (kept.at(-1) !== count - 1) kept.push(count - 1);
  return kept;
}
