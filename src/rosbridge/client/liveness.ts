// Whether the server at the other end of a connection lives. Nothing in rosbridge is acknowledged, so it is told from
// what comes, from the answers to pings, and from whether what was handed to the socket leaves it. A server may go on
// writing and read nothing any more: what was commanded then lies in buffers and is old when it is read.

import type { ConnectionCounters } from './connecting.js';

export interface LivenessLimits {
  readonly ping_ms: number;
  /** Silence, or a socket that takes nothing, for longer than this is the end. */
  readonly ping_timeout_ms: number;
}

/** Why a connection is ended from this side. */
export interface Ending {
  readonly kind: keyof Pick<ConnectionCounters, 'silent' | 'unread'>;
  readonly why: string;
}

/**
 * A pong queues behind everything the server still has to write, so that on a slow line a server that reads may be this
 * many times slower to answer than one that is silent is given.
 */
const PONG_PATIENCE = 5;
/** A long frame leaves the socket as one: a line that moves less per ms is none for it. */
const SLOWEST_BYTES = 512;

export class Liveness {
  private heard_ms: number;
  private ponged_ms: number;
  private drained_ms: number;
  private looked_ms: number;
  /** Bytes that ever left this process' part of the socket. */
  private drained = 0;

  constructor(
    private readonly limits: LivenessLimits,
    now_ms: number,
  ) {
    this.heard_ms = this.ponged_ms = this.drained_ms = this.looked_ms = now_ms;
  }

  heard(now_ms: number): void {
    this.heard_ms = now_ms;
  }

  ponged(now_ms: number): void {
    this.heard_ms = this.ponged_ms = now_ms;
  }

  /** Looks once per `ping_ms`, at the bytes handed to the socket so far and those of them that still wait in it. */
  look(now_ms: number, handed: number, waiting: number): Ending | undefined {
    const { ping_ms, ping_timeout_ms } = this.limits;
    // When this process itself was held up, the answers are still waiting to be read.
    if (now_ms - this.looked_ms > 2 * ping_ms) this.heard_ms = this.ponged_ms = this.drained_ms = now_ms;
    this.looked_ms = now_ms;
    if (waiting === 0 || handed - waiting > this.drained) this.drained_ms = now_ms;
    this.drained = Math.max(this.drained, handed - waiting);
    if (now_ms - this.heard_ms > ping_timeout_ms)
      return { kind: 'silent', why: `has not answered a ping for ${ping_timeout_ms} ms` };
    const slow_ms = Math.round(waiting / SLOWEST_BYTES);
    const stuck_ms = ping_timeout_ms + slow_ms;
    if (now_ms - this.drained_ms > stuck_ms)
      return { kind: 'unread', why: `has read nothing for ${stuck_ms} ms of what waits for it` };
    const patience_ms = PONG_PATIENCE * ping_timeout_ms + slow_ms;
    if (now_ms - this.ponged_ms > patience_ms)
      return { kind: 'unread', why: `writes, but has answered no ping for ${patience_ms} ms` };
    return undefined;
  }
}
