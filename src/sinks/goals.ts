// For robots that take trajectories as action goals (FollowJointTrajectory): what control is about to command, sent anew
// several times a second, each goal in place of the one before. A goal ends at rest, so a robot whose goals stop coming
// comes to rest by itself. Goals are sent in the control period only, so what control does not command is in no goal.

import {
  type AskAhead,
  asTendonError,
  type Command,
  type CommandCause,
  type CommandFate,
  type CommandQuantity,
  type CommandSink,
  type Nanoseconds,
  NS_PER_MS,
  type PlanAhead,
  type SinkState,
  TendonError,
} from '../types/index.js';
import { Gate, type SinkTiming } from './gate.js';

/** Where trajectories go as action goals; a robot that takes them implements it. */
export interface GoalPort {
  /**
   * Resolves when the robot says that it is done; rejects when it refuses or gives up, not when a newer goal came.
   * Undefined where the goal cannot leave now: the one before stays in force.
   */
  follow(plan: PlanAhead): Promise<void> | undefined;
  /** Stops where it is. */
  cancel(): void;
}

export interface GoalsOptions extends SinkTiming {
  readonly interval_ms: number;
  /** How far ahead a goal reaches before it brakes. */
  readonly ahead_ms: number;
  /** How late a goal may arrive. */
  readonly lifetime_ms: number;
  readonly quantity?: CommandQuantity | undefined;
}

/** The way out for robots that take trajectories as action goals: plans ahead with the same limits. */
export class GoalsSink implements CommandSink {
  readonly kind = 'goals';
  private readonly gate: Gate;
  private readonly lead_ns: Nanoseconds;
  /** Counts beginnings and ends: what became of earlier goals says nothing about later ones. */
  private era = 0;
  private due = false;
  private sent_ns = Number.NEGATIVE_INFINITY;
  private now_ns = 0;
  /** When the trajectory of the newest goal ends. */
  private ends_ns = Number.NEGATIVE_INFINITY;
  private fault = '';

  /** Throws `config_invalid` for commands of velocity: a trajectory consists of positions. */
  constructor(
    private readonly port: GoalPort,
    private readonly options: GoalsOptions,
  ) {
    if (options.quantity === 'velocity')
      throw new TendonError(
        'config_invalid',
        'command.quantity: expected position where trajectories are sent as goals, got velocity',
      );
    this.gate = new Gate(options);
    // What is told later than half of a goal would leave too little of it.
    this.lead_ns = Math.min(options.lifetime_ms, options.ahead_ms / 2) * NS_PER_MS;
  }

  begin(): void {
    this.gate.begin();
    this.era++;
    this.fault = '';
    this.due = true;
    this.ends_ns = Number.NEGATIVE_INFINITY;
  }

  /** A new chunk is not left waiting for the next interval. */
  follow(): void {
    this.due = true;
  }

  command({ stamp_ns }: Command, cause: CommandCause, ahead: AskAhead): CommandFate {
    if (cause === 'halt' || !this.gate.live) return 'none';
    this.now_ns = stamp_ns;
    const rests = cause === 'hold';
    const interval_ns = this.options.interval_ms * NS_PER_MS;
    // A robot that holds has one goal that brakes, and then none. One that was never sent a goal has nothing to brake.
    if (rests && (!this.due || this.ends_ns === Number.NEGATIVE_INFINITY)) {
      if (stamp_ns >= this.ends_ns) {
        this.gate.shut();
        return 'none';
      }
      this.gate.passed();
      return 'executed';
    }
    // The robot is on the trajectory that it has, and so is control, until that ends.
    if (stamp_ns < this.ends_ns) this.gate.passed();
    if (!this.due && stamp_ns - this.sent_ns < interval_ns) return 'executed';
    const plan = ahead(rests ? 0 : this.options.ahead_ms * NS_PER_MS, this.lead_ns);
    // This process may have been stopped while it was made.
    if (!this.gate.live) return 'none';
    const followed = this.port.follow(plan);
    if (followed === undefined) return 'refused';
    this.gate.passed();
    this.due = false;
    this.sent_ns = stamp_ns;
    this.ends_ns = plan.made_ns + plan.positions.length * plan.period_ns;
    const { era } = this;
    followed.catch((caught) => {
      if (era !== this.era) return;
      this.fault = asTendonError(caught, 'a trajectory goal').message;
      this.gate.shut();
    });
    return 'sent';
  }

  hold(): void {
    this.due = true;
  }

  stop(): void {
    this.shut();
  }

  suspend(): void {
    this.shut();
  }

  /** A trajectory that arrived ends at rest by itself. */
  linkLost(): void {
    this.gate.shut();
  }

  state(): SinkState {
    const { live } = this.gate;
    return { live, moving: live && this.now_ns < this.ends_ns, fault: this.fault };
  }

  close(): void {
    this.shut();
  }

  private shut(): void {
    const moving = this.gate.live && this.ends_ns !== Number.NEGATIVE_INFINITY;
    this.gate.shut();
    this.era++;
    if (moving) this.port.cancel();
  }
}
