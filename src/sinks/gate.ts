// What sinks have in common: nothing leaves before `begin`, nor after `stop` or `suspend`, nor after a pause. The pause is
// measured where the command leaves: a process that was stopped between the beginning of a period and the send is
// noticed here.

import { type Clock, type CommandCause, type Nanoseconds, NS_PER_S } from '../types/index.js';

/** Periods without a command after which the robot may be anywhere: commands then begin anew where it is. */
export const PAUSE_PERIODS = 3.5;

export interface SinkTiming {
  readonly clock: Pick<Clock, 'now_ns'>;
  /** Commands per second. */
  readonly rate_hz: number;
}

export class Gate {
  private open = false;
  private passed_ns = 0;
  private readonly pause_ns: Nanoseconds;

  constructor(private readonly timing: SinkTiming) {
    this.pause_ns = (PAUSE_PERIODS * NS_PER_S) / timing.rate_hz;
  }

  /** Whether commands go on from where they are. */
  get live(): boolean {
    if (this.open && Math.abs(this.timing.clock.now_ns() - this.passed_ns) > this.pause_ns) this.open = false;
    return this.open;
  }

  begin(): void {
    this.open = true;
    this.passed();
  }

  shut(): void {
    this.open = false;
  }

  /** Whether a command may leave. */
  lets(cause: CommandCause): boolean {
    return cause === 'halt' || this.live;
  }

  /** A command has left. */
  passed(): void {
    this.passed_ns = this.timing.clock.now_ns();
  }
}
