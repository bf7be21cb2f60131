// The live page's server: static files over HTTP, LiveFrames out and OperatorIntents in over one WebSocket per
// page. It listens to a LiveSource and knows nothing of policies, robots or control.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { type RawData, type WebSocket, WebSocketServer } from 'ws';
import { TendonError } from '../types/errors.js';
import type { LiveFrame, LiveSource } from '../types/live.js';
import { type Assets, loadAssets } from './assets.js';
import { encodeFrame, type ReplyMessage } from './frames.js';
import { hostAllowed, originAllowed } from './guard.js';
import { readIntent } from './intents.js';
import { Mailbox } from './mailbox.js';

/** An address beside the page's own, such as /metrics. */
export type Route = () => Promise<{ readonly status?: number; readonly type: string; readonly body: string }>;

export interface WebServerOptions {
  /** Address to listen on; loopback unless the operator says otherwise. */
  readonly host?: string;
  /** 0 takes a free port. */
  readonly port?: number;
  /** Names other than localhost and plain addresses under which browsers may ask for the page. */
  readonly hosts?: readonly string[];
  /** By path. */
  readonly extra?: Readonly<Record<string, Route>>;
}

export interface WebServer {
  /** Address of the page, to print. */
  readonly url: string;
  readonly port: number;
  counters(): { readonly clients: number; readonly frame_drops: number; readonly refused: number };
  close(): Promise<void>;
}

/** An intent is at most 256 numbers. */
const MAX_INTENT_BYTES = 8 * 1024;
const MAX_CLIENTS = 32;
const PING_MS = 5000;
const CLOSE_GOING_AWAY = 1001;

/** Serves the page of `source`. Throws `file_missing` when it is not built, `config_invalid` when the port is taken. */
export async function startWebServer(source: LiveSource, options: WebServerOptions = {}): Promise<WebServer> {
  const { host = '127.0.0.1', port = 0, hosts = [], extra = {} } = options;
  const assets = await loadAssets();
  const http = createServer((request, response) => void answer(request, response, assets, hosts, extra));
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_INTENT_BYTES,
    perMessageDeflate: false,
  });
  const clients = new Map<WebSocket, Mailbox>();
  let refused = 0;
  let past_drops = 0;

  http.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const reason = refusal(request, hosts, clients.size);
    if (reason !== undefined) {
      refused++;
      socket.end(`HTTP/1.1 ${reason}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (client) => {
      const mailbox = attend(client, source);
      clients.set(client, mailbox);
      unsubscribe ??= source.subscribe(publish);
      client.on('close', () => {
        past_drops += mailbox.drops;
        clients.delete(client);
        if (clients.size > 0) return;
        unsubscribe?.();
        unsubscribe = undefined;
      });
    });
  });

  // Subscribed only while someone looks: frames that nobody sees should cost the controller nothing.
  let unsubscribe: (() => void) | undefined;
  const publish = (frame: LiveFrame): void => {
    const message = encodeFrame(frame);
    for (const mailbox of clients.values()) mailbox.post(frame.kind, message);
  };
  const heartbeat = setInterval(() => pingAll(clients), PING_MS);

  try {
    await listen(http, host, port);
  } catch (caught) {
    clearInterval(heartbeat);
    throw caught;
  }
  const bound = (http.address() as AddressInfo).port;
  return {
    url: `http://${urlHost(host)}:${bound}/`,
    port: bound,
    counters: () => ({
      clients: clients.size,
      frame_drops: [...clients.values()].reduce((sum, mailbox) => sum + mailbox.drops, past_drops),
      refused,
    }),
    close: async () => {
      clearInterval(heartbeat);
      unsubscribe?.();
      for (const client of clients.keys()) {
        client.close(CLOSE_GOING_AWAY, 'the controller is shutting down');
        setTimeout(() => client.terminate(), 250).unref();
      }
      http.closeIdleConnections();
      await new Promise<void>((resolve) => http.close(() => resolve()));
    },
  };
}

