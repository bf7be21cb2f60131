// Holds commands against limits, continuity, age, and where the robot was: what a drive would want of whoever commands it.

export const RATE_HZ = 50;
export const PERIOD_S = 1 / RATE_HZ;
export const LIFETIME_MS = 100;
export const LIMITS = { lower: [-1, -1], upper: [1, 1], velocity: [1, 1.5], acceleration: [8, 10] };
/** A robot that was commanded at all within so long is taken to go on from there. */
const PAUSE_MS = 70;
/** How far the robot's own word about itself may lag behind it, ms: a message's way, and the controller's look at it. */
const LAG_MS = 150;
/** Reading and scheduling, at both ends, and what is not known of the two clocks, ms. */
const SLACK_MS = 20;

/** The epoch's time, by the clock that stamps are made by in this process. */
export const now_ms = (): number => performance.timeOrigin + performance.now();

export interface Command {
  readonly at_ms: number;
  /** When it is valid, by the clock of this process. */
  readonly stamp_ms: number;
  readonly values: readonly number[];
  /** What it is for a drive to go on from the one before in one period. */
  readonly period_ms: number;
  /** The one that the sender sent just before this has arrived, too. */
  readonly consecutive: boolean;
}

export class Judge {
  readonly broken: string[] = [];
  /** The oldest command that arrived, without what the network kept it for and this process was late for, ms. */
  oldest_ms = 0;
  private last: Command | undefined;
  private step: readonly number[] | undefined;
  private readonly past: { readonly at_ms: number; readonly position: readonly number[] }[] = [];

  /** Where the robot is, again and again. */
  saw(position: readonly number[]): void {
    this.past.push({ at_ms: now_ms(), position: [...position] });
    if (this.past.length > 400) this.past.shift();
  }

  get silent_ms(): number {
    return now_ms() - (this.last?.at_ms ?? 0);
  }

  range(values: readonly number[]): void {
    values.forEach((v, i) => {
      if (!(v >= LIMITS.lower[i % 2]! && v <= LIMITS.upper[i % 2]!)) this.broken.push(`left the range: ${v}`);
    });
  }

  age(own_ms: number): void {
    this.oldest_ms = Math.max(this.oldest_ms, own_ms);
    if (own_ms > LIFETIME_MS + SLACK_MS) this.broken.push(`was ${own_ms.toFixed(0)} ms old`);
  }

  /** Whether a drive refuses it: too old, or overtaken. */
  refuses({ at_ms, stamp_ms }: Pick<Command, 'at_ms' | 'stamp_ms'>): boolean {
    return at_ms - stamp_ms > LIFETIME_MS || (this.last !== undefined && stamp_ms <= this.last.stamp_ms);
  }

  /** A command that the drive follows. `halts`: a base's zero, which is allowed at any time. */
  follows(command: Command, halts: boolean): void {
    const { last, step: before } = this;
    const { values, period_ms } = command;
    this.range(values);
    const since_ms = last === undefined ? Number.POSITIVE_INFINITY : command.stamp_ms - last.stamp_ms;
    this.step = undefined;
    if (since_ms > PAUSE_MS) {
      if (!halts) this.begins(values, command.at_ms);
    } else if (!halts) {
      // Where some were lost the next is as many periods further.
      const periods = command.consecutive ? 1 : Math.max(1, Math.round(since_ms / period_ms) + 1);
      this.moves(last!.values, values, (periods * period_ms) / 1e3);
      if (command.consecutive) {
        this.step = values.map((v, i) => v - last!.values[i]!);
        if (before !== undefined) this.changes(before, this.step, period_ms / 1e3);
      }
    }
    this.last = command;
  }

  /** A whole trajectory, by equal steps. */
  plan(points: readonly (readonly number[])[], command: Pick<Command, 'at_ms' | 'stamp_ms'>): void {
    this.range(points.flat());
    let step: readonly number[] | undefined;
    points.slice(1).forEach((point, k) => {
      this.moves(points[k]!, point, PERIOD_S);
      const next = point.map((v, i) => v - points[k]![i]!);
      if (step !== undefined) this.changes(step, next, PERIOD_S);
      step = next;
    });
    this.last = { ...command, values: points[0]!, period_ms: PERIOD_S * 1e3, consecutive: false };
  }

  /** After a pause, or where a trajectory replaces another: near where the robot was a moment ago, or is. */
  begins(values: readonly number[], at_ms: number): void {
    const recent = this.past.filter((one) => one.at_ms >= at_ms - LAG_MS);
    const room = (i: number) => LIMITS.velocity[i]! * 2.5 * PERIOD_S;
    const near = recent.some(({ position }) => values.every((v, i) => Math.abs(v - position[i]!) <= room(i)));
    if (recent.length > 0 && !near)
      this.broken.push(
        `leapt to ${values} from ${recent.at(-1)!.position} after ${this.silent_ms.toFixed(0)} ms`,
      );
  }

  private moves(before: readonly number[], after: readonly number[], dt: number): void {
    after.forEach((v, i) => {
      const step = Math.abs(v - before[i]!);
      if (step > LIMITS.velocity[i]! * dt * (1 + 1e-6) + 1e-9)
        this.broken.push(`jumped by ${step} in ${dt} s`);
    });
  }

  private changes(before: readonly number[], after: readonly number[], dt: number): void {
    after.forEach((v, i) => {
      const rate = Math.abs(v - before[i]!) / dt ** 2;
      if (rate > LIMITS.acceleration[i]! * (1 + 1e-6) + 1e-5)
        this.broken.push(`changed its speed by ${rate} per s²`);
    });
  }
}
