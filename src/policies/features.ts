// Low-dimensional observations of a LeRobot-style config to the network's condition vector: normalised features in
// config order, one observation after the other.

import { type Goal, type Observation, type PolicySpec, TendonError } from '../types/index.js';
import type { Feature } from './fields.js';
import { type Affine, applyForward, applyInverse } from './processors/affine.js';
import type { ActionMap, Processing } from './processors/processing.js';

export interface FeatureMap {
  readonly keys: readonly string[];
  readonly dims: Readonly<Record<string, number>>;
  /** Floats of one observation. */
  readonly width: number;
  readonly affine: Readonly<Record<string, Affine>>;
}

/** The keys that LeRobot's own policies read; a feature under another is in the dataset and not in the network. */
export const LEROBOT_STATES = ['observation.state', 'observation.environment_state'] as const;

/** `order`: these keys, as far as there are any; absent: every state in config order. */
export function lowDimFeatures(
  features: Readonly<Record<string, Feature>>,
  processing: Processing,
  order: readonly string[] = Object.keys(features),
): FeatureMap {
  const keys = order.filter((k) => features[k]?.type === 'STATE' || features[k]?.type === 'ENV');
  const dims: Record<string, number> = {};
  const affine: Record<string, Affine> = {};
  for (const key of keys) {
    const { type, shape } = features[key]!;
    if (shape.length !== 1)
      throw new TendonError(
        'config_invalid',
        `input_features.${key}: expected one dim for ${type}, got [${shape}]`,
        { key },
      );
    dims[key] = shape[0]!;
    affine[key] = processing.input(key, shape[0]!);
  }
  return { keys, dims, width: keys.reduce((n, k) => n + dims[k]!, 0), affine };
}

/** Length of the action, and its way out. */
export function actionMap(
  features: Readonly<Record<string, Feature>>,
  processing: Processing,
): ActionMap & { readonly dim: number } {
  const action = features.action;
  if (action?.type !== 'ACTION' || action.shape.length !== 1)
    throw new TendonError(
      'config_invalid',
      'output_features: expected one feature "action" of type ACTION with one dim',
    );
  const dim = action.shape[0]!;
  return { dim, ...processing.action(dim) };
}

/** Throws `input_invalid` for a goal that the policy does not know, or of another length. */
export function checkGoal(goal: Goal | undefined, { family, goal_dims, observation_dims }: PolicySpec): void {
  for (const [key, values] of Object.entries(goal ?? {})) {
    const length = goal_dims[key] ?? observation_dims[key];
    if (length === undefined)
      throw new TendonError(
        'input_invalid',
        `goal: ${family} expected ${Object.keys(goal_dims).join(', ') || 'none'}, got ${key}`,
        { key },
      );
    if (values.length !== length || !values.every(Number.isFinite))
      throw new TendonError(
        'input_invalid',
        `goal ${key}: expected ${length} finite numbers, got ${values.length === length ? [...values].join(', ') : values.length}`,
        { expected: length, got: values.length },
      );
  }
}

/** (history · width) normalised numbers; a goal replaces the observation's feature of the same key. */
export function conditionVector(
  map: FeatureMap,
  history: readonly Observation[],
  goal: Goal | undefined,
): Float32Array {
  const out = new Float32Array(history.length * map.width);
  let at = 0;
  for (const observation of history)
    for (const key of map.keys) {
      applyForward(map.affine[key]!, goal?.[key] ?? observation.values[key]!, out, at);
      at += map.dims[key]!;
    }
  return out;
}

/** One feature of each observation, normalised: (history, its length). */
export function rowsOf(map: FeatureMap, key: string, history: readonly Observation[]): Float32Array {
  const n = map.dims[key]!;
  const out = new Float32Array(history.length * n);
  history.forEach(({ values }, i) => {
    applyForward(map.affine[key]!, values[key]!, out, i * n);
  });
  return out;
}

/** All features by key, each as `rowsOf` gives it. */
export function statesOf(map: FeatureMap, history: readonly Observation[]): Record<string, Float32Array> {
  return Object.fromEntries(map.keys.map((key) => [key, rowsOf(map, key, history)]));
}

/** Between normalised rows of actions and physical ones, in place both ways. */
export interface ActionCodec {
  decode(rows: Float32Array, newest: Observation): void;
  encode(rows: Float32Array, newest: Observation): void;
}

/**
 * The way of rows (rows, action_dim) out to the robot and back. Where actions are relative, all rows of a chunk are relative
 * to the newest observation (as in LeRobot's chunks), or each to where the state will be by then, when a step covers the
 * share `travel` of an action.
 */
export function actionCodec({ affine, relative, after }: ActionMap, travel = 0): ActionCodec {
  const n = affine.mul.length;
  /** Turns `rows` in place; `turn` gives what becomes of a number and the action that it stands for. */
  const along = (
    rows: Float32Array,
    newest: Observation,
    turn: (x: number, from: number) => readonly [number, number],
  ): void => {
    const from = relative === undefined ? undefined : newest.values[relative.key];
    if (from === undefined) return;
    const { state, share } = relative!;
    for (let j = 0; j < n; j++) {
      const seen = state === undefined ? from[j]! : from[j]! * state.mul[j]! + state.add[j]!;
      let origin = seen * (share?.[j] ?? 1);
      for (let i = j; i < rows.length; i += n) {
        const [turned, action] = turn(rows[i]!, origin);
        rows[i] = turned;
        origin += travel * action;
      }
    }
  };
  const inward = ({ mul, add }: Affine, rows: Float32Array): void => {
    for (let i = 0; i < rows.length; i++) rows[i] = rows[i]! * mul[i % n]! + add[i % n]!;
  };
  return {
    decode(rows, newest) {
      applyInverse(affine, rows);
      along(rows, newest, (action, from) => [action + from, action]);
      if (after !== undefined) applyInverse(after, rows);
    },
    encode(rows, newest) {
      if (after !== undefined) inward(after, rows);
      along(rows, newest, (target, from) => [target - from, target - from]);
      inward(affine, rows);
    },
  };
}
