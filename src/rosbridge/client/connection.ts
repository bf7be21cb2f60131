// One WebSocket to a rosbridge server that comes back by itself: back-off, pings, and a cap on what may wait in the
// socket. It queues nothing: while it is down, or when the cap is reached, `send` says no and counts.

import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { asTendonError, packageWhenNeeded } from '../../types/index.js';
import type { Serialisation } from '../codec/cdr.js';
import { FrameDecoder } from '../codec/decoder.js';
import type { Op } from '../codec/protocol.js';
import { Liveness } from './liveness.js';

const ws = packageWhenNeeded<typeof import('ws')>('ws');
/** WebSocket.OPEN */
const OPEN = 1;

export interface ConnectionOptions {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** For wss: an extra certificate authority in PEM, or `false` to accept any certificate. */
  readonly tls: { readonly ca?: string; readonly verify?: boolean };
  readonly max_payload: number;
  readonly max_buffered: number;
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
  malformed: 0,
  silent: 0,
  unread: 0,
  threads_lost: 0,
  overtaken: 0,
});

/** A connection as the client knows it, whichever thread its socket is on. */
export interface Connecting {
  readonly counters: ConnectionCounters;
  /** Why it is not open, for people. */
  readonly cause: string;
  readonly open: boolean;
  readonly buffered_bytes: number;
  start(): void;
  stop(): void;
  /** Sends now or not at all. */
  send(frame: string | Buffer): boolean;
  /** What is inside cbor-raw, for one that unpacks pictures before they are handed over. */
  unpack?(serialisation: Serialisation): void;
}

export class Connection implements Connecting {
  readonly counters = zeroCounters();
  cause = 'not connected yet';
  private socket: WebSocket | undefined;
  private stream: Duplex | undefined;
  private retry: NodeJS.Timeout | undefined;
  private pinger: NodeJS.Timeout | undefined;
  private attempts = 0;
  private stopped = true;
  private corked = false;
  /** Bytes given to this socket. */
  private handed = 0;

  constructor(private readonly options: ConnectionOptions) {}

  get open(): boolean {
    return this.socket?.readyState === OPEN;
  }

  get buffered_bytes(): number {
    return this.socket?.bufferedAmount ?? 0;
  }

  start(): void {
    if (!this.stopped) return;
    this.stopped = false;
    this.dial();
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.retry);
    clearInterval(this.pinger);
    const { socket } = this;
    this.socket = undefined;
    this.cause = 'closed by this side';
    if (socket?.readyState === OPEN) {
      socket.close(1000);
      const timer = setTimeout(() => socket.terminate(), 500);
      timer.unref();
      socket.once('close', () => clearTimeout(timer));
    } else socket?.terminate();
  }

  /** Sends now or not at all. */
  send(frame: string | Buffer): boolean {
    const { socket, stream } = this;
    if (socket === undefined || socket.readyState !== OPEN) {
      ++this.counters.dropped_offline;
      return false;
    }
    if (socket.bufferedAmount > this.options.max_buffered) {
      ++this.counters.dropped_backlog;
      return false;
    }
    if (stream !== undefined && !this.corked) {
      this.corked = true;
      stream.cork();
      process.nextTick(() => {
        this.corked = false;
        stream.uncork();
      });
    }
    socket.send(frame);
    this.handed += frame.length;
    return true;
  }

  private dial(): void {
    const { url, headers, tls, max_payload, connect_timeout_ms } = this.options;
    const socket = new (ws().WebSocket)(url, {
      headers,
      maxPayload: max_payload,
      perMessageDeflate: false,
      handshakeTimeout: connect_timeout_ms,
      ...(tls.ca === undefined ? {} : { ca: tls.ca }),
      ...(tls.verify === false ? { rejectUnauthorized: false } : {}),
    });
    this.socket = socket;
    this.handed = 0;
    const decoder = new FrameDecoder(max_payload);
    let response: IncomingMessage | undefined;
    const liveness = new Liveness(this.options, performance.now());
    socket.on('upgrade', (upgrade: IncomingMessage) => {
      response = upgrade;
      this.stream = upgrade.socket;
    });
    socket.on('unexpected-response', (_: ClientRequest, refusal: IncomingMessage) => {
      this.cause =
        `${url} refused the connection: ${refusal.statusCode} ${refusal.statusMessage ?? ''}`.trim();
      // Destroying the request alone would leave the socket connecting for ever.
      refusal.resume();
      socket.terminate();
    });
    socket.on('open', () => {
      this.attempts = 0;
      this.cause = 'connected';
      ++this.counters.opened;
      this.pinger = setInterval(() => {
        const now_ms = performance.now();
        const ending = liveness.look(now_ms, this.handed, socket.bufferedAmount);
        if (ending !== undefined) {
          ++this.counters[ending.kind];
          this.cause = `${url} ${ending.why}`;
          socket.terminate();
        } else if (socket.readyState === OPEN) socket.ping(String(now_ms));
      }, this.options.ping_ms);
      this.options.on_open(response?.headers ?? {});
    });
    socket.on('pong', (asked) => {
      const now_ms = performance.now();
      liveness.ponged(now_ms);
      // A pong brings back what its ping said; a server may also send one of its own accord.
      const round_trip_ms = now_ms - Number(asked.length > 0 ? asked.toString() : Number.NaN);
      if (round_trip_ms >= 0) this.options.on_round_trip(round_trip_ms);
    });
    socket.on('message', (data, binary) => {
      if (this.socket !== socket) return;
      liveness.heard(performance.now());
      try {
        const frame = data as Buffer<ArrayBuffer>;
        const op = decoder.decode(frame, binary);
        const alone = binary && frame.byteLength === frame.buffer.byteLength;
        if (op !== undefined) this.options.on_op(op, 0, alone ? frame.buffer : undefined);
      } catch (caught) {
        ++this.counters.malformed;
        this.options.on_malformed(asTendonError(caught, 'a message listener').message);
      }
    });
    socket.on('error', (caught) => {
      if (this.cause === 'connected' || !this.cause.startsWith(url))
        this.cause = `${url}: ${caught.message || caught}`;
    });
    socket.on('close', (code) => {
      if (this.socket !== socket) return;
      clearInterval(this.pinger);
      if (this.cause === 'connected') this.cause = `${url} closed the connection (${code})`;
      this.stream = undefined;
      if (this.stopped) return;
      this.options.on_down(this.cause);
      const [first, longest] = this.options.backoff_ms;
      const wait_ms = Math.min(longest, first * 2 ** Math.min(this.attempts++, 16));
      this.retry = setTimeout(() => this.dial(), wait_ms);
    });
  }
}
