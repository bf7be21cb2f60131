// Where this process listens. Everything that does (the page, /metrics, the policy server, the embedded bridge) opens a
// Door: it says in a sentence why it cannot listen, asks for a token where strangers could come, lets no socket's error
// out, cuts sockets that say nothing, and closes at once.

import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { asTendonError, type ErrorCode, packageWhenNeeded, TendonError } from '../types/index.js';
import { Guard, type GuardRules, isLoopback, pathOf, type Refusal } from './guard.js';
import { refuseUpgrade } from './refuse.js';
import { TOKEN_VARIABLE } from './secret.js';

const nodeHttp = packageWhenNeeded<typeof import('node:http')>('node:http');

export interface Address {
  /** Loopback when absent. Anything else asks for a token. */
  readonly host?: string | undefined;
  /** 0 or absent takes a free one. */
  readonly port?: number | undefined;
}

export interface DoorOptions extends Address {
  /** Who listens, for sentences: `the page`. */
  readonly name: string;
  /** What a stranger could do here: `move the robot`. */
  readonly risk: string;
  /** The code of the error when the address cannot be listened on. */
  readonly code?: ErrorCode;
  readonly rules: GuardRules;
  /** Paths that are answered without a token, such as /healthz. */
  readonly open?: readonly string[];
  /** What it throws is answered with 500. */
  readonly answer: (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;
  /** Takes a WebSocket that passed the guard, or says why not. Without it there are none. */
  readonly upgrade?: (request: IncomingMessage, stream: Duplex, head: Buffer) => Refusal | undefined;
}

/** A request has to be there whole within this time, and so has the first byte of one. */
const REQUEST_MS = 5000;
const CHECK_MS = 1000;
/** Sockets that are no WebSocket (yet); beyond so many the oldest goes, so that idle ones keep nobody out. */
const MOST_SOCKETS = 64;
/** How long a WebSocket may take to say goodbye. */
const GOODBYE_MS = 250;

export class Door {
  readonly guard: Guard;
  /** Requests and WebSockets turned away. */
  refused = 0;
  private readonly sockets = new Set<Socket>();
  private readonly waiting = new Set<Socket>();

  private constructor(
    private readonly http: Server,
    private readonly options: DoorOptions,
  ) {
    this.guard = new Guard(options.rules);
    http.on(
      'request',
      (request: IncomingMessage, response: ServerResponse) => void this.answer(request, response),
    );
    http.on('upgrade', (request: IncomingMessage, stream: Duplex, head: Buffer) =>
      this.upgrade(request, stream, head),
    );
    http.on('connection', (socket: Socket) => this.connected(socket));
    // Such as too many open files: the next one may be accepted again.
    http.on('error', () => {
      this.refused++;
    });
  }

  /** Listens. Throws `config_invalid` without a token off loopback, `code` when the address cannot be had. */
  static async open(options: DoorOptions): Promise<Door> {
    const { host = '127.0.0.1', port = 0, name, risk, rules, code = 'config_invalid' } = options;
    if (!isLoopback(host) && rules.token === undefined)
      throw new TendonError(
        'config_invalid',
        `${name}: on ${host} anybody on the network could ${risk} without a token. Set one (${TOKEN_VARIABLE}, or --token-file FILE), or stay on 127.0.0.1.`,
        { host },
      );
    const http = nodeHttp().createServer({
      headersTimeout: REQUEST_MS,
      requestTimeout: REQUEST_MS,
      keepAliveTimeout: REQUEST_MS,
      connectionsCheckingInterval: CHECK_MS,
    });
    await new Promise<void>((resolve, reject) => {
      const refuse = (cause: NodeJS.ErrnoException): void => {
        const why = REASONS[cause.code ?? ''] ?? cause.message;
        const sentence = `${name}: cannot listen on ${host}:${port}: ${why}. Choose another port, or 0 for a free one.`;
        reject(new TendonError(code, sentence, { host, port }, { cause }));
      };
      http.once('error', refuse);
      http.listen(port, host.replace(/^\[|\]$/g, ''), () => {
        http.off('error', refuse);
        resolve();
      });
    });
    return new Door(http, options);
  }

  get port(): number {
    return (this.http.address() as AddressInfo).port;
  }

  /** `scheme://address:port`, to print: a wildcard is shown as loopback, IPv6 in brackets. */
  url(scheme: 'http' | 'ws'): string {
    const { host = '127.0.0.1' } = this.options;
    const shown = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host.replace(/^\[|\]$/g, '');
    return `${scheme}://${shown.includes(':') ? `[${shown}]` : shown}:${this.port}`;
  }

  /** Ends at once, half-open requests too; WebSockets that were told to close have a moment for it. */
  async close(goodbye_ms = GOODBYE_MS): Promise<void> {
    const closed = new Promise<void>((resolve) => this.http.close(() => resolve()));
    for (const socket of this.waiting) socket.destroy();
    const cut = setTimeout(() => {
      for (const socket of this.sockets) socket.destroy();
    }, goodbye_ms);
    await closed;
    clearTimeout(cut);
  }

  private connected(socket: Socket): void {
    // A reset must never be an error that nobody hears.
    socket.on('error', () => socket.destroy());
    this.sockets.add(socket);
    this.waiting.add(socket);
    socket.once('close', () => {
      this.sockets.delete(socket);
      this.waiting.delete(socket);
    });
    if (this.waiting.size <= MOST_SOCKETS) return;
    const [oldest] = this.waiting;
    oldest?.destroy();
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => response.destroy());
    try {
      const open = this.options.open?.includes(pathOf(request)) === true;
      const refusal = open ? undefined : this.guard.refusal(request);
      if (refusal !== undefined) return this.turnAway(response, refusal);
      await this.options.answer(request, response);
    } catch (caught) {
      if (response.headersSent) response.destroy();
      else plain(response, 500, asTendonError(caught, this.options.name).message);
    }
  }

  private upgrade(request: IncomingMessage, stream: Duplex, head: Buffer): void {
    const refusal = this.admit(request, stream, head);
    if (refusal === undefined) {
      this.waiting.delete(request.socket);
      return;
    }
    this.refused++;
    refuseUpgrade(stream, refusal);
  }

  private admit(request: IncomingMessage, stream: Duplex, head: Buffer): Refusal | undefined {
    const { upgrade } = this.options;
    const refusal = this.guard.upgradeRefusal(request);
    if (refusal !== undefined) return refusal;
    return upgrade === undefined
      ? { status: 404, text: 'No WebSocket is served here.' }
      : upgrade(request, stream, head);
  }

  private turnAway(response: ServerResponse, { status, text }: Refusal): void {
    this.refused++;
    if (status === 401) response.setHeader('WWW-Authenticate', this.options.rules.scheme);
    plain(response, status, text);
  }
}

/** Answers with one line of text. */
export function plain(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' }).end(`${text}\n`);
}

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is taken',
  EACCES: 'this user may not listen on that port',
  EADDRNOTAVAIL: 'this machine has no such address',
  ENOTFOUND: 'there is no such host',
};
