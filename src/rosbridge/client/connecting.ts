// A connection as the client knows it, whichever thread its socket is on: what it is made of, what it counts, what it does.

import type { IncomingMessage } from 'node:http';
import type { Serialisation } from '../codec/cdr.js';
import type { Op } from '../codec/protocol.js';

export interface ConnectionOptions {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** For wss: an extra certificate authority in PEM, or `false` to accept any certificate. */
  readonly tls: { readonly ca?: string; readonly verify?: boolean };
  /** A longer frame ends the connection; one longer than `max_frame` is refused before it is parsed. */
  readonly max_payload: number;
  readonly max_frame: number;
  readonly max_buffered: number;
  /** How long a command is good for. Set where commands are sent: the peer must read them within that time. */
  readonly lifetime_ms?: number | undefined;
  readonly ping_ms: number;
  readonly ping_timeout_ms: number;
  readonly connect_timeout_ms: number;
  readonly backoff_ms: readonly [number, number];
  on_open(response_headers: IncomingMessage['headers']): void;
  /** `held_ms`: how long ago it came. `memory`: what it lies in, where nothing else does. */
  on_op(op: Op, held_ms: number, memory?: ArrayBuffer): void;
  on_down(cause: string): void;
  on_malformed(cause: string): void;
  on_round_trip(ms: number): void;
}

export interface ConnectionCounters {
  opened: number;
  dropped_offline: number;
  dropped_backlog: number;
  /** Commands that were too old when their turn to be written came. */
  dropped_expired: number;
  malformed: number;
  /** Connections ended because the server said nothing, or read nothing, for too long. */
  silent: number;
  unread: number;
  /** Of a socket on a thread of its own: threads that ended and were replaced. */
  threads_lost: number;
  /** Of a socket on a thread of its own: messages that a newer one of their topic took the place of. */
  overtaken: number;
}

export const zeroCounters = (): ConnectionCounters => ({
  opened: 0,
  dropped_offline: 0,
  dropped_backlog: 0,
  dropped_expired: 0,
  malformed: 0,
  silent: 0,
  unread: 0,
  threads_lost: 0,
  overtaken: 0,
});

export interface Connecting {
  readonly counters: ConnectionCounters;
  /** Why it is not open, for people. */
  readonly cause: string;
  readonly open: boolean;
  readonly buffered_bytes: number;
  /** The newest ping's time there and back, or the age of one that is not answered yet where that is more. */
  readonly round_trip_ms: number;
  start(): void;
  stop(): void;
  /**
   * Sends now or not at all. `expires_ms` (see `sharedNow`) marks a command, which is not written after that time, nor
   * while anything else waits to be.
   */
  send(frame: string | Buffer, expires_ms?: number): boolean;
  /** What is inside cbor-raw, for one that unpacks pictures before they are handed over. */
  unpack?(serialisation: Serialisation): void;
}

/** Milliseconds since the epoch on the clock that all threads of the process share; it never jumps. */
export const sharedNow = (): number => performance.timeOrigin + performance.now();
