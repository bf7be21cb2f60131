// The WebSockets behind a door: one path, a number of them, each pinged. When all places are taken the one that has said
// nothing for longest goes, so that pages left open never keep the person out who wants to stop the robot.

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { WebSocket, WebSocketServer } from 'ws';
import { packageWhenNeeded } from '../types/index.js';
import { pathOf, type Refusal } from './guard.js';

const ws = packageWhenNeeded<typeof import('ws')>('ws');

export interface SocketsOptions {
  /** The path that is answered; any when absent. */
  readonly path?: string;
  readonly max_payload: number;
  readonly most_clients: number;
  /** Whoever answers no ping by the next one is gone. */
  readonly ping_ms: number;
  /** Must not give its place up, such as a person who drives. */
  readonly keeps?: (socket: WebSocket) => boolean;
  readonly accept: (socket: WebSocket, request: IncomingMessage) => void;
}

const CLOSE_GOING_AWAY = 1001;
const CLOSE_TRY_LATER = 1013;

export class Sockets {
  private readonly server: WebSocketServer;
  /** In the order in which they last said something. */
  private readonly all = new Set<WebSocket>();
  private readonly alive = new WeakSet<WebSocket>();
  private readonly timer: NodeJS.Timeout;
  private looked_ms = performance.now();

  constructor(private readonly options: SocketsOptions) {
    this.server = new (ws().WebSocketServer)({
      noServer: true,
      maxPayload: options.max_payload,
      perMessageDeflate: false,
      clientTracking: false,
    });
    this.timer = setInterval(() => this.ping(), options.ping_ms);
    this.timer.unref();
  }

  get size(): number {
    return this.all.size;
  }

  /** For Door's `upgrade`. */
  readonly upgrade = (request: IncomingMessage, stream: Duplex, head: Buffer): Refusal | undefined => {
    const { path } = this.options;
    if (path !== undefined && pathOf(request) !== path)
      return { status: 404, text: `There is no WebSocket at this path; it is ${path}.` };
    if (this.all.size >= this.options.most_clients && !this.makeRoom())
      return { status: 503, text: 'All places are taken.' };
    this.server.handleUpgrade(request, stream, head, (socket) => this.add(socket, request));
    return undefined;
  };

  /** Says goodbye to all; the door cuts those who do not answer. */
  close(reason: string): void {
    clearInterval(this.timer);
    for (const socket of this.all) socket.close(CLOSE_GOING_AWAY, reason);
  }

  private add(socket: WebSocket, request: IncomingMessage): void {
    this.all.add(socket);
    this.alive.add(socket);
    socket.on('error', () => socket.terminate());
    socket.on('pong', () => this.alive.add(socket));
    socket.on('message', () => {
      this.alive.add(socket);
      // A set keeps the order of insertion.
      if (this.all.delete(socket)) this.all.add(socket);
    });
    socket.on('close', () => this.all.delete(socket));
    try {
      this.options.accept(socket, request);
    } catch {
      socket.terminate();
    }
  }

  private makeRoom(): boolean {
    for (const socket of this.all) {
      if (this.options.keeps?.(socket) === true) continue;
      this.all.delete(socket);
      socket.close(CLOSE_TRY_LATER, 'another took this place, which had been quiet for longest');
      setTimeout(() => socket.terminate(), 1000).unref();
      return true;
    }
    return false;
  }

  private ping(): void {
    const now_ms = performance.now();
    // When this process itself was held up, the answers are still waiting to be read.
    const late = now_ms - this.looked_ms > 2 * this.options.ping_ms;
    this.looked_ms = now_ms;
    for (const socket of this.all) {
      if (!this.alive.delete(socket) && !late) socket.terminate();
      else socket.ping();
    }
  }
}
