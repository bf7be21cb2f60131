// One WebSocket to a rosbridge server that comes back by itself: back-off, pings, and a cap on what may wait in the
// socket. It queues nothing: while it is down, or when the cap is reached, `send` says no and counts. Commands are kept
// to more: none is written while another waits, none after it expired, and none behind a peer that does not read.

import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { asTendonError, packageWhenNeeded } from '../../types/index.js';
import { FrameDecoder } from '../codec/decoder.js';
import { type Connecting, type ConnectionOptions, sharedNow, zeroCounters } from './connecting.js';
import { Drain } from './drain.js';
import { Liveness } from './liveness.js';
import { openSocket, reset, type SocketOptions } from './tcp.js';

const ws = packageWhenNeeded<typeof import('ws')>('ws');
/** WebSocket.OPEN */
const OPEN = 1;

export class Connection implements Connecting {
  readonly counters = zeroCounters();
  cause = 'not connected yet';
  private socket: WebSocket | undefined;
  private stream: Duplex | undefined;
  /** The TCP socket under everything. */
  private raw: Socket | undefined;
  private drain: Drain | undefined;
  private drainer: NodeJS.Timeout | undefined;
  private retry: NodeJS.Timeout | undefined;
  private pinger: NodeJS.Timeout | undefined;
  private attempts = 0;
  private round_trip = 0;
  /** When the oldest ping was sent that has not been answered. */
  private pinged_ms: number | undefined;
  private stopped = true;
  private corked = false;
  /** Bytes that waited before this turn of the event loop, and whether a command was sent in it. */
  private waiting = 0;
  private commanded = false;
  /** Bytes given to this socket. */
  private handed = 0;

  constructor(private readonly options: ConnectionOptions) {}

  get open(): boolean {
    return this.socket?.readyState === OPEN;
  }

  get buffered_bytes(): number {
    return this.socket?.bufferedAmount ?? 0;
  }

  get round_trip_ms(): number {
    const pending_ms = this.pinged_ms === undefined ? 0 : performance.now() - this.pinged_ms;
    return Math.max(this.round_trip, pending_ms);
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
    clearInterval(this.drainer);
    const { socket, raw } = this;
    this.socket = undefined;
    this.cause = 'closed by this side';
    if (socket?.readyState === OPEN) {
      socket.close(1000);
      const timer = setTimeout(() => reset(socket, raw), 500);
      timer.unref();
      socket.once('close', () => clearTimeout(timer));
    } else socket?.terminate();
  }

  send(frame: string | Buffer, expires_ms?: number): boolean {
    const { socket, stream } = this;
    if (socket === undefined || socket.readyState !== OPEN) {
      ++this.counters.dropped_offline;
      return false;
    }
    // What is written in one turn of the event loop leaves together: only what waited before it counts as waiting.
    if (!this.corked) this.waiting = socket.bufferedAmount;
    const objection = expires_ms === undefined ? this.full(socket) : this.late(expires_ms);
    if (objection !== undefined) {
      ++this.counters[objection];
      return false;
    }
    if (stream !== undefined && !this.corked) {
      this.corked = true;
      stream.cork();
      process.nextTick(() => this.uncork(socket, stream));
    }
    socket.send(frame);
    this.handed += frame.length;
    this.commanded ||= expires_ms !== undefined;
    return true;
  }

  private full(socket: WebSocket): 'dropped_backlog' | undefined {
    return socket.bufferedAmount > this.options.max_buffered ? 'dropped_backlog' : undefined;
  }

  private late(expires_ms: number): 'dropped_backlog' | 'dropped_expired' | undefined {
    if (sharedNow() > expires_ms) return 'dropped_expired';
    if (this.waiting > 0 || this.drain?.mayFollow(performance.now()) === false) return 'dropped_backlog';
    return undefined;
  }

  private uncork(socket: WebSocket, stream: Duplex): void {
    if (this.commanded && socket === this.socket && socket.readyState === OPEN && this.drain !== undefined)
      socket.ping(this.drain.mark(performance.now()));
    this.commanded = false;
    this.corked = false;
    stream.uncork();
  }

  private dial(): void {
    const { url, headers, tls, max_payload, max_frame, connect_timeout_ms, lifetime_ms } = this.options;
    let raw: Socket | undefined;
    const socket = new (ws().WebSocket)(url, {
      headers,
      maxPayload: max_payload,
      perMessageDeflate: false,
      handshakeTimeout: connect_timeout_ms,
      createConnection: (options: object) => {
        const [outer, inner] = openSocket(options as SocketOptions, url.startsWith('wss:'));
        raw = inner;
        return outer;
      },
      ...(tls.ca === undefined ? {} : { ca: tls.ca }),
      ...(tls.verify === false ? { rejectUnauthorized: false } : {}),
    });
    this.socket = socket;
    this.raw = raw;
    this.handed = 0;
    this.commanded = false;
    this.corked = false;
    this.round_trip = 0;
    this.pinged_ms = undefined;
    const drain = lifetime_ms === undefined ? undefined : new Drain(lifetime_ms, performance.now());
    this.drain = drain;
    const decoder = new FrameDecoder(max_frame);
    const ping = (now_ms: number): void => {
      this.pinged_ms ??= now_ms;
      socket.ping(String(now_ms));
    };
    const cut = (kind: 'silent' | 'unread', why: string): void => {
      ++this.counters[kind];
      this.cause = `${url} ${why}`;
      reset(socket, raw);
    };
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
        if (ending !== undefined) cut(ending.kind, ending.why);
        else if (socket.readyState === OPEN) ping(now_ms);
      }, this.options.ping_ms);
      // At once, so that the time on the line is known before the first message is judged by it.
      ping(performance.now());
      if (drain !== undefined)
        this.drainer = setInterval(() => {
          if (drain.overdue(performance.now()) && socket.readyState === OPEN)
            cut(
              'unread',
              `has not read a command for ${lifetime_ms} ms, which is as long as one is good for`,
            );
        }, drain.period_ms);
      this.options.on_open(response?.headers ?? {});
    });
    socket.on('pong', (asked) => {
      const now_ms = performance.now();
      liveness.ponged(now_ms);
      // A pong brings back what its ping said; a server may also send one of its own accord.
      const payload = asked.toString('latin1');
      if (drain?.confirm(payload)) return;
      const round_trip_ms = now_ms - Number(payload === '' ? Number.NaN : payload);
      if (!(round_trip_ms >= 0)) return;
      this.round_trip = round_trip_ms;
      this.pinged_ms = undefined;
      this.options.on_round_trip(round_trip_ms);
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
      clearInterval(this.drainer);
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
