// What may go on by itself after an outage, and what is an operator's to set going again: a short loss of observations or
// of the link passes; a long one, a long pause of this process and a clock that ran backwards do not. While the link was
// down a stop may have been told that nobody here heard.

import { type Nanoseconds, NS_PER_MS } from '../types/index.js';
import type { Supervisor } from './supervisor.js';

/** ms */
const RESUME_WITHIN_MS = 1000;

export interface OutageOptions {
  readonly resume_within_ms?: number | undefined;
  readonly stop_topic?: boolean | undefined;
}

export class Outage {
  private readonly most_ns: Nanoseconds;
  private since_ns: Nanoseconds | undefined;
  private stop_known = true;
  private linked = false;

  constructor(
    private readonly supervisor: Supervisor,
    private readonly options: OutageOptions,
  ) {
    this.most_ns = (options.resume_within_ms ?? RESUME_WITHIN_MS) * NS_PER_MS;
  }

  /** Whether the robot may go on by itself as far as outages are concerned. */
  get over(): boolean {
    return this.since_ns === undefined && this.stop_known;
  }

  /** There is something wrong with the robot or the link in this period. */
  goesOn(now_ns: Nanoseconds): void {
    this.since_ns ??= now_ns;
    if (now_ns - this.since_ns > this.most_ns) this.supervisor.keepHolding('outage_long');
  }

  /** Nothing is wrong in this period. */
  ends(now_ns: Nanoseconds): void {
    if (this.since_ns !== undefined) {
      this.goesOn(now_ns);
      this.since_ns = undefined;
    }
    if (this.stop_known) return;
    const { state } = this.supervisor;
    if (state === 'RUNNING' || state === 'TELEOP') this.supervisor.trouble('stop_unknown');
  }

  /** This process stood still for `for_ns`; less than 0: its clock ran backwards. */
  paused(for_ns: Nanoseconds): void {
    if (for_ns < 0 || for_ns > this.most_ns) this.supervisor.keepHolding('outage_long');
  }

  /** Whether what people say by way of the robot gets through. */
  link(up: boolean): void {
    this.linked = up;
    if (!up && this.options.stop_topic === true) this.stop_known = false;
  }

  stopIsKnown(): void {
    if (this.linked) this.stop_known = true;
  }

  /** An operator wants the robot to go on, and sees to it that it may. */
  operatorSpoke(): void {
    this.stopIsKnown();
    this.since_ns = undefined;
  }
}
