// The page's one connection: frames in, intents out, replies matched to their intents. It reconnects by itself for
// ever, and it also calls the link lost when the socket is open but the controller has said nothing for a while.

import type { LiveFrame, OperatorIntent } from '../../types/live.js';
import { decodeFrame, type IntentMessage } from '../frames.js';

export type LinkState = 'connecting' | 'open' | 'silent' | 'lost';

export interface Reply {
  readonly accepted: boolean;
  readonly reason: string;
}

export interface LinkEvents {
  frame(frame: LiveFrame): void;
  /** `retry_s` is the time until the next attempt, while lost. */
  state(state: LinkState, retry_s: number): void;
}

/** Status comes at 10 Hz; after this long without any frame the picture is history. */
const SILENT_MS = 1500;
const REPLY_MS = 3000;
const FIRST_RETRY_MS = 400;
const MAX_RETRY_MS = 4000;

export class Link {
  private socket: WebSocket | undefined;
  private state: LinkState = 'connecting';
  private heard_ms = 0;
  private retry_ms = FIRST_RETRY_MS;
  private next_id = 1;
  private readonly waiting = new Map<number, (reply: Reply) => void>();

  constructor(private readonly events: LinkEvents) {
    this.connect();
    setInterval(() => this.watch(), 250);
  }

  /** Sends `intent`; resolves with the controller's answer, or a refusal when it cannot be reached. Never rejects. */
  send(intent: OperatorIntent): Promise<Reply> {
    const { socket } = this;
    if (socket?.readyState !== WebSocket.OPEN)
      return Promise.resolve({
        accepted: false,
        reason: 'not sent: there is no connection to the controller',
      });
    const message: IntentMessage = { id: this.next_id++, intent };
    socket.send(JSON.stringify(message));
    return new Promise((resolve) => {
      const timer = setTimeout(
        () => settle({ accepted: false, reason: 'the controller did not answer' }),
        REPLY_MS,
      );
      const settle = (reply: Reply) => {
        clearTimeout(timer);
        this.waiting.delete(message.id);
        resolve(reply);
      };
      this.waiting.set(message.id, settle);
    });
  }

  private connect(): void {
    const socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/live`);
    socket.binaryType = 'arraybuffer';
    this.socket = socket;
    socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => this.receive(event.data);
    socket.onclose = () => {
      for (const settle of [...this.waiting.values()])
        settle({ accepted: false, reason: 'the connection closed before the controller answered' });
      this.enter('lost', this.retry_ms / 1000);
      setTimeout(() => this.connect(), this.retry_ms);
      this.retry_ms = Math.min(this.retry_ms * 1.6, MAX_RETRY_MS);
    };
  }

  private receive(data: string | ArrayBuffer): void {
    this.heard_ms = performance.now();
    this.retry_ms = FIRST_RETRY_MS;
    const message = decodeFrame(data);
    if (message.kind === 'reply') {
      this.waiting.get(message.id)?.({ accepted: message.accepted, reason: message.reason });
      return;
    }
    this.enter('open', 0);
    this.events.frame(message);
  }

  private watch(): void {
    if (this.state === 'open' && performance.now() - this.heard_ms > SILENT_MS) this.enter('silent', 0);
  }

  private enter(state: LinkState, retry_s: number): void {
    if (state === this.state && state !== 'lost') return;
    this.state = state;
    this.events.state(state, retry_s);
  }
}
