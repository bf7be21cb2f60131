// What a client is made of, and what it gives back.

import type { BridgeDialect, Nanoseconds } from '../../types/index.js';
import type { Message } from '../codec/protocol.js';
import type { RosAuth } from './auth.js';
import type { Channel } from './channels.js';
import type { ConnectionOptions } from './connecting.js';

export interface ClientOptions {
  readonly url: string;
  readonly dialect?: BridgeDialect;
  readonly token?: string;
  readonly auth?: RosAuth;
  readonly tls?: ConnectionOptions['tls'];
  /** Pictures, commands and services have a socket each; or the channels named here have, and the others share one. */
  readonly separate_connections?: boolean | readonly Channel[];
  /** Each socket, or the one that carries images, is read by a thread of its own, which keeps the newest of every topic. */
  readonly socket_thread?: boolean | 'images';
  readonly connect_timeout_ms?: number;
  readonly call_timeout_ms?: number;
  readonly ping_ms?: number;
  readonly ping_timeout_ms?: number;
  readonly backoff_ms?: readonly [number, number];
  /** A longer frame ends the connection. */
  readonly max_payload?: number;
  /** A frame longer than this for its channel is refused before it is parsed; default `max_payload`. */
  readonly max_frame?: Readonly<Partial<Record<Channel, number>>>;
  /** How long a command is good for: its connection is reset when the server has not read it by then. */
  readonly lifetime_ms?: number;
  /** A frame is dropped, not queued, while more than this waits in the socket. */
  readonly max_buffered?: number;
  /** This process' monotonic clock. */
  readonly now_ns: () => Nanoseconds;
}

export interface GoalHandle {
  /** False: it did not leave, and the result says why. */
  readonly sent: boolean;
  readonly result: Promise<{ readonly status: number; readonly values: Message }>;
  cancel(): void;
}

export interface ClientStatus {
  /** Every connection stands. */
  readonly connected: boolean;
  /** The ones stand that carry commands, and stops and heartbeats. */
  readonly commands: boolean;
  readonly safety: boolean;
  readonly cause: string;
}
