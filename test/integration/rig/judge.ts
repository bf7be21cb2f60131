// Holds commands against limits, continuity, age, and where the robot was: what a drive would want of whoever commands it.

export const RATE_HZ = 50;
export const PERIOD_S = 1 / RATE_HZ;
export const LIFETIME_MS = 100;
export const LIMITS = { lower: [-1, -1], upper: [1, 1], velocity: [1, 1.5], acceleration: [8, 10] };
/** A sender that sent nothing for so many periods begins anew where the robot is. */
const PAUSE_PERIODS = 2.5;
/** How far the robot's own word about itself may lag behind it, ms: a message's way, and the controller's look at it. */
const LAG_MS = 150;
/** Reading and scheduling, at both ends, and what is not known of the two clocks, ms. */
const SLACK_MS = 60;
/** A network that holds commands back hides so much of a way that goes on, ms. */
const HIDDEN_MS = 300;

/** The epoch's time, by the clock that stamps are made by in this process. */
export const now_ms = (): number => performance.timeOrigin + performance.now();

export interface Command {
  readonly at_ms: number;
  /** When it is valid, by the clock of this process. */
  readonly stamp_ms: number;
  readonly values: readonly number[];
  readonly period_ms: number;
  /** How many the sender sent since the one before that was followed, this one included; undefined on a new line. */
  readonly steps: number | undefined;
  /** Its stamp is the sender's own clock's, not one that was found out over a network: changes of speed can be judged. */
  readonly exact: boolean;
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

  /** Whether it is older than a drive takes. */
  late({ at_ms, stamp_ms }: Pick<Command, 'at_ms' | 'stamp_ms'>): boolean {
    return at_ms - stamp_ms > LIFETIME_MS;
  }

  /** Whether a newer one was followed already. */
  overtaken({ stamp_ms }: Pick<Command, 'stamp_ms'>): boolean {
    return this.last !== undefined && stamp_ms <= this.last.stamp_ms;
  }

  /** A command that the drive follows. `halts`: a base's zero, which is allowed at any time. */
  follows(command: Command, halts: boolean): void {
    const { last, step: before } = this;
    const { values, period_ms, steps } = command;
    this.step = undefined;
    const goesOn =
      last !== undefined &&
      steps !== undefined &&
      command.stamp_ms - last.stamp_ms < (steps + PAUSE_PERIODS) * period_ms;
    if (!halts && !goesOn) this.begins(values, command.at_ms, last);
    else if (!halts) {
      this.moves(last!.values, values, (steps! * period_ms) / 1e3);
      if (steps === 1 && command.exact) {
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
    this.last = { ...command, values: points[0]!, period_ms: PERIOD_S * 1e3, steps: undefined, exact: true };
  }

  /** After a pause, or where a trajectory replaces another: near where the robot was a moment ago, or is. */
  begins(values: readonly number[], at_ms: number, last?: Command): void {
    const recent = this.past.filter((one) => one.at_ms >= at_ms - LAG_MS);
    const room = (i: number) => LIMITS.velocity[i]! * 2.5 * PERIOD_S;
    const near = recent.some(({ position }) => values.every((v, i) => Math.abs(v - position[i]!) <= room(i)));
    const since_ms = at_ms - (last?.at_ms ?? Number.NEGATIVE_INFINITY);
    const onTheWay =
      since_ms < HIDDEN_MS &&
      values.every(
        (v, i) => Math.abs(v - last!.values[i]!) <= (LIMITS.velocity[i]! * since_ms) / 1e3 + room(i),
      );
    if (recent.length > 0 && !near && !onTheWay)
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
