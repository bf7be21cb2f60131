// Whether the peer reads the commands that it is sent. What a socket has taken lies in buffers of this machine, of the
// network and of the peer, where nothing can be taken back. So a ping follows each command, and its pong says that the
// peer has read up to there. While too old a command is unconfirmed no other is sent; when it is older than its
// lifetime the connection is reset, and what is queued dies with it.

/** A look that comes this much later than the last was held up itself; then pongs may wait here unread, ms. */
const HELD_UP_MS = 30;
/** How long after that nothing is held against the peer, ms. */
const GRACE_MS = 10;

const PREFIX = 'drain:';

export class Drain {
  /** When each unconfirmed ping was sent, oldest first. */
  private readonly sent_ms: number[] = [];
  /** The number of the oldest one. */
  private oldest = 0;
  private looked_ms: number;
  private excused_until_ms = 0;

  /** A command is good for `lifetime_ms`. */
  constructor(
    readonly lifetime_ms: number,
    now_ms: number,
  ) {
    this.looked_ms = now_ms;
  }

  /** How often `look` wants to be called. */
  get period_ms(): number {
    return Math.min(20, Math.max(2, this.lifetime_ms / 10));
  }

  /** A command goes out; returns the payload of the ping that is to follow it. */
  mark(now_ms: number): string {
    this.sent_ms.push(now_ms);
    return `${PREFIX}${this.oldest + this.sent_ms.length - 1}`;
  }

  /** The payload of a pong; false where it is not one of ours. Everything before it has been read too. */
  confirm(payload: string): boolean {
    if (!payload.startsWith(PREFIX)) return false;
    const number = Number(payload.slice(PREFIX.length));
    const last = this.oldest + this.sent_ms.length - 1;
    if (!(number >= this.oldest && number <= last)) return true;
    this.sent_ms.splice(0, number - this.oldest + 1);
    this.oldest = number + 1;
    return true;
  }

  /** Whether another command may be sent: the one in flight longest is younger than half a lifetime. */
  mayFollow(now_ms: number): boolean {
    this.excuse(now_ms);
    return now_ms < this.excused_until_ms || this.age(now_ms) <= this.lifetime_ms / 2;
  }

  /** Whether the connection is to be reset: a command may lie somewhere that is older than its lifetime. */
  overdue(now_ms: number): boolean {
    this.excuse(now_ms);
    this.looked_ms = now_ms;
    return now_ms >= this.excused_until_ms && this.age(now_ms) > this.lifetime_ms;
  }

  private age(now_ms: number): number {
    return now_ms - (this.sent_ms[0] ?? now_ms);
  }

  private excuse(now_ms: number): void {
    if (now_ms - this.looked_ms > this.period_ms + HELD_UP_MS) this.excused_until_ms = now_ms + GRACE_MS;
    this.looked_ms = Math.max(this.looked_ms, now_ms - this.period_ms);
  }
}
