// The state machine of control and the record of its interventions. Faults that may pass hold the robot and let it go
// on by themselves; the operator's hold waits for the operator; a stop is latched.

import { Emitter } from '../base/index.js';
import type { ControlState } from '../types/index.js';
import { LIMITED } from './limiter.js';
import { type ControlEvent, TRANSITIONS } from './transitions.js';

/** Why the supervisor steps in; one list for counters, logs and the page. */
export const INTERVENTIONS = {
  robot_lost: 'the robot is not connected',
  observation_stale: 'the newest observation is older than its limit',
  observation_invalid: 'an observation had a wrong length or a value that is not finite',
  inference_late: 'no chunk arrived within the inference deadline',
  inference_failed: 'the policy failed or gave numbers that are not finite',
  chunk_underrun: 'the chunk in force is used up',
  part_held: 'a guardian let nothing through',
  monitor_alarm: 'a monitor saw an inference beyond its bound',
  part_skipped: 'a part beside the policy failed or was late and was passed over',
  operator_silent: 'nobody said for too long that an operator is there',
  takeover_silent: 'the person who drove fell silent',
  stop_unknown: 'connected again, but not known whether a stop was asked for meanwhile',
  outage_long: 'the outage was longer than resume_within_ms',
  clock_jump: 'the clock jumped',
  command_not_finite: 'a command was not finite',
  position_limited: 'a command was cut to the position limits',
  velocity_limited: 'a command was cut to the velocity limits',
  step_limited: 'a target was kept near the measured position',
  acceleration_limited: 'a command was cut to the acceleration limits',
  workspace_limited: 'the tip was kept within its workspace',
  jerk_limited: 'a command was cut to the jerk limits',
  internal_error: 'a control period failed; nothing was sent in it',
  send_failed: 'the robot did not take a command',
} as const;
export type Intervention = keyof typeof INTERVENTIONS;

/** `from` and `to` are both HOLD where a hold became an operator's to end. */
export interface StateChange {
  readonly from: ControlState;
  readonly to: ControlState;
  readonly cause: string;
}

/** Holds the control state and changes it by TRANSITIONS alone; counts why it stepped in. */
export class Supervisor {
  private current: ControlState = 'INIT';
  private why = 'waiting for the robot';
  private operatorHolds = false;
  private readonly changes = new Emitter<StateChange>('supervisor');
  /** Times each cause stepped in. */
  readonly counts: Record<Intervention, number> = Object.fromEntries(
    Object.keys(INTERVENTIONS).map((k) => [k, 0]),
  ) as Record<Intervention, number>;

  /** Times somebody who listens here failed; the robot is not told. */
  get listener_errors(): number {
    return this.changes.errors;
  }

  get state(): ControlState {
    return this.current;
  }

  /** For people: why the state is what it is. */
  get cause(): string {
    return this.why;
  }

  /** Only an operator can end this hold. */
  get heldByOperator(): boolean {
    return this.operatorHolds;
  }

  /** Makes the hold in force an operator's to end; counted once for each. */
  keepHolding(intervention: Intervention): void {
    if (this.current !== 'HOLD' || this.operatorHolds) return;
    this.counts[intervention]++;
    this.operatorHolds = true;
    this.why = `${INTERVENTIONS[intervention]}, so going on is an operator's (${this.why})`;
    this.changes.emit({ from: 'HOLD', to: 'HOLD', cause: this.why });
  }

  onChange(listener: (change: StateChange) => void): () => void {
    return this.changes.on(listener);
  }

  /** Feeds an event; true when it changed the state. */
  event(event: ControlEvent, cause: string): boolean {
    // What passes by itself must not undo what a person asked for.
    if (event === 'recovered' && this.operatorHolds) return false;
    const to = TRANSITIONS[this.current][event];
    if (event === 'hold' && (to !== undefined || this.current === 'HOLD')) this.operatorHolds = true;
    if (to === undefined) return false;
    if (event === 'resume' || event === 'engage' || event === 'reset') this.operatorHolds = false;
    // The policy must not take over from a person because a fault came and went, or because they let go.
    if (this.current === 'TELEOP' && (event === 'trouble' || event === 'release')) this.operatorHolds = true;
    const from = this.current;
    this.current = to;
    this.why = cause;
    this.changes.emit({ from, to, cause });
    return true;
  }

  /** Counts an intervention that needs no change of state. */
  count(intervention: Intervention): void {
    this.counts[intervention]++;
  }

  /** Counts what the limits did, in LIMITED bits; a number that is not finite is trouble. */
  limited(bits: number): void {
    if (bits & LIMITED.position) this.count('position_limited');
    if (bits & LIMITED.velocity) this.count('velocity_limited');
    if (bits & LIMITED.acceleration) this.count('acceleration_limited');
    if (bits & LIMITED.jerk) this.count('jerk_limited');
    if (bits & LIMITED.not_finite) this.trouble('command_not_finite');
  }

  /** Counts an intervention and holds. */
  trouble(intervention: Intervention, detail = ''): void {
    this.counts[intervention]++;
    this.event(
      'trouble',
      detail === '' ? INTERVENTIONS[intervention] : `${INTERVENTIONS[intervention]}: ${detail}`,
    );
  }

  get interventions(): number {
    let sum = 0;
    for (const key in this.counts) sum += this.counts[key as Intervention];
    return sum;
  }
}
