// Fragments: long JSON ops cut into pieces. Servers write `id: 0` for every message and a fractional `total`
// (4.67 means five pieces), so pieces are put together per connection and in order, not by id alone.

import { TendonError } from '../../types/index.js';
import type { Op } from './protocol.js';

/** Puts pieces back together, for one connection. */
export class Fragments {
  private readonly partial = new Map<string | number, { pieces: string[]; total: number; length: number }>();

  /** At most `max_length` characters in one message and `max_messages` messages under way. */
  constructor(
    private readonly max_length: number,
    private readonly max_messages = 4,
  ) {}

  /** The whole text once its last piece is here. Throws `bridge_protocol` and forgets the message otherwise. */
  add({ id, data, num, total: fractional }: Op<'fragment'>): string | undefined {
    const total = Math.ceil(fractional);
    if (!(total >= 1 && total <= 65_536) || !(num >= 0 && num < total)) {
      throw this.refuse(id, `piece ${num} of ${fractional}`);
    }
    if (num === 0) {
      this.partial.delete(id);
      if (this.partial.size >= this.max_messages)
        throw this.refuse(id, 'too many messages in pieces at once');
      this.partial.set(id, { pieces: [], total, length: 0 });
    }
    const message = this.partial.get(id);
    if (message === undefined || message.total !== total || message.pieces.length !== num) {
      throw this.refuse(id, `piece ${num} of ${total} after ${message?.pieces.length ?? 0}`);
    }
    message.pieces.push(data);
    message.length += data.length;
    if (message.length > this.max_length) throw this.refuse(id, `more than ${this.max_length} characters`);
    if (message.pieces.length < total) return undefined;
    this.partial.delete(id);
    return message.pieces.join('');
  }

  private refuse(id: string | number, why: string): TendonError {
    this.partial.delete(id);
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
