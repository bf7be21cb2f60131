// Whether an observation may be acted on: there, fresh by its stamp, whole and finite.

import { type Nanoseconds, NS_PER_MS, type Observation } from '../types/index.js';

export interface ObservationNeeds {
  /** The feature whose first values are the measured positions. */
  readonly position_key: string;
  readonly freshness_ms: number;
}

/** What is wrong with it; undefined when nothing is. `joints`: how many positions it has to hold. */
export function observationFault(
  observation: Observation | undefined,
  now_ns: Nanoseconds,
  joints: number,
  { position_key, freshness_ms }: ObservationNeeds,
): 'robot_lost' | 'observation_stale' | 'observation_invalid' | undefined {
  if (observation === undefined) return 'robot_lost';
  // A stamp from the future is as little to be trusted as one from long ago.
  if (!(Math.abs(now_ns - observation.stamp_ns) <= freshness_ms * NS_PER_MS)) return 'observation_stale';
  const position = observation.values[position_key];
  if (position === undefined || position.length < joints) return 'observation_invalid';
  for (const key in observation.values) {
    const values = observation.values[key]!;
    for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i]!)) return 'observation_invalid';
  }
  return undefined;
}
