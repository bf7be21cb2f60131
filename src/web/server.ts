// The live page's server: static files over HTTP, LiveFrames out and OperatorIntents in over one WebSocket per
// page. It listens to a LiveSource and knows nothing of policies, robots or control.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { RawData, WebSocket } from 'ws';
import { Door, pathOf, plain, Sockets } from '../net/index.js';
import { asTendonError } from '../types/errors.js';
import type { IntentAnswer, LiveFrame, LiveSource, OperatorIntent } from '../types/live.js';
import { type Assets, loadAssets } from './assets.js';
import { encodeFrame, type ReplyMessage } from './frames.js';
import { readIntent } from './intents.js';
import { Mailbox } from './mailbox.js';

/** An address beside the page's own, such as /metrics. */
export type Route = () => Promise<{ readonly status?: number; readonly type: string; readonly body: string }>;

export interface WebServerOptions {
  /** Address to listen on; loopback unless the operator says otherwise. */
  readonly host?: string | undefined;
  /** 0 takes a free port. */
  readonly port?: number | undefined;
  /** Names other than localhost and plain addresses under which browsers may ask for the page. */
  readonly hosts?: readonly string[] | undefined;
  /** Asked of everybody who connects; needed beyond loopback. */
  readonly token?: string | undefined;
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

/** Serves the page of `source`. Throws `file_missing` when it is not built, `config_invalid` when it cannot listen. */
export async function startWebServer(source: LiveSource, options: WebServerOptions = {}): Promise<WebServer> {
  const { host, port, hosts = [], token, extra = {} } = options;
  const assets = await loadAssets();
  const clients = new Map<WebSocket, Page>();
  let past_drops = 0;
  // Subscribed only while someone looks: frames that nobody sees should cost the controller nothing.
  let unsubscribe: (() => void) | undefined;
  const publish = (frame: LiveFrame): void => {
    const message = encodeFrame(frame);
    for (const { mailbox } of clients.values()) mailbox.post(frame.kind, message);
  };
  const sockets = new Sockets({
    path: '/live',
    max_payload: MAX_INTENT_BYTES,
    most_clients: MAX_CLIENTS,
    ping_ms: PING_MS,
    keeps: (client) => clients.get(client)?.engaged === true,
    accept(client) {
      const page = new Page(client, source);
      clients.set(client, page);
      unsubscribe ??= source.subscribe(publish);
      client.on('close', () => {
        past_drops += page.mailbox.drops;
        clients.delete(client);
        if (clients.size > 0) return;
        unsubscribe?.();
        unsubscribe = undefined;
      });
    },
  });
  const door = await Door.open({
    name: 'the page',
    risk: 'stop the robot, set it going and drive it',
    host,
    port,
    rules: { hosts, origins: 'own', token, scheme: 'Bearer' },
    answer: async (request, response) => {
      const cookie = door.guard.cookieFor(request, door.port);
      if (cookie === undefined) return answer(request, response, assets, extra);
      // The token leaves the address bar.
      response.writeHead(303, { 'Set-Cookie': cookie, Location: '/' }).end();
    },
    upgrade: sockets.upgrade,
  }).catch((caught) => {
    sockets.close('');
    throw caught;
  });
  return {
    url: `${door.url('http')}/`,
    port: door.port,
    counters: () => ({
      clients: clients.size,
      frame_drops: [...clients.values()].reduce((sum, { mailbox }) => sum + mailbox.drops, past_drops),
      refused: door.refused,
    }),
    close: async () => {
      unsubscribe?.();
      sockets.close('the controller is shutting down');
      await door.close();
    },
  };
}

/** One page. When it is lost while a person drives by it, the robot holds: a cable that broke is no decision. */
class Page {
  readonly mailbox: Mailbox;
  /** A person drives by this page. */
  engaged = false;

  constructor(
    client: WebSocket,
    private readonly source: LiveSource,
  ) {
    this.mailbox = new Mailbox(client);
    client.on('message', (data: RawData, binary: boolean) => this.hear(binary ? '' : data.toString()));
    client.on('close', () => {
      if (this.engaged) this.request({ kind: 'hold', cause: 'the page by which a person drove is gone' });
    });
    this.mailbox.post('scene', encodeFrame(source.scene()));
  }

  private hear(text: string): void {
    const read = readIntent(text);
    if (!read.ok) {
      this.reply(read.id, false, read.reason);
      return;
    }
    const { id, intent } = read.message;
    const { accepted, reason, outcome } = this.request(intent);
    if (intent.kind === 'teleop') this.engaged = intent.engaged && accepted;
    if (outcome === undefined) this.reply(id, accepted, reason);
    else
      outcome.then(
        (why) => this.reply(id, why === '', why),
        (caught: unknown) => this.reply(id, false, asTendonError(caught, intent.kind).message),
      );
  }

  /** Whatever goes wrong with an intent is its answer, and no exception in a socket's callback. */
  private request(intent: OperatorIntent): IntentAnswer {
    try {
      return this.source.request(intent);
    } catch (caught) {
      return { accepted: false, reason: `a fault in Tendon: ${asTendonError(caught, intent.kind).message}` };
    }
  }

  private reply(id: number, accepted: boolean, reason: string): void {
    const message: ReplyMessage = { kind: 'reply', id, accepted, reason };
    this.mailbox.reply(JSON.stringify(message));
  }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  assets: Assets,
  extra: Readonly<Record<string, Route>>,
): Promise<void> {
  response.setHeader('X-Content-Type-Options', 'nosniff');
  response.setHeader('Referrer-Policy', 'no-referrer');
  response.setHeader('Cross-Origin-Resource-Policy', 'same-origin');
  response.setHeader('Cache-Control', 'no-cache');
  response.setHeader('Content-Security-Policy', assets.policy);
  if (request.method !== 'GET') {
    response.setHeader('Allow', 'GET');
    return plain(response, 405, 'Only GET is answered here; intents go through the WebSocket at /live.');
  }
  const path = pathOf(request);
  const route = Object.hasOwn(extra, path) ? extra[path] : undefined;
  if (route !== undefined) {
    const { status = 200, type, body } = await route();
    response.writeHead(status, { 'Content-Type': type }).end(body);
    return;
  }
  const asset = assets.files.get(path);
  if (asset === undefined) return plain(response, 404, `Nothing is served at ${path}.`);
  response.setHeader('ETag', asset.etag);
  if (request.headers['if-none-match'] === asset.etag) response.writeHead(304).end();
  else response.writeHead(200, { 'Content-Type': asset.type }).end(asset.body);
}
