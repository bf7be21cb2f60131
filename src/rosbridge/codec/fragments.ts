// Fragments: long JSON ops cut into pieces. Servers write `id: 0` for every message and a fractional `total`
// (4.67 means five pieces), and pieces of two topics may come in turn under that one id. So a piece belongs to the
// message, of this connection, that waits for it: the one of its id and total with as many pieces as its number says.

import { TendonError } from '../../types/index.js';
import type { Op } from './protocol.js';

interface Partial {
  readonly id: string | number;
  readonly pieces: string[];
  readonly total: number;
  length: number;
}

/** Puts pieces back together, for one connection. */
export class Fragments {
  private readonly partial = new Set<Partial>();

  /** At most `max_length` characters in one message and `max_messages` messages under way. */
  constructor(
    private readonly max_length: number,
    private readonly max_messages = 4,
  ) {}

  /** The whole text once its last piece is here. Throws `bridge_protocol` and forgets the message otherwise. */
  add({ id, data, num, total: fractional }: Op<'fragment'>): string | undefined {
    const total = Math.ceil(fractional);
    if (!(total >= 1 && total <= 65_536) || !(num >= 0 && num < total))
      throw this.refuse([], id, `piece ${num} of ${fractional}`);
    const message = num === 0 ? this.begin(id, total) : this.find(id, total, num);
    message.pieces.push(data);
    message.length += data.length;
    if (message.length > this.max_length)
      throw this.refuse([message], id, `more than ${this.max_length} characters`);
    if (message.pieces.length < total) return undefined;
    this.partial.delete(message);
    return message.pieces.join('');
  }

  private begin(id: string | number, total: number): Partial {
    // Of as many under way the oldest has lost a piece.
    const [oldest] = this.partial;
    if (oldest !== undefined && this.partial.size >= this.max_messages) this.partial.delete(oldest);
    const message = { id, pieces: [], total, length: 0 };
    this.partial.add(message);
    return message;
  }

  private find(id: string | number, total: number, num: number): Partial {
    const mine = [...this.partial].filter((one) => one.id === id && one.total === total);
    const waiting = mine.filter(({ pieces }) => pieces.length === num);
    const [message] = waiting;
    if (message === undefined)
      throw this.refuse(mine, id, `piece ${num} of ${total} after ${mine[0]?.pieces.length ?? 0}`);
    if (waiting.length > 1)
      throw this.refuse(waiting, id, `piece ${num} of ${total}, which two messages under one id wait for`);
    return message;
  }

  private refuse(forgotten: readonly Partial[], id: string | number, why: string): TendonError {
    for (const message of forgotten) this.partial.delete(message);
    return new TendonError('bridge_protocol', `Expected fragments in order, from 0 up: got ${why}.`, { id });
  }
}

/** The fragment ops for `text`: string id, whole total, no surrogate pair cut in two. */
export function cutFragments(text: string, size: number, id: string): Op<'fragment'>[] {
  const pieces: string[] = [];
  for (let at = 0; at < text.length; ) {
    let end = Math.min(text.length, at + size);
    const last = text.charCodeAt(end - 1);
    if (end < text.length && end - at > 1 && last >= 0xd800 && last < 0xdc00) --end;
    pieces.push(text.slice(at, end));
    at = end;
  }
  return pieces.map((data, num) => ({ op: 'fragment', id, data, num, total: pieces.length }));
}
