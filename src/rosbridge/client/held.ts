// What a socket heard while nobody took it: of every topic as many messages as were asked for, of everything else all of
// it, in order and within bounds. Between the socket's thread and the process, so that a process that is held up finds
// little and fresh.

import type { Op } from '../codec/protocol.js';

export interface HeldOp {
  readonly op: Op;
  /** When it came, in ms since the epoch, as every thread counts them. */
  readonly at_ms: number;
  /** What its bytes lie in, where nothing else does: handed over rather than copied. */
  readonly memory?: ArrayBuffer | undefined;
}

/** Answers and goals that may wait; a process that takes none of so many is gone. */
const MOST_OTHERS = 10_000;

export class Held {
  /** Messages that a newer one of their topic took the place of, or that were one too many. */
  overtaken = 0;
  private topics = new Map<string, HeldOp[]>();
  private readonly wanted = new Map<string, number>();
  private others: HeldOp[] = [];

  get empty(): boolean {
    return this.topics.size === 0 && this.others.length === 0;
  }

  /** Of `topic` the newest `count` are kept: one of what flows, all of what is said once, such as a stop. */
  want(topic: string, count: number): void {
    this.wanted.set(topic, Math.max(count, this.wanted.get(topic) ?? 1));
  }

  add(op: Op, at_ms: number, memory?: ArrayBuffer): void {
    if (op.op === 'publish') {
      const held = this.topics.get(op.topic) ?? [];
      held.push({ op, at_ms, memory });
      if (held.length > (this.wanted.get(op.topic) ?? 1)) {
        held.shift();
        this.overtaken++;
      }
      this.topics.set(op.topic, held);
      return;
    }
    if (this.others.length === MOST_OTHERS) {
      this.others.shift();
      this.overtaken++;
    }
    this.others.push({ op, at_ms, memory });
  }

  /** All of it, oldest first. */
  take(): HeldOp[] {
    const all = [...this.others, ...[...this.topics.values()].flat()].sort((a, b) => a.at_ms - b.at_ms);
    this.others = [];
    this.topics = new Map();
    return all;
  }
}
