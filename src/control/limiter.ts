// The last thing between any number and the robot: a command is cut to position, velocity, acceleration and jerk limits, or
// refused when it is not finite. Pure arithmetic over arrays made beforehand; nothing is allocated. The executor's thread
// does the same in native/chunk/limiter.cpp, and test/unit/executor.test.ts compares the two bit for bit.

import { TendonError } from '../types/index.js';
import { JerkLimiter, type JointMotion } from './jerk.js';

/** Per joint, in its unit, per s and per s². */
export interface Limits {
  readonly lower: readonly number[];
  readonly upper: readonly number[];
  readonly velocity: readonly number[];
  readonly acceleration?: readonly number[] | undefined;
  /** Per s³; only with an acceleration. */
  readonly jerk?: readonly number[] | undefined;
  /** How far a target may be from the measured position; the controller keeps it, who knows that. */
  readonly step_from_measured?: readonly number[] | undefined;
}

/** What `limit` did, as bits. */
export const LIMITED = { position: 1, velocity: 2, acceleration: 4, not_finite: 8, jerk: 16 } as const;

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
      const positive = name !== 'lower' && name !== 'upper';
      if (!Number.isFinite(v) || (positive && v <= 0))
        throw new TendonError(
          'config_invalid',
          `limits.${name}[${joint}]: expected a ${positive ? 'positive' : 'finite'} number, got ${v}`,
          { name, joint },
        );
    });
  }
  if (limits.jerk !== undefined && limits.acceleration === undefined)
    throw new TendonError('config_invalid', 'limits.jerk: expected limits.acceleration beside it');
  limits.lower.forEach((low, joint) => {
    if (!(low < limits.upper[joint]!))
      throw new TendonError(
        'config_invalid',
        `limits: joint ${joint} has lower ${low} not below upper ${limits.upper[joint]}`,
        { joint },
      );
  });
}

/**
 * The fastest speed from which `distance` is enough to stop, braking by `acceleration` once a period: the whole
 * periods of braking that fit, k, then the speed that ends exactly there.
 */
function fastest(distance: number, acceleration: number, dt: number): number {
  if (distance <= 0) return 0;
  const k = Math.floor((Math.sqrt(1 + (8 * distance) / (acceleration * dt * dt)) - 1) / 2);
  return (distance / dt + (acceleration * dt * k * (k + 1)) / 2) / (k + 1);
}

export class Limiter {
  private readonly velocity: Float64Array;
  /** Of the last command; only with a jerk limit. */
  private readonly acceleration: Float64Array;
  private readonly jerks = new JerkLimiter();
  private readonly motion: JointMotion = { position: 0, speed: 0, acceleration: 0 };

  constructor(
    private readonly limits: Limits,
    /** The last command that left; starts at the measured position. */
    readonly previous: Float64Array,
  ) {
    checkLimits(limits, previous.length);
    this.velocity = new Float64Array(previous.length);
    this.acceleration = new Float64Array(previous.length);
  }

  /** Whether the last command was one of motion. */
  get moving(): boolean {
    return this.velocity.some((v, i) => v !== 0 || this.acceleration[i] !== 0);
  }

  /** Goes on from where `other` is. */
  copy(other: Limiter): void {
    this.previous.set(other.previous);
    this.velocity.set(other.velocity);
    this.acceleration.set(other.acceleration);
  }

  /** Begins anew from where the robot is, at rest. */
  restart(measured: ArrayLike<number>): void {
    for (let i = 0; i < this.previous.length; i++) this.previous[i] = measured[i]!;
    this.rest();
  }

  /** Taken to be at rest where the last command left it. */
  rest(): void {
    this.velocity.fill(0);
    this.acceleration.fill(0);
  }

  /**
   * Cuts `desired` to what may be commanded `dt` seconds after the last command and remembers it; `out` may be
   * `desired`. Returns the LIMITED bits. A desired value that is not finite keeps that joint
   * where it was, braking within the acceleration limit.
   */
  limit(desired: ArrayLike<number>, dt: number, out: Float64Array): number {
    let bits = 0;
    const { lower, upper, velocity, acceleration, jerk } = this.limits;
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
      if (acceleration !== undefined && jerk !== undefined) {
        if (this.smoothly(i, target, dt)) bits |= LIMITED.jerk;
        out[i] = this.previous[i]!;
        continue;
      }
      const inside = last >= lower[i]! && last <= upper[i]!;
      let speed = (target - last) / dt;
      if (acceleration !== undefined) {
        const most = acceleration[i]!;
        const now = this.velocity[i]!;
        // Stop at the target and before either end of the range, in whole periods.
        const wanted =
          Math.sign(target - last) * Math.min(velocity[i]!, fastest(Math.abs(target - last), most, dt));
        speed = Math.min(now + most * dt, Math.max(now - most * dt, wanted));
        if (Math.abs(speed - (target - last) / dt) > 1e-9 * velocity[i]!) bits |= LIMITED.acceleration;
        if (inside)
          speed = Math.min(
            fastest(upper[i]! - last, most, dt),
            Math.max(-fastest(last - lower[i]!, most, dt), speed),
          );
      }
      if (Math.abs(speed) > velocity[i]!) {
        bits |= LIMITED.velocity;
        speed = Math.sign(speed) * velocity[i]!;
      }
      let next = last + speed * dt;
      // A robot found outside its range is led back, never further out.
      if (inside) next = Math.min(upper[i]!, Math.max(lower[i]!, next));
      this.velocity[i] = (next - last) / dt;
      this.previous[i] = next;
      out[i] = next;
    }
    return bits;
  }
  /** One joint within its jerk limit; whether it fell short of `target`. */
  private smoothly(i: number, target: number, dt: number): boolean {
    const { lower, upper, velocity, acceleration, jerk } = this.limits;
    const { motion, previous } = this;
    motion.position = previous[i]!;
    motion.speed = this.velocity[i]!;
    motion.acceleration = this.acceleration[i]!;
    const limits = {
      lower: lower[i]!,
      upper: upper[i]!,
      speed: velocity[i]!,
      acceleration: acceleration![i]!,
      jerk: jerk![i]!,
    };
    this.jerks.step(motion, target, limits, dt);
    previous[i] = motion.position;
    this.velocity[i] = motion.speed;
    this.acceleration[i] = motion.acceleration;
    return Math.abs(motion.position - target) > 1e-9 * velocity[i]! * dt;
  }
}
