// The last thing between any number and the robot: a command is cut to position, velocity and acceleration limits, or
// refused when it is not finite. Pure arithmetic over arrays made beforehand; nothing is allocated.

import { TendonError } from '../types/index.js';

/** Per joint, in its unit, per s and per s². */
export interface Limits {
  readonly lower: readonly number[];
  readonly upper: readonly number[];
  readonly velocity: readonly number[];
  readonly acceleration?: readonly number[] | undefined;
}

/** What `limit` did, as bits. */
export const LIMITED = { position: 1, velocity: 2, acceleration: 4, not_finite: 8 } as const;

/** A joint within this many seconds of its speed limit from its command is lagging, not moved by others. */
const LAG_S = 0.1;

/** Refuses limits that would not limit. */
export function checkLimits(limits: Limits, joints: number): void {
  for (const [name, values] of Object.entries(limits) as [string, readonly number[] | undefined][]) {
    if (values === undefined) continue;
    if (values.length !== joints)
      throw new TendonError(
        'config_invalid',
        `limits.${name}: expected one value for each of ${joints} joints, got ${values.length}`,
        { name },
      );
    values.forEach((v, joint) => {
      const positive = name === 'velocity' || name === 'acceleration';
      if (!Number.isFinite(v) || (positive && v <= 0))
        throw new TendonError(
          'config_invalid',
          `limits.${name}[${joint}]: expected a ${positive ? 'positive' : 'finite'} number, got ${v}`,
          { name, joint },
        );
    });
  }
  limits.lower.forEach((low, joint) => {
    if (!(low < limits.upper[joint]!))
      throw new TendonError(
        'config_invalid',
        `limits: joint ${joint} has lower ${low} not below upper ${limits.upper[joint]}`,
        { joint },
      );
  });
}

export class Limiter {
  private readonly velocity: Float64Array;

  constructor(
    private readonly limits: Limits,
    /** The last command that left; starts at the measured position. */
    readonly previous: Float64Array,
  ) {
    checkLimits(limits, previous.length);
    this.velocity = new Float64Array(previous.length);
  }

  /** Begins anew from where the robot is, at rest. */
  restart(measured: ArrayLike<number>): void {
    for (let i = 0; i < this.previous.length; i++) this.previous[i] = measured[i]!;
    this.velocity.fill(0);
  }

  /** After a silence: joints that have moved on without us begin anew where they are; servo lag is left alone. */
  rejoin(measured: ArrayLike<number>): void {
    for (let i = 0; i < this.previous.length; i++) {
      if (Math.abs(measured[i]! - this.previous[i]!) <= LAG_S * this.limits.velocity[i]!) continue;
      this.previous[i] = measured[i]!;
      this.velocity[i] = 0;
    }
  }

  /**
   * Cuts `desired` to what may be commanded `dt` seconds after the last command and remembers it; `out` may be
   * `desired`. Returns the LIMITED bits. A desired value that is not finite keeps that joint
   * where it was, braking within the acceleration limit.
   */
  limit(desired: ArrayLike<number>, dt: number, out: Float64Array): number {
    let bits = 0;
    const { lower, upper, velocity, acceleration } = this.limits;
    for (let i = 0; i < this.previous.length; i++) {
      const last = this.previous[i]!;
      let target = i < desired.length ? desired[i]! : Number.NaN;
      if (!Number.isFinite(target)) {
        bits |= LIMITED.not_finite;
        target = last;
      }
      if (target < lower[i]! || target > upper[i]!) {
        bits |= LIMITED.position;
        target = Math.min(upper[i]!, Math.max(lower[i]!, target));
      }
      let speed = (target - last) / dt;
      if (acceleration !== undefined) {
        const change = acceleration[i]! * dt;
        const now = this.velocity[i]!;
        if (Math.abs(speed - now) > change) {
          bits |= LIMITED.acceleration;
          speed = now + Math.sign(speed - now) * change;
        }
        // Never faster than can be braked before the limit ahead.
        const room = speed > 0 ? upper[i]! - last : last - lower[i]!;
        const brake = Math.sqrt(2 * acceleration[i]! * Math.max(0, room));
        if (Math.abs(speed) > brake) speed = Math.sign(speed) * brake;
      }
      if (Math.abs(speed) > velocity[i]!) {
        bits |= LIMITED.velocity;
        speed = Math.sign(speed) * velocity[i]!;
      }
      let next = last + speed * dt;
      // A robot found outside its range is led back, never further out.
      if (last >= lower[i]! && last <= upper[i]!) next = Math.min(upper[i]!, Math.max(lower[i]!, next));
      this.velocity[i] = (next - last) / dt;
      this.previous[i] = next;
      out[i] = next;
    }
    return bits;
  }
}
