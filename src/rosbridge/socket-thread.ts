// A connection whose socket has a thread of its own (socket-worker.ts): to the client it is a Connection like any other,
// and the server's queue is drained while this process is held up. What is known of the socket here is a few milliseconds
// old, which only means that a frame may be dropped there instead of here.

import { Worker } from 'node:worker_threads';
import { packageFile } from '../types/package.js';
import type { Connecting, ConnectionCounters, ConnectionOptions } from './connection.js';
import type { FromSocket, SocketData, SocketState, ToSocket } from './socket-worker.js';

export class ThreadedConnection implements Connecting {
  readonly counters: ConnectionCounters = { opened: 0, dropped_offline: 0, dropped_backlog: 0, malformed: 0 };
  private readonly worker: Worker;
  private state: SocketState | undefined;
  private stopped = false;
  /** Frames that were not even tried, and so are not among the thread's. */
  private refused = { offline: 0, backlog: 0 };
  private cause_here = 'not connected yet';

  constructor(private readonly options: ConnectionOptions) {
    const {
      on_open: _,
      on_op: __,
      on_down: ___,
      on_malformed: ____,
      on_round_trip: _____,
      ...data
    } = options;
    this.worker = new Worker(packageFile('dist/rosbridge/socket-worker.js'), {
      workerData: data satisfies SocketData,
    });
    this.worker.unref();
    this.worker.on('message', (message: FromSocket) => this.heard(message));
    this.worker.on('error', ({ message }) => this.lost(`the socket's thread ended: ${message}`));
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

  /** Messages that a newer one of their topic took the place of before this process took them. */
  get overtaken(): number {
    return this.state?.overtaken ?? 0;
  }

  start(): void {
    this.say({ kind: 'start' });
  }

  stop(): void {
    this.stopped = true;
    this.say({ kind: 'stop' });
  }

  send(frame: string | Buffer): boolean {
    if (!this.open) this.refused.offline++;
    else if (this.buffered_bytes > this.options.max_buffered) this.refused.backlog++;
    else {
      this.say({ kind: 'send', frame });
      return true;
    }
    this.count();
    return false;
  }

  private heard(message: FromSocket): void {
    this.state = message.state;
    this.count();
    if (this.stopped) return;
    const { options } = this;
    if (message.kind === 'ops') {
      // First, so that the next are on their way while these are worked on.
      this.say({ kind: 'taken' });
      const now_ms = performance.timeOrigin + performance.now();
      for (const { op, at_ms } of message.ops) options.on_op(op, Math.max(0, now_ms - at_ms));
    } else if (message.kind === 'opened') options.on_open(message.headers);
    else if (message.kind === 'down') options.on_down(message.cause);
    else if (message.kind === 'malformed') options.on_malformed(message.cause);
    else if (message.kind === 'round_trip') options.on_round_trip(message.ms);
  }

  private lost(cause: string): void {
    this.state = undefined;
    this.cause_here = cause;
    if (!this.stopped) this.options.on_down(cause);
  }

  private count(): void {
    const there = this.state?.counters;
    this.counters.opened = there?.opened ?? 0;
    this.counters.malformed = there?.malformed ?? 0;
    this.counters.dropped_offline = (there?.dropped_offline ?? 0) + this.refused.offline;
    this.counters.dropped_backlog = (there?.dropped_backlog ?? 0) + this.refused.backlog;
  }

  private say(message: ToSocket): void {
    this.worker.postMessage(message);
  }
}
