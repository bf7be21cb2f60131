// What one client is owed. A page on a slow link must neither delay the controller nor see old news: one message
// is on its way at a time, and of each kind of frame only the latest waits; the one it replaces is counted.

import type { WebSocket } from 'ws';

/** In the order in which waiting kinds leave. */
const KINDS = ['scene', 'status', 'chunk', 'poses'] as const;
export type FrameKind = (typeof KINDS)[number];

/** A client that reads nothing while it sends intents is cut off once its replies take this many bytes. */
const MAX_REPLY_BYTES = 256 * 1024;

export class Mailbox {
  /** Frames that were replaced before they could leave. */
  drops = 0;
  private busy = false;
  private readonly waiting = new Map<FrameKind, string | Uint8Array>();

  constructor(private readonly socket: WebSocket) {}

  post(kind: FrameKind, message: string | Uint8Array): void {
    if (this.waiting.has(kind)) this.drops++;
    this.waiting.set(kind, message);
    this.next();
  }

  /** Replies are few, small and all wanted; they pass by the frames. */
  reply(message: string): void {
    if (this.socket.bufferedAmount > MAX_REPLY_BYTES) this.socket.terminate();
    else this.socket.send(message, ignore);
  }

  private next(): void {
    if (this.busy || this.socket.readyState !== this.socket.OPEN) return;
    const kind = KINDS.find((candidate) => this.waiting.has(candidate));
    if (kind === undefined) return;
    const message = this.waiting.get(kind)!;
    this.waiting.delete(kind);
    this.busy = true;
    this.socket.send(message, () => {
      this.busy = false;
      this.next();
    });
  }
}

/** A failed write closes the socket, and the close is handled where the client is. */
function ignore(): void {}
