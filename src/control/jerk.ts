// One joint under limits of speed, acceleration and jerk. A state is safe when braking from it stays within the range; the
// law moves as far towards the target as it can to a state that is safe too. Braking is itself such a move, so there
// always is one: no limit is ever exceeded, whatever the targets do. The executor's thread does the same in
// native/chunk/jerk.cpp, bit for bit.

/** Position, speed and acceleration of the last command, per s and per s². */
export interface JointMotion {
  position: number;
  speed: number;
  acceleration: number;
}

export interface JointLimits {
  readonly lower: number;
  readonly upper: number;
  readonly speed: number;
  readonly acceleration: number;
  /** per s³ */
  readonly jerk: number;
}

/** Halvings of the interval in which the acceleration is sought. */
const HALVINGS = 10;
/** No braking is longer; what claims to be is not safe. */
const MOST_STEPS = 20_000;

/** Speed that is lost while an acceleration below zero returns to it. */
function rampOut(acceleration: number, jerk_dt: number, dt: number): number {
  if (acceleration >= 0) return 0;
  const n = Math.ceil(-acceleration / jerk_dt);
  return dt * ((n - 1) * -acceleration - (jerk_dt * n * (n - 1)) / 2);
}

/** The acceleration of the next period that stops soonest without turning back. */
function brake(speed: number, acceleration: number, most: number, jerk_dt: number, dt: number): number {
  const sign = speed > 0 || (speed === 0 && acceleration > 0) ? 1 : -1;
  const v = sign * speed;
  const a = sign * acceleration;
  const end = -v / dt;
  if (-end <= jerk_dt && Math.abs(end - a) <= jerk_dt && -end <= most) return sign * end;
  const harder = Math.max(a - jerk_dt, -most);
  if (v + harder * dt >= rampOut(harder, jerk_dt, dt)) return sign * harder;
  if (v + a * dt >= rampOut(a, jerk_dt, dt)) return sign * a;
  return sign * Math.min(a + jerk_dt, most);
}

/** The last step of braking ends at 0 but for rounding. */
function atRest(speed: number, most: number, dt: number): number {
  return Math.abs(speed) < 1e-12 * most * dt ? 0 : speed;
}

export class JerkLimiter {
  private low = 0;
  private high = 0;
  private fast = 0;

  /** Moves `joint` by one period of `dt` s towards `target`, which is finite. */
  step(joint: JointMotion, target: number, limits: JointLimits, dt: number): void {
    const { acceleration: most } = limits;
    const jerk_dt = limits.jerk * dt;
    const { speed, acceleration: now } = joint;
    const braking = brake(speed, now, most, jerk_dt, dt);
    const unbounded = Number.POSITIVE_INFINITY;
    // What braking passes through cannot be avoided any more: a robot found outside its range is led back by it.
    this.stop(joint.position, speed, now, most, jerk_dt, dt, -unbounded, unbounded, unbounded);
    const { low, high } = this;
    const fastest = Math.max(limits.speed, this.fast);
    const lower = Math.min(limits.lower, low);
    const upper = Math.max(limits.upper, high);
    let chosen = braking;
    if (target > high || target < low) {
      const up = target > high;
      const lowest = up ? lower : Math.max(lower, target);
      const highest = up ? Math.min(upper, target) : upper;
      const safe = (a: number): boolean => {
        const v = atRest(speed + a * dt, most, dt);
        return this.stop(joint.position + v * dt, v, a, most, jerk_dt, dt, lowest, highest, fastest);
      };
      let bad = up ? Math.min(now + jerk_dt, most) : Math.max(now - jerk_dt, -most);
      if (safe(bad)) chosen = bad;
      else
        for (let i = 0; i < HALVINGS; i++) {
          const middle = (chosen + bad) / 2;
          if (safe(middle)) chosen = middle;
          else bad = middle;
        }
    }
    joint.acceleration = chosen;
    joint.speed = atRest(speed + chosen * dt, most, dt);
    joint.position += joint.speed * dt;
  }

  /** Follows braking to its end; false as soon as it leaves the bounds. Leaves its extremes in low, high and fast. */
  private stop(
    position: number,
    speed: number,
    acceleration: number,
    most: number,
    jerk_dt: number,
    dt: number,
    lowest: number,
    highest: number,
    fastest: number,
  ): boolean {
    let [p, v, a] = [position, speed, acceleration];
    this.low = p;
    this.high = p;
    this.fast = Math.abs(v);
    for (let i = 0; i < MOST_STEPS; i++) {
      if (p < lowest || p > highest || Math.abs(v) > fastest) return false;
      if (v === 0 && a === 0) return true;
      a = brake(v, a, most, jerk_dt, dt);
      v = atRest(v + a * dt, most, dt);
      p += v * dt;
      if (p < this.low) this.low = p;
      if (p > this.high) this.high = p;
      if (Math.abs(v) > this.fast) this.fast = Math.abs(v);
    }
    return false;
  }
}
