// The embedded rosbridge server: no ROS, no other process. It listens on loopback, checks who connects, and hands
// each socket to a Session; the simulation in the same process publishes and answers through `server` directly.

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { WebSocketServer } from 'ws';
import { Door, isLoopback, plain, type Refusal } from '../../net/index.js';
import { packageWhenNeeded } from '../../types/index.js';
import { canonicalType, type Message, SERVER_HEADER, type ServiceHandler } from '../codec/protocol.js';
import { epochStamp } from '../codec/time.js';
import { type ActionHandler, Hub, localAction, localService } from './hub.js';
import { type AllowList, Session } from './session.js';

const ws = packageWhenNeeded<typeof import('ws')>('ws');

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
  readonly unencodable: number;
  readonly malformed: number;
  readonly unconfirmed_bytes: number;
}

const FLUSH_MS = 5;
const PING_MS = 5000;

/**
 * A rosbridge v2 server in this process, for simulations and tests (docs/protocol.md). Listens on 127.0.0.1; any other
 * address needs a token.
 */
export class RosbridgeServer {
  private readonly hub = new Hub();
  private readonly sessions = new Set<Session>();
  private readonly sockets: WebSocketServer;
  private readonly timer: NodeJS.Timeout;
  private pinged_ms = performance.now();
  private swept_ms = performance.now();
  private past = { sent: 0, dropped: 0, unencodable: 0, malformed: 0 };

  private door!: Door;

  private constructor(private readonly options: ServerOptions) {
    this.sockets = new (ws().WebSocketServer)({
      noServer: true,
      maxPayload: options.max_payload ?? 16 * 1024 * 1024,
      perMessageDeflate: false,
      clientTracking: false,
    });
    this.sockets.on('headers', (headers) => headers.push(`${SERVER_HEADER}: 1`));
    this.timer = setInterval(() => this.sweep(), FLUSH_MS);
    this.timer.unref();
    this.offerRosapi();
  }

  static async start(options: ServerOptions = {}): Promise<RosbridgeServer> {
    const { host, port, token, origins = [] } = options;
    const server = new RosbridgeServer(options);
    try {
      server.door = await Door.open({
        name: 'the embedded rosbridge server',
        risk: 'move the robot',
        code: 'bridge_unreachable',
        host,
        port,
        // On loopback a web page cannot reach us under a name of its own that it has pointed there.
        rules: {
          hosts: host === undefined || isLoopback(host) ? [] : 'any',
          origins,
          token,
          scheme: 'Bearer',
        },
        answer: (_, response) => plain(response, 426, 'rosbridge speaks WebSocket only'),
        upgrade: (request, stream, head) => server.upgrade(request, stream, head),
      });
    } catch (caught) {
      clearInterval(server.timer);
      throw caught;
    }
    return server;
  }

  get port(): number {
    return this.door.port;
  }

  get url(): string {
    return this.door.url('ws');
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
      sum.unencodable += session.outbox.counters.unencodable;
      sum.malformed += session.malformed;
      sum.unconfirmed_bytes += session.outbox.unconfirmed_bytes;
    }
    return { clients: this.sessions.size, ...sum };
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    for (const session of this.sessions) session.socket.terminate();
    await this.door.close(0);
  }

  private upgrade(request: IncomingMessage, stream: Duplex, head: Buffer): Refusal | undefined {
    if (this.sessions.size >= (this.options.max_clients ?? 64))
      return { status: 503, text: 'All places are taken.' };
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
        this.past.unencodable += session.outbox.counters.unencodable;
        this.past.malformed += session.malformed;
      });
    });
    return undefined;
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
    this.service('/rosapi/publishers', 'rosapi/Publishers', (args) => ({
      publishers: this.hub.publishersOf(String(args.topic)),
    }));
    this.service('/rosapi/subscribers', 'rosapi/Subscribers', (args) => ({
      subscribers: this.hub.subscribersOf(String(args.topic)),
    }));
  }
}
