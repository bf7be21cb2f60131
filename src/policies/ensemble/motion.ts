// From what members predict to the next state, and from a planned action to what members are asked about: both follow
// from the checkpoint's config, and neither is learnt.

import type { GraphBuilder, Value } from '../../native/index.js';
import { isPositive } from '../../networks/index.js';
import type { Affine } from '../processors/affine.js';
import type { EnsembleConfig } from './config.js';
import { followed, placing } from './follows.js';

/** How the state and the actions are normalised, and where in the state the positions begin that actions are relative to. */
export interface Units {
  readonly state: Affine;
  readonly action: Affine;
  readonly positions?: number;
}

const vector = (g: GraphBuilder, values: ArrayLike<number>): Value =>
  g.constant(Float32Array.from(values), [values.length]);

/** What is wrong with the places that a config names in a state of `state_dim` features; undefined: nothing. */
export function misplaced(
  { predicted, switches, follows }: EnsembleConfig,
  state_dim: number,
): string | undefined {
  const known = predicted ?? Array.from({ length: state_dim }, (_, i) => i);
  const beyond = (field: string, places: readonly number[]): string | undefined => {
    const place = places.find((i) => i >= state_dim);
    return place === undefined
      ? undefined
      : `${field}: expected places from 0 to ${state_dim - 1}, got ${place}`;
  };
  const read = follows.flatMap((f) => (f.as === 'ratio' ? [f.of, f.by] : f.of));
  const both = follows.find(({ at }) => known.includes(at));
  const idle = switches.find((i) => !known.includes(i));
  return (
    beyond('predicted', known) ??
    beyond('follows', [...follows.map(({ at }) => at), ...read]) ??
    (both === undefined ? undefined : `follows: feature ${both.at} is among the predicted ones too`) ??
    (idle === undefined ? undefined : `switches: expected predicted features, got ${idle}, which is not`)
  );
}

/** The next state (rows, particles, state_dim) of the state before and what members said of it. */
export function motionOf(
  { predicted, switches, follows, no_delta_list }: EnsembleConfig,
  state_dim: number,
  state: Affine,
): (g: GraphBuilder, before: Value, said: Value) => Value {
  const places = predicted ?? Array.from({ length: state_dim }, (_, i) => i);
  const own = (at: number): boolean => no_delta_list.includes(at) || switches.includes(at);
  /** 1 where a feature keeps what it was, 0 where its value itself is predicted. */
  const kept = Float32Array.from({ length: state_dim }, (_, i) => (own(i) ? 0 : 1));
  const plain = predicted === undefined && follows.length === 0;
  const into = placing(places, follows, state_dim, state);
  return (g, before, said) => {
    let change = g.slice(said, 2, 0, places.length);
    if (switches.length > 0) change = switched(g, change, places, switches, state);
    if (!plain) change = g.matmul(change, g.constant(into, [1, places.length, state_dim]));
    const base = kept.every((k) => k === 1) ? before : g.mul(before, vector(g, kept));
    return followed(g, g.add(base, change), follows, state);
  };
}

/** What is predicted, with each switch at the nearer of 0 and 1 (of the state's own unit). */
function switched(
  g: GraphBuilder,
  said: Value,
  places: readonly number[],
  switches: readonly number[],
  { mul, add }: Affine,
): Value {
  const is = places.map((at) => (switches.includes(at) ? 1 : 0));
  const of = (each: (at: number, i: number) => number): Value => vector(g, places.map(each));
  const on = isPositive(
    g,
    g.binary(
      'sub',
      said,
      of((at) => 0.5 * mul[at]! + add[at]!),
    ),
  );
  const rest = g.mul(
    said,
    of((_, i) => 1 - is[i]!),
  );
  const cut = g.mul(
    on,
    of((at, i) => is[i]! * mul[at]!),
  );
  return g.add(
    g.add(rest, cut),
    of((at, i) => is[i]! * add[at]!),
  );
}

/** Where actions start from that are relative to a position, and to where it will be by then (`action_travel`). */
export interface Origin {
  /** Of the state, in the robot's units: (rows, particles, action_dim). */
  positions(g: GraphBuilder, states: Value): Value;
  /** The action, given from `origin`, as it is from where the particle has come: what members have learnt. */
  seen(g: GraphBuilder, states: Value, origin: Value, a: Value): Value;
  /** The origin of the next row, after `a` (rows, action_dim); as actionCodec has it. */
  on(g: GraphBuilder, origin: Value, a: Value): Value;
}

export function originOf(
  { action_travel }: EnsembleConfig,
  action_dim: number,
  { state, action, positions: from }: Units,
): Origin | undefined {
  if (from === undefined) return undefined;
  const scale = Array.from(state.mul.subarray(from, from + action_dim), (m) => 1 / m);
  const shift = scale.map((s, i) => -s * state.add[from + i]!);
  const back = Array.from(action.mul, (m) => 1 / m);
  const positions = (g: GraphBuilder, states: Value): Value =>
    g.add(g.mul(g.slice(states, 2, from, action_dim), vector(g, scale)), vector(g, shift));
  return {
    positions,
    seen: (g, states, origin, a) =>
      g.add(a, g.mul(g.binary('sub', origin, positions(g, states)), vector(g, action.mul))),
    on(g, origin, a) {
      const centred = g.binary('sub', g.reshape(a, [1, 1, action_dim]), vector(g, action.add));
      const moved = g.mul(
        centred,
        vector(
          g,
          back.map((b) => action_travel * b),
        ),
      );
      return g.add(origin, moved);
    },
  };
}
