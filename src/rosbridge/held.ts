// What a socket heard while nobody took it: of every topic the newest message, of everything else all of it, in order and
// within bounds. Between the socket's thread and the process, so that a process that is held up finds little and fresh.

import type { Op } from './protocol.js';

export interface HeldOp {
  readonly op: Op;
  /** When it came, in ms since the epoch, as every thread counts them. */
  readonly at_ms: number;
}

/** Answers and goals that may wait; a process that takes none of so many is gone. */
const MOST_OTHERS = 10_000;

export class Held {
  /** Messages that a newer one of their topic took the place of, or that were one too many. */
  overtaken = 0;
  private newest = new Map<string, HeldOp>();
  private others: HeldOp[] = [];

  get empty(): boolean {
    return this.newest.size === 0 && this.others.length === 0;
  }

  add(op: Op, at_ms: number): void {
    if (op.op === 'publish') {
      // Deleted first, so that the order is that of the newest.
      if (this.newest.delete(op.topic)) this.overtaken++;
      this.newest.set(op.topic, { op, at_ms });
      return;
    }
    if (this.others.length === MOST_OTHERS) {
      this.others.shift();
      this.overtaken++;
    }
    this.others.push({ op, at_ms });
  }

  /** All of it, oldest first. */
  take(): HeldOp[] {
    const all = [...this.others, ...this.newest.values()].sort((a, b) => a.at_ms - b.at_ms);
    this.others = [];
    this.newest = new Map();
    return all;
  }
}
