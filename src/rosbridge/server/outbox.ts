// What one connection of the embedded server still has to send. Bytes under way are bounded by marks: a WebSocket
// ping after the data, answered by every client's pong once it has read that far. A client that stops reading
// therefore stops the flow after a window, and each of its topics keeps only its newest messages.

import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';

/** One message for any number of receivers; each encoding is made once, when first needed. */
export interface Publication {
  frames(compression: string, fragment_size: number): readonly (Buffer | string)[];
}

/** A client's interest in a topic. */
export interface Subscription {
  readonly topic: string;
  readonly throttle_ms: number;
  /** How many messages may wait; 1 means only the newest. */
  readonly capacity: number;
  readonly fragment_size: number;
  readonly compression: string;
  waiting: Publication[];
  next_ms: number;
}

export interface OutboxCounters {
  sent: number;
  dropped: number;
  /** Messages that could not be written in the encoding that was asked for. */
  unencodable: number;
}

const WINDOW_BYTES = 4 * 1024 * 1024;
const MARK_BYTES = WINDOW_BYTES / 8;
const MARK_MS = 50;
/** A mark unanswered for longer than this: the client is not reading. */
const STALL_MS = 250;
/** Answers (not topics) that may pile up for a client that does not read, before it is cut off. */
const MAX_BACKLOG_BYTES = 64 * 1024 * 1024;

export class Outbox {
  readonly counters: OutboxCounters = { sent: 0, dropped: 0, unencodable: 0 };
  private readonly waiting = new Set<Subscription>();
  private readonly marks: { readonly upto: number; readonly sent_ms: number }[] = [];
  private sent_bytes = 0;
  private acknowledged_bytes = 0;
  private marked_bytes = 0;
  private marked_ms = 0;
  private corked = false;

  constructor(
    private readonly socket: WebSocket,
    private readonly stream: Duplex,
  ) {
    socket.on('pong', (data: Buffer) => {
      const upto = Number(data.toString('latin1'));
      while (this.marks.length > 0 && (this.marks[0]?.upto ?? 0) <= upto) this.marks.shift();
      if (upto > this.acknowledged_bytes && upto <= this.sent_bytes) this.acknowledged_bytes = upto;
      this.flush(performance.now());
    });
  }

  /** Bytes handed to the socket that the client has not confirmed. */
  get unconfirmed_bytes(): number {
    return this.sent_bytes - this.acknowledged_bytes;
  }

  /** An answer that must arrive: sent at once, whatever the topics do. */
  answer(frame: Buffer | string): void {
    if (this.socket.bufferedAmount > MAX_BACKLOG_BYTES) this.socket.terminate();
    else this.write(frame, performance.now());
  }

  /** A message of a topic: sent now if the client keeps up, otherwise kept in the place of an older one. */
  offer(subscription: Subscription, publication: Publication): void {
    const now_ms = performance.now();
    if (subscription.waiting.length === 0 && now_ms >= subscription.next_ms && this.open(now_ms)) {
      this.send(subscription, publication, now_ms);
      return;
    }
    subscription.waiting.push(publication);
    if (subscription.waiting.length > subscription.capacity) {
      subscription.waiting.shift();
      ++this.counters.dropped;
    }
    this.waiting.add(subscription);
  }

  forget(subscription: Subscription): void {
    subscription.waiting = [];
    this.waiting.delete(subscription);
  }

  /** Sends what waits and may go; called when the client confirms, and every few milliseconds. */
  flush(now_ms: number): void {
    for (const subscription of this.waiting) {
      while (subscription.waiting.length > 0 && now_ms >= subscription.next_ms) {
        if (!this.open(now_ms)) return;
        this.send(subscription, subscription.waiting.shift() as Publication, now_ms);
      }
      if (subscription.waiting.length === 0) this.waiting.delete(subscription);
    }
    if (this.sent_bytes > this.marked_bytes && now_ms - this.marked_ms >= MARK_MS) this.mark(now_ms);
  }

  private open(now_ms: number): boolean {
    const oldest = this.marks[0];
    const stalled = oldest !== undefined && now_ms - oldest.sent_ms > STALL_MS;
    return !stalled && this.unconfirmed_bytes < WINDOW_BYTES && this.socket.readyState === 1;
  }

  private send(subscription: Subscription, publication: Publication, now_ms: number): void {
    subscription.next_ms = now_ms + subscription.throttle_ms;
    let frames: readonly (Buffer | string)[];
    try {
      frames = publication.frames(subscription.compression, subscription.fragment_size);
    } catch {
      // What cannot be written in this encoding (an integer that JSON would round) may be in another subscriber's.
      ++this.counters.unencodable;
      return;
    }
    ++this.counters.sent;
    for (const frame of frames) this.write(frame, now_ms);
  }

  private write(frame: Buffer | string, now_ms: number): void {
    if (this.socket.readyState !== 1) return;
    // Everything written while one chunk of input is handled leaves in one system call.
    if (!this.corked) {
      this.corked = true;
      this.stream.cork();
      process.nextTick(() => {
        this.corked = false;
        this.stream.uncork();
      });
    }
    this.socket.send(frame, { binary: typeof frame !== 'string' && frame[0] !== OPEN_BRACE });
    this.sent_bytes += frame.length;
    if (this.sent_bytes - this.marked_bytes >= MARK_BYTES || now_ms - this.marked_ms >= MARK_MS) {
      this.mark(now_ms);
    }
  }

  private mark(now_ms: number): void {
    this.marked_bytes = this.sent_bytes;
    this.marked_ms = now_ms;
    this.marks.push({ upto: this.sent_bytes, sent_ms: now_ms });
    this.socket.ping(String(this.sent_bytes));
  }
}

/** JSON ops start with a brace; a CBOR map never does (its heads are 0xa0 to 0xbf). */
const OPEN_BRACE = 0x7b;
