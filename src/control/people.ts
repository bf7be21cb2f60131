// People: one who drives says so again and again, and one who has to be there is heard again and again. Who falls silent
// leaves the robot held, for a person to resume; who lets go deliberately gives back.

import { type Nanoseconds, NS_PER_MS } from '../types/index.js';
import type { SharedControl } from './shared-control.js';
import { INTERVENTIONS, type Supervisor } from './supervisor.js';

export interface PeopleOptions {
  readonly operator_timeout_ms?: number | undefined;
}

export class People {
  /** The operator took over from a running policy, which goes on when they give back. */
  private interrupted = false;
  /** Until then the person's last word to drive is good. */
  private driven_until_ns = Number.NEGATIVE_INFINITY;
  private beat_ns = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly supervisor: Supervisor,
    private readonly shared: SharedControl,
    private readonly options: PeopleOptions,
  ) {}

  beat(now_ns: Nanoseconds): void {
    this.beat_ns = now_ns;
  }

  /** A person's targets; false, and nothing changes, in a state that nobody may take over in. */
  drive(values: readonly number[], lifetime_ms: number, now_ns: Nanoseconds): boolean {
    const { supervisor } = this;
    const interrupts = supervisor.state === 'RUNNING';
    if (supervisor.event('engage', 'the operator drives')) this.interrupted = interrupts;
    if (supervisor.state !== 'TELEOP') return false;
    this.shared.target = Float64Array.from(values);
    this.driven_until_ns = now_ns + lifetime_ms * NS_PER_MS;
    return true;
  }

  /** A person lets go deliberately: a policy that was interrupted goes on. */
  giveBack(): boolean {
    const { supervisor } = this;
    this.shared.target = undefined;
    const released = supervisor.event('release', 'given back by the operator');
    if (released && this.interrupted) supervisor.event('resume', 'given back by the operator');
    return released;
  }

  /** Why to hold now, because nobody speaks who should; undefined while they do. */
  silent(now_ns: Nanoseconds): string | undefined {
    const { supervisor } = this;
    const { state } = supervisor;
    if (state !== 'RUNNING' && state !== 'TELEOP') return undefined;
    const limit_ms = this.options.operator_timeout_ms;
    const cause =
      limit_ms !== undefined && now_ns - this.beat_ns > limit_ms * NS_PER_MS
        ? 'operator_silent'
        : state === 'TELEOP' && now_ns > this.driven_until_ns
          ? 'takeover_silent'
          : undefined;
    if (cause === undefined) return undefined;
    supervisor.count(cause);
    return INTERVENTIONS[cause];
  }
}