/** Connects one page to the source. A page that leaves while it drives by hand lets go of the robot. */
function attend(client: WebSocket, source: LiveSource): Mailbox {
  const mailbox = new Mailbox(client);
  let engaged = false;
  alive.add(client);
  client.on('pong', () => alive.add(client));
  client.on('error', () => client.terminate());
  client.on('close', () => {
    if (engaged) source.request({ kind: 'teleop', engaged: false });
  });
  client.on('message', (data: RawData, binary: boolean) => {
    const read = readIntent(binary ? '' : data.toString());
    const reply = (id: number, accepted: boolean, reason: string) => {
      const message: ReplyMessage = { kind: 'reply', id, accepted, reason };
      mailbox.reply(JSON.stringify(message));
    };
    if (!read.ok) return reply(read.id, false, read.reason);
    const { id, intent } = read.message;
    const { accepted, reason, outcome } = source.request(intent);
    if (intent.kind === 'teleop') engaged = intent.engaged && accepted;
    if (outcome === undefined) reply(id, accepted, reason);
    else void outcome.then((why) => reply(id, why === '', why));
  });
  mailbox.post('scene', encodeFrame(source.scene()));
  return mailbox;
}

/** Clients heard from since the last ping. */
const alive = new WeakSet<WebSocket>();

function pingAll(clients: ReadonlyMap<WebSocket, Mailbox>): void {
  for (const client of clients.keys()) {
    if (!alive.delete(client)) client.terminate();
    else client.ping();
  }
}

function refusal(request: IncomingMessage, hosts: readonly string[], n_clients: number): string | undefined {
  if (!hostAllowed(request.headers.host, hosts)) return '421 Misdirected Request';
  if (!originAllowed(request.headers)) return '403 Forbidden';
  if (pathOf(request) !== '/live') return '404 Not Found';
  if (n_clients >= MAX_CLIENTS) return '503 Service Unavailable';
  return undefined;
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  assets: Assets,
  hosts: readonly string[],
  extra: Readonly<Record<string, Route>>,
): Promise<void> {
  response.setHeader('X-Content-Type-Options', 'nosniff');
  response.setHeader('Referrer-Policy', 'no-referrer');
  response.setHeader('Cross-Origin-Resource-Policy', 'same-origin');
  response.setHeader('Cache-Control', 'no-cache');
  response.setHeader('Content-Security-Policy', assets.policy);
  if (!hostAllowed(request.headers.host, hosts))
    return plain(
      response,
      421,
      'This host name is not served here. Use the printed address, or list the name.',
    );
  if (request.method !== 'GET') {
    response.setHeader('Allow', 'GET');
    return plain(response, 405, 'Only GET is answered here; intents go through the WebSocket at /live.');
  }
  const path = pathOf(request);
  const route = Object.hasOwn(extra, path) ? extra[path] : undefined;
  if (route !== undefined) {
    try {
      const { status = 200, type, body } = await route();
      response.writeHead(status, { 'Content-Type': type }).end(body);
    } catch (caught) {
      plain(response, 500, caught instanceof Error ? caught.message : String(caught));
    }
    return;
  }
  const asset = assets.files.get(path);
  if (asset === undefined) return plain(response, 404, `Nothing is served at ${path}.`);
  response.setHeader('ETag', asset.etag);
  if (request.headers['if-none-match'] === asset.etag) response.writeHead(304).end();
  else response.writeHead(200, { 'Content-Type': asset.type }).end(asset.body);
}

function plain(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' }).end(`${text}\n`);
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? '/').split('?', 1)[0]!;
}

function listen(http: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    http.once('error', (cause: NodeJS.ErrnoException) => {
      const why = cause.code === 'EADDRINUSE' ? 'the port is taken' : cause.message;
      const sentence = `web: cannot serve the page on ${host}:${port}: ${why}. Try another --port, or 0 for a free one.`;
      reject(new TendonError('config_invalid', sentence, { host, port }, { cause }));
    });
    http.listen(port, host, resolve);
  });
}

/** An address that a person can open: a wildcard is shown as loopback, IPv6 in brackets. */
function urlHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
}
