// The last thing between any number and the robot: a command is cut to position, velocity, acceleration and jerk limits, or
// refused when it is not finite. The law itself is native/drive/limiter.cpp, which the executor's thread applies too.

import { addon, type NativeLimiter, native } from '../native/index.js';
import { TendonError } from '../types/index.js';

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
 * Keeps commands within position, velocity, acceleration and jerk limits: a step is taken only if braking after it keeps
 * every limit. The law is the core's (native/drive/limiter.h), the same that the executor applies.
 */
export class Limiter {
  private readonly law: NativeLimiter;
  private readonly given: Float64Array;

  constructor(
    limits: Limits,
    /** The last command that left; starts at the measured position. */
    readonly previous: Float64Array,
  ) {
    checkLimits(limits, previous.length);
    this.given = new Float64Array(previous.length);
    this.law = native(() => new (addon().Limiter)(limits, previous.length));
    this.restart(previous);
  }

  /** Whether the last command was one of motion. */
  get moving(): boolean {
    return this.law.moving;
  }

  /** Goes on from where `other` is. */
  copy(other: Limiter): void {
    this.law.copy(other.law);
    this.previous.set(other.previous);
  }

  /** Begins anew from where the robot is, at rest. Throws `input_invalid` for a position that is not finite. */
  restart(measured: ArrayLike<number>): void {
    native(() => this.law.restart(this.take(measured)));
    this.previous.set(this.given);
  }

  /** Taken to be at rest where the last command left it. */
  rest(): void {
    this.law.rest();
  }

  /**
   * Cuts `desired` to what may be commanded `dt` seconds after the last command and remembers it; `out` may be
   * `desired`. Returns the LIMITED bits. A desired value that is not finite, or missing, keeps that joint where it was,
   * braking within its limits.
   */
  limit(desired: ArrayLike<number>, dt: number, out: Float64Array): number {
    const bits = this.law.limit(this.take(desired), dt, this.previous);
    out.set(this.previous);
    return bits;
  }

  private take(values: ArrayLike<number>): Float64Array {
    const { given } = this;
    for (let i = 0; i < given.length; i++) given[i] = i < values.length ? values[i]! : Number.NaN;
    return given;
  }
}
