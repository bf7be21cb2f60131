// One WebSocket to a rosbridge server that comes back by itself: back-off, pings, and a cap on what may wait in the
// socket. It queues nothing: while it is down, or when the cap is reached, `send` says no and counts.

import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { asTendonError, packageWhenNeeded } from '../types/index.js';
import { FrameDecoder } from './codec.js';
import type { Op } from './protocol.js';

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
  /** `held_ms`: how long ago it came. */
  on_op(op: Op, held_ms: number): void;
  on_down(cause: string): void;
  on_malformed(cause: string): void;
  on_round_trip(ms: number): void;
}

export interface ConnectionCounters {
  opened: number;
  dropped_offline: number;
  dropped_backlog: number;
  malformed: number;
}

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
}

export class Connection implements Connecting {
  readonly counters: ConnectionCounters = { opened: 0, dropped_offline: 0, dropped_backlog: 0, malformed: 0 };
  cause = 'not connected yet';
  private socket: WebSocket | undefined;
  private stream: Duplex | undefined;
  private retry: NodeJS.Timeout | undefined;
  private pinger: NodeJS.Timeout | undefined;
  private attempts = 0;
  private stopped = true;
  private corked = false;

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
    const decoder = new FrameDecoder(max_payload);
    let response: IncomingMessage | undefined;
    let heard_ms = performance.now();
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
      heard_ms = performance.now();
      ++this.counters.opened;
      let looked_ms = heard_ms;
      this.pinger = setInterval(() => {
        const now_ms = performance.now();
        // When this process itself was held up, the answers are still waiting to be read.
        if (now_ms - looked_ms > 2 * this.options.ping_ms) heard_ms = now_ms;
        looked_ms = now_ms;
        if (now_ms - heard_ms > this.options.ping_timeout_ms) {
          this.cause = `${url} has not answered a ping for ${this.options.ping_timeout_ms} ms`;
          socket.terminate();
        } else if (socket.readyState === OPEN) socket.ping(String(now_ms));
      }, this.options.ping_ms);
      this.options.on_open(response?.headers ?? {});
    });
    socket.on('pong', (asked) => {
      heard_ms = performance.now();
      // A pong brings back what its ping said; a server may also send one of its own accord.
      const round_trip_ms = heard_ms - Number(asked.length > 0 ? asked.toString() : Number.NaN);
      if (round_trip_ms >= 0) this.options.on_round_trip(round_trip_ms);
    });
    socket.on('message', (data, binary) => {
      if (this.socket !== socket) return;
      heard_ms = performance.now();
      try {
        const op = decoder.decode(data as Buffer, binary);
        if (op !== undefined) this.options.on_op(op, 0);
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
