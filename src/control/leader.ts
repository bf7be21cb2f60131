// From what a leader device says to targets for the robot: a second arm, a space mouse, a gamepad. Decides when a person
// drives (clutch, or messages that come) and when they let go. A person who falls silent lets nothing go: what they said
// last expires in the controller, which then holds.

import { type ControlState, type LeaderFile, type Nanoseconds, NS_PER_MS, NS_PER_S } from '../types/index.js';

/** What a leader device drives: a Controller, as far as it needs one. */
export interface Follower {
  /** The last command, (action_dim). */
  readonly command: ArrayLike<number>;
  readonly state: ControlState;
  /** As Controller.takeOver. */
  takeOver(values: readonly number[] | undefined, lifetime_ms?: number): boolean;
}

/** A reading: one number per joint, and the clutch where it is part of the same message. */
export interface LeaderReading {
  readonly values: ArrayLike<number>;
  readonly clutch?: boolean | undefined;
}

/** A target that is driven by speeds stays within what this many seconds of full speed reach, s. */
const AHEAD_S = 0.25;
/** The longest step of time that a speed is believed for, s. */
const STEP_S = 0.1;

/**
 * A device that a person drives the robot with: its readings become targets, its clutch takes over and gives back.
 * Readings with a missing or non-finite number are ignored and counted. See docs/teleop.md.
 */
export class Leader {
  /** Readings that were ignored: a number missing or not finite. */
  unreadable = 0;
  private engaged = false;
  /** Somebody else held or stopped the robot, or it would not be driven: streaming on must not undo that. */
  private barred = false;
  private clutch: boolean;
  /** `relative`: the robot's position less the leader's (scaled) when the clutch closed. `rate`: the target. */
  private base: Float64Array;
  private heard_ns = Number.NEGATIVE_INFINITY;
  private moved_ns = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly file: LeaderFile,
    private readonly follower: Follower,
  ) {
    this.clutch = file.clutch === undefined;
    this.base = new Float64Array(file.scale.length);
  }

  /** The clutch's own topic. */
  onClutch(closed: boolean): void {
    this.clutch = closed;
    if (!closed) this.open();
  }

  onReading({ values, clutch }: LeaderReading, now_ns: Nanoseconds): void {
    if (clutch !== undefined) this.clutch = clutch;
    if (!this.clutch) {
      this.open();
      return;
    }
    const scaled = this.scaled(values);
    // As if it had not come: the person goes on with the next good one, or falls silent.
    if (!scaled.every(Number.isFinite)) {
      this.unreadable++;
      return;
    }
    const silent_ns = now_ns - this.heard_ns;
    const since_s = Math.min(STEP_S, silent_ns / NS_PER_S);
    this.heard_ns = now_ns;
    if (this.engaged && this.follower.state !== 'TELEOP') {
      this.engaged = false;
      this.barred = true;
    }
    if (this.barred && !this.engagesAnew(scaled, silent_ns)) return;
    this.barred = false;
    const { mode, timeout_ms } = this.file;
    if (scaled.some((v) => v !== 0)) this.moved_ns = now_ns;
    // A stick at rest asks for nothing, so it does not take over either.
    else if (mode === 'rate' && !this.engaged && this.file.clutch === undefined) return;
    const { command } = this.follower;
    if (!this.engaged)
      this.base = Float64Array.from(scaled, (v, i) => (mode === 'rate' ? command[i]! : command[i]! - v));
    if (mode === 'rate' && this.engaged)
      this.base = Float64Array.from(this.base, (target, i) => {
        const reach = Math.abs(this.file.scale[i]!) * AHEAD_S;
        const wanted = target + scaled[i]! * since_s;
        return Math.min(command[i]! + reach, Math.max(command[i]! - reach, wanted));
      });
    const target = scaled.map((v, i) =>
      mode === 'absolute' ? v : mode === 'relative' ? this.base[i]! + v : this.base[i]!,
    );
    this.engaged = this.follower.takeOver([...target], timeout_ms);
    this.barred = !this.engaged;
  }

  /** To be called often: gives back for a person whose stick has been at rest for `timeout_ms`. */
  poll(now_ns: Nanoseconds): void {
    if (!this.engaged || this.file.mode !== 'rate' || this.file.clutch !== undefined) return;
    const limit_ns = this.file.timeout_ms * NS_PER_MS;
    // One that is silent says nothing of being at rest.
    if (now_ns - this.moved_ns > limit_ns && now_ns - this.heard_ns <= limit_ns) this.giveBack();
  }

  /** The clutch is open. */
  private open(): void {
    this.barred = false;
    this.giveBack();
  }

  /** Without a clutch to open: a person resumed the robot, the stick was at rest, or the messages paused. */
  private engagesAnew(scaled: readonly number[], silent_ns: Nanoseconds): boolean {
    if (this.file.clutch !== undefined) return false;
    if (this.follower.state === 'RUNNING' || silent_ns > this.file.timeout_ms * NS_PER_MS) return true;
    return this.file.mode === 'rate' && scaled.every((v) => v === 0);
  }

  private giveBack(): void {
    if (!this.engaged) return;
    this.engaged = false;
    this.follower.takeOver(undefined);
  }

  private scaled(values: ArrayLike<number>): number[] {
    const { scale, deadband, mode } = this.file;
    return scale.map((factor, i) => {
      const v = values[i] ?? Number.NaN;
      return mode === 'rate' && Math.abs(v) < deadband ? 0 : factor * v;
    });
  }
}
