// The embedded rosbridge server: no ROS, no other process. It listens on loopback, checks who connects, and hands
// each socket to a Session; the simulation in the same process publishes and answers through `server` directly.

import type { Server as HttpServer, IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { WebSocketServer } from 'ws';
import { packageWhenNeeded, TendonError } from '../../types/index.js';
import { canonicalType, type Message, SERVER_HEADER, type ServiceHandler } from '../codec/protocol.js';
import { epochStamp } from '../codec/time.js';
import { type ActionHandler, Hub, localAction, localService } from './hub.js';
import { type AllowList, Session } from './session.js';

const ws = packageWhenNeeded<typeof import('ws')>('ws');
const nodeHttp = packageWhenNeeded<typeof import('node:http')>('node:http');
const nodeCrypto = packageWhenNeeded<typeof import('node:crypto')>('node:crypto');

export interface ServerOptions {
  /** Default 127.0.0.1. Anything else wants a token. */
  readonly host?: string;
  /** Default 0: any free port. */
  readonly port?: number;
  /** When set, clients must send `Authorization: Bearer TOKEN` or connect to `/?token=TOKEN`. */
  readonly token?: string;
  /** Browser origins that may connect besides pages from loopback. */
  readonly origins?: readonly string[];
  readonly allow?: AllowList;
  /** Largest frame or reassembled message in bytes; default 16 MiB. */
  readonly max_payload?: number;
  readonly max_clients?: number;
  /** A client silent for longer than this is cut off; default 30 s. */
  readonly ping_timeout_ms?: number;
  /** Default time for a client to answer a service it offers; 10 s. */
  readonly service_timeout_ms?: number;
}

export interface ServerStats {
  readonly clients: number;
  readonly sent: number;
  readonly dropped: number;
  readonly malformed: number;
  readonly unconfirmed_bytes: number;
}

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/i;
const FLUSH_MS = 5;
const PING_MS = 5000;

export class RosbridgeServer {
  private readonly hub = new Hub();
  private readonly sessions = new Set<Session>();
  private readonly sockets: WebSocketServer;
  private readonly timer: NodeJS.Timeout;
  private pinged_ms = performance.now();
  private swept_ms = performance.now();
  private past = { sent: 0, dropped: 0, malformed: 0 };

  private constructor(
    private readonly http: HttpServer,
    private readonly options: ServerOptions,
  ) {
    this.sockets = new (ws().WebSocketServer)({
      noServer: true,
      maxPayload: options.max_payload ?? 16 * 1024 * 1024,
      perMessageDeflate: false,
      clientTracking: false,
    });
    this.sockets.on('headers', (headers) => headers.push(`${SERVER_HEADER}: 1`));
    http.on('upgrade', (request, stream, head) => this.upgrade(request, stream, head));
    this.timer = setInterval(() => this.sweep(), FLUSH_MS);
    this.timer.unref();
    this.offerRosapi();
  }

  static async start(options: ServerOptions = {}): Promise<RosbridgeServer> {
    const host = options.host ?? '127.0.0.1';
    if (!LOOPBACK.test(host) && options.token === undefined) {
      throw new TendonError(
        'config_invalid',
        `The embedded rosbridge server was told to listen on ${host} without a token: anyone there could move the robot. Set a token, or listen on 127.0.0.1.`,
        { host },
      );
    }
    const http = nodeHttp().createServer((_, response) =>
      response.writeHead(426).end('rosbridge speaks WebSocket only\n'),
    );
    await new Promise<void>((resolve, reject) => {
      http.once('error', (caught) =>
        reject(
          new TendonError(
            'bridge_unreachable',
            `The rosbridge server cannot listen on ${host}:${options.port ?? 0}: ${caught.message}. Choose another port.`,
            { host, port: options.port },
            { cause: caught },
          ),
        ),
      );
      http.listen(options.port ?? 0, host, resolve);
    });
    return new RosbridgeServer(http, options);
  }

  get port(): number {
    return (this.http.address() as AddressInfo).port;
  }

  get url(): string {
    const host = this.options.host ?? '127.0.0.1';
    return `ws://${host.includes(':') ? `[${host.replace(/[[\]]/g, '')}]` : host}:${this.port}`;
  }

  /** Offers a topic from this process. Publishing costs nothing while nobody subscribes. */
  advertise(topic: string, type: string, latch = false): (msg: Message) => void {
    const owner = {};
    this.hub.advertise(owner, topic, canonicalType(type), latch);
    return (msg) => this.hub.publish(owner, topic, msg);
  }

  /** Hears a topic in this process; `listener` runs at once and must not block. */
  subscribe(topic: string, listener: (msg: Message) => void): () => void {
    return this.hub.listen(topic, listener);
  }

  service(name: string, type: string, handler: ServiceHandler): void {
    this.hub.offerService(name, localService(this, canonicalType(type), handler));
  }

  action(name: string, type: string, handler: ActionHandler): void {
    this.hub.offerAction(name, localAction(this, canonicalType(type), handler));
  }

  stats(): ServerStats {
    const sum = { ...this.past, unconfirmed_bytes: 0 };
    for (const session of this.sessions) {
      sum.sent += session.outbox.counters.sent;
      sum.dropped += session.outbox.counters.dropped;
      sum.malformed += session.malformed;
      sum.unconfirmed_bytes += session.outbox.unconfirmed_bytes;
    }
    return { clients: this.sessions.size, ...sum };
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    for (const session of this.sessions) session.socket.terminate();
    const closed = new Promise<void>((resolve) => this.http.close(() => resolve()));
    this.http.closeAllConnections();
    await closed;
  }

  private upgrade(request: IncomingMessage, stream: Duplex, head: Buffer): void {
    stream.on('error', () => stream.destroy());
    const refusal = this.refusal(request);
    if (refusal !== undefined) {
      stream.end(`HTTP/1.1 ${refusal}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    this.sockets.handleUpgrade(request, stream, head, (socket) => {
      const session = new Session(socket, stream, this.hub, {
        max_payload: this.options.max_payload ?? 16 * 1024 * 1024,
        service_timeout_ms: this.options.service_timeout_ms ?? 10_000,
        allow: this.options.allow ?? {},
      });
      this.sessions.add(session);
      socket.on('close', () => {
        this.sessions.delete(session);
        this.past.sent += session.outbox.counters.sent;
        this.past.dropped += session.outbox.counters.dropped;
        this.past.malformed += session.malformed;
      });
    });
  }

  private refusal(request: IncomingMessage): string | undefined {
    if (this.sessions.size >= (this.options.max_clients ?? 64)) return '503 Service Unavailable';
    const { origin } = request.headers;
    if (origin !== undefined && !this.options.origins?.includes(origin)) {
      const host = URL.canParse(origin) ? new URL(origin).hostname : '';
      if (!LOOPBACK.test(host)) return '403 Forbidden';
    }
    if (LOOPBACK.test(this.options.host ?? '127.0.0.1')) {
      // A web page cannot reach us under a name of its own that it has pointed at loopback.
      const host = `http://${request.headers.host ?? ''}`;
      if (!URL.canParse(host) || !LOOPBACK.test(new URL(host).hostname)) return '403 Forbidden';
    }
    const { token } = this.options;
    if (token === undefined) return undefined;
    const path = new URL(request.url ?? '/', 'http://localhost');
    const given =
      request.headers.authorization?.replace(/^Bearer /, '') ?? path.searchParams.get('token') ?? '';
    const [expected, got] = [Buffer.from(token), Buffer.from(given)];
    return expected.length === got.length && nodeCrypto().timingSafeEqual(expected, got)
      ? undefined
      : '401 Unauthorized';
  }

  private sweep(): void {
    const now_ms = performance.now();
    // When this process itself was held up, the answers are still waiting to be read.
    const late = now_ms - this.swept_ms > PING_MS;
    this.swept_ms = now_ms;
    const ping = now_ms - this.pinged_ms > PING_MS;
    if (ping) this.pinged_ms = now_ms;
    for (const session of this.sessions) {
      session.outbox.flush(now_ms);
      if (late) session.heard_ms = now_ms;
      if (now_ms - session.heard_ms > (this.options.ping_timeout_ms ?? 30_000)) session.socket.terminate();
      else if (ping) session.socket.ping('0');
    }
  }

  /** The part of rosapi that clients rely on. */
  private offerRosapi(): void {
    const { topics, services } = this.hub;
    this.service('/rosapi/get_time', 'rosapi/GetTime', () => ({ time: epochStamp() }));
    this.service('/rosapi/topics', 'rosapi/Topics', () => ({
      topics: [...topics.keys()],
      types: [...topics.values()].map((topic) => topic.type),
    }));
    this.service('/rosapi/topic_type', 'rosapi/TopicType', (args) => ({
      type: topics.get(String(args.topic))?.type ?? '',
    }));
    this.service('/rosapi/services', 'rosapi/Services', () => ({ services: [...services.keys()] }));
    this.service('/rosapi/service_type', 'rosapi/ServiceType', (args) => ({
      type: services.get(String(args.service))?.type ?? '',
    }));
  }
}
