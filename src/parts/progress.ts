// The progress monitor: what the distances to a goal say over time. Reached, on the way, stalled (nothing gained for a while) or
// off the route. Its state is a value, so that a replay sees the same.

import { TendonError } from '../types/index.js';

/** When a goal counts as reached, as stalled, or as left. */
export interface ProgressOptions {
  /** Reached when the distance is at most this, steps of the policy. */
  readonly reached_steps: number;
  /** For so many observations on end (1). */
  readonly reached_for?: number;
  /** Stalled when the least distance has not fallen by `gain_steps` (1) for so many observations. */
  readonly stall_after: number;
  readonly gain_steps?: number;
  /** Off the route when the nearest place of it is further than this, steps. Absent: never. */
  readonly lost_steps?: number;
}

/** How a drive towards a goal stands. */
export const PROGRESS_STATES = ['on the way', 'reached', 'stalled', 'off the route'] as const;
export type ProgressState = (typeof PROGRESS_STATES)[number];

/** How a drive towards a goal stands, with the distances that say so. */
export interface Progress {
  readonly state: ProgressState;
  /** The last distance, steps. */
  readonly distance: number;
  /** The least so far that counted as a gain, and how many observations ago. */
  readonly least: number;
  readonly since: number;
  /** Observations on end that were close enough. */
  readonly close: number;
}

/**
 * After one more observation. `distance`: steps to the goal; `off`: steps to the nearest place of the route. A distance that is
 * not a number is no gain: a monitor that cannot see says stalled in the end, never reached. Reached stays so until the goal
 * changes, which is a new beginning (`before` undefined).
 */
export function progressed(
  before: Progress | undefined,
  distance: number,
  options: ProgressOptions,
  off?: number,
): Progress {
  const { reached_steps, reached_for = 1, stall_after, gain_steps = 1, lost_steps } = options;
  if (!(reached_steps >= 0) || !(stall_after >= 1))
    throw new TendonError(
      'config_invalid',
      `progress: expected reached_steps of at least 0 and stall_after of at least 1, got ${reached_steps} and ${stall_after}`,
    );
  const { least = Number.POSITIVE_INFINITY, since = 0, close = 0 } = before ?? {};
  const gained = distance <= least - gain_steps;
  const now = {
    distance,
    least: gained ? distance : least,
    since: gained ? 0 : since + 1,
    close: distance <= reached_steps ? close + 1 : 0,
  };
  if (before?.state === 'reached' || now.close >= reached_for) return { ...now, state: 'reached' };
  if (lost_steps !== undefined && off !== undefined && !(off <= lost_steps))
    return { ...now, state: 'off the route' };
  return { ...now, state: now.since >= stall_after ? 'stalled' : 'on the way' };
}
