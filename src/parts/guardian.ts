// Guardians: how much of a new action is allowed beside a proven one. The share is found by what holds an action inside
// (OGSRL's support), or by lower bounds of what each policy is worth (StepMix).

import type { Row } from './numbers.js';

/** base + share·(action − base) */
export const mixed = (action: Row, base: Row, share: number): Float64Array =>
  Float64Array.from({ length: action.length }, (_, i) => base[i]! + share * (action[i]! - base[i]!));

/** The largest share of 0/grid … grid/grid whose mixture is inside; 0, the baseline itself, where none is. */
export function insideShare(
  action: Row,
  base: Row,
  grid: number,
  inside: (mixture: Float64Array, step: number) => boolean,
): number {
  for (let i = grid; i > 0; i--) if (inside(mixed(action, base, i / grid), i)) return i / grid;
  return 0;
}

/** The share for which ρ·V_new + (1 − ρ)·V_base stays at or above `floor`. */
export function valueShare(new_lower: number, base_lower: number, floor: number): number {
  if (new_lower >= floor) return 1;
  if (base_lower < floor) return 0;
  return Math.min(Math.max((base_lower - floor) / (base_lower - new_lower), 0), 1);
}
