// A connection whose socket has a thread of its own (socket-worker.ts): to the client it is a Connection like any other,
// and the server's queue is drained while this process is held up. What is known of the socket here is a few milliseconds
// old, which only means that a frame may be dropped there instead of here. A thread that ends is replaced by a new one,
// and so is one that no longer answers.

import type { Worker } from 'node:worker_threads';
import { asTendonError } from '../../types/index.js';
import { startWorker } from '../../types/package.js';
import type { Serialisation } from '../codec/cdr.js';
import type { Op } from '../codec/protocol.js';
import {
  type Connecting,
  type ConnectionCounters,
  type ConnectionOptions,
  zeroCounters,
} from './connecting.js';
import type { FromSocket, SocketData, SocketState, ToSocket } from './socket-worker.js';

/** How often the thread is asked whether it lives. */
const LOOK_MS = 100;
/** A thread that has not spoken yet is being loaded. */
const LOADING_MS = 10_000;

export class ThreadedConnection implements Connecting {
  readonly counters = zeroCounters();
  private worker: Worker | undefined;
  private state: SocketState | undefined;
  private stopped = true;
  private retry: NodeJS.Timeout | undefined;
  private attempts = 0;
  /** What is not among the counters of the thread at work: frames not even tried, and what its predecessors counted. */
  private readonly before = zeroCounters();
  private watch: NodeJS.Timeout | undefined;
  /** When the thread was last heard, and when this process last looked; performance.now(). */
  private heard_ms = 0;
  private looked_ms = 0;
  private loaded = false;
  private cause_here = 'not connected yet';
  private readonly data: SocketData;

  constructor(private readonly options: ConnectionOptions) {
    const {
      on_open: _,
      on_op: __,
      on_down: ___,
      on_malformed: ____,
      on_round_trip: _____,
      ...data
    } = options;
    this.data = data;
    this.worker = this.hire();
  }

  get open(): boolean {
    return !this.stopped && this.state?.open === true;
  }

  get cause(): string {
    return this.state?.cause ?? this.cause_here;
  }

  get buffered_bytes(): number {
    return this.state?.buffered_bytes ?? 0;
  }

  get round_trip_ms(): number {
    return this.state?.round_trip_ms ?? Number.POSITIVE_INFINITY;
  }

  start(): void {
    if (!this.stopped) return;
    this.stopped = false;
    this.worker ??= this.hire();
    this.say({ kind: 'start' });
    this.heard_ms = this.looked_ms = performance.now();
    this.watch = setInterval(() => this.look(), LOOK_MS);
    this.watch.unref();
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.retry);
    clearInterval(this.watch);
    this.say({ kind: 'stop' });
  }

  send(frame: string | Buffer, expires_ms?: number): boolean {
    if (!this.open) this.before.dropped_offline++;
    else if (this.buffered_bytes > this.options.max_buffered) this.before.dropped_backlog++;
    else {
      this.say({ kind: 'send', frame, expires_ms });
      return true;
    }
    this.count();
    return false;
  }

  unpack(serialisation: Serialisation): void {
    this.say({ kind: 'unpack', serialisation });
  }

  private hire(): Worker {
    const worker = startWorker('dist/rosbridge/client/socket-worker.js', this.data);
    this.loaded = false;
    let why = '';
    worker.unref();
    worker.on('message', (message: FromSocket) => worker === this.worker && this.heard(message));
    worker.on('error', ({ message }) => {
      why = `: ${message}`;
    });
    worker.on('exit', () => this.lost(worker, `the socket's thread ended${why}`));
    return worker;
  }

  /** Whether the thread lives: one that is caught in a frame, or in a fault of its own, hears nothing any more. */
  private look(): void {
    const now_ms = performance.now();
    const held_up = now_ms - this.looked_ms > 2 * LOOK_MS;
    this.looked_ms = now_ms;
    const { worker, options } = this;
    // When this process itself was held up, the answers are still waiting to be read.
    const limit_ms = this.loaded ? options.ping_timeout_ms : LOADING_MS;
    if (worker === undefined || held_up) this.heard_ms = now_ms;
    else if (now_ms - this.heard_ms > limit_ms) {
      this.lost(worker, `the socket's thread has said nothing for ${limit_ms} ms`);
      void worker.terminate();
    } else this.say({ kind: 'look' });
  }

  private heard(message: FromSocket): void {
    this.heard_ms = performance.now();
    this.loaded = true;
    this.state = message.state;
    this.count();
    if (this.stopped) return;
    const { options } = this;
    if (message.kind === 'ops') {
      // First, so that the next are on their way while these are worked on.
      this.say({ kind: 'taken' });
      const now_ms = performance.timeOrigin + performance.now();
      for (const { op, at_ms } of message.ops) this.tell(op, Math.max(0, now_ms - at_ms));
    } else if (message.kind === 'opened') {
      this.attempts = 0;
      options.on_open(message.headers);
    } else if (message.kind === 'down') options.on_down(message.cause);
    else if (message.kind === 'malformed') options.on_malformed(message.cause);
    else if (message.kind === 'round_trip') options.on_round_trip(message.ms);
  }

  /** What a listener makes of a message is no end of the others. */
  private tell(op: Op, held_ms: number): void {
    try {
      this.options.on_op(op, held_ms);
    } catch (caught) {
      this.before.malformed++;
      this.count();
      this.options.on_malformed(asTendonError(caught, 'a message listener').message);
    }
  }

  private lost(worker: Worker, cause: string): void {
    if (worker !== this.worker) return;
    this.worker = undefined;
    for (const key of keysOf(this.before)) this.before[key] = this.counters[key];
    this.state = undefined;
    if (this.stopped) return;
    this.cause_here = cause;
    this.before.threads_lost++;
    this.count();
    this.options.on_down(cause);
    const [first, longest] = this.options.backoff_ms;
    const wait_ms = Math.min(longest, first * 2 ** Math.min(this.attempts++, 16));
    this.retry = setTimeout(() => {
      this.heard_ms = performance.now();
      this.worker = this.hire();
      this.say({ kind: 'start' });
    }, wait_ms);
  }

  private count(): void {
    const there = this.state?.counters;
    for (const key of keysOf(this.before)) this.counters[key] = this.before[key] + (there?.[key] ?? 0);
  }

  private say(message: ToSocket): void {
    this.worker?.postMessage(message);
  }
}

const keysOf = (counters: ConnectionCounters) => Object.keys(counters) as (keyof ConnectionCounters)[];
