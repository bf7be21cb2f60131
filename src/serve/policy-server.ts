// A policy behind the wire of openpi's policy server (websocket_policy_server.py): a robot's program that speaks to π0 speaks
// to any policy here. One request, one answer, binary msgpack both ways; metadata on connecting.

import type { IncomingMessage, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { WebSocket } from 'ws';
import { asTendonError, NS_PER_MS, type Policy, packageWhenNeeded, TendonError } from '../types/index.js';
import { packNumpy, unpackNumpy, type Wire } from './msgpack-numpy.js';
import { Float, NdArray } from './ndarray.js';
import { observationOf } from './observation.js';

const ws = packageWhenNeeded<typeof import('ws')>('ws');
const nodeHttp = packageWhenNeeded<typeof import('node:http')>('node:http');

export interface PolicyServerOptions {
  readonly policy: Policy;
  readonly port: number;
  /** Loopback when absent. */
  readonly host?: string | undefined;
  /** Asked of clients as `Authorization: Api-Key …`; needed when others than this machine may connect. */
  readonly key?: string | undefined;
  /** Of the policy's noise, anew for every client. */
  readonly seed?: number;
  /** Sent to a client that connects, beside what the policy says of itself. */
  readonly metadata?: Readonly<Record<string, Wire>>;
}

export interface PolicyServer {
  readonly url: string;
  close(): Promise<void>;
}

/** The largest frame: four cameras of a megapixel and room. */
const MAX_FRAME = 32 * 1024 * 1024;
const LOOPBACK = new Set(['127.0.0.1', '::1', 'localhost']);

/** Throws `config_invalid` when strangers could connect without a key. */
export async function servePolicy(options: PolicyServerOptions): Promise<PolicyServer> {
  const { host = '127.0.0.1', key } = options;
  if (!LOOPBACK.has(host) && key === undefined)
    throw new TendonError(
      'config_invalid',
      `serving on ${host} without a key lets anybody on the network ask this policy: give one, or stay on 127.0.0.1`,
      { host },
    );
  const http = nodeHttp().createServer((request, response) => {
    const health = request.url === '/healthz';
    response.writeHead(health ? 200 : 404).end(health ? 'OK\n' : '');
  });
  const sockets = new (ws().WebSocketServer)({
    noServer: true,
    maxPayload: MAX_FRAME,
    perMessageDeflate: false,
  });
  let client: WebSocket | undefined;
  http.on('upgrade', (request: IncomingMessage, stream, head) => {
    // Browsers name the page that they show; no page has business here.
    const stranger = request.headers.origin !== undefined;
    if (stranger || (key !== undefined && request.headers.authorization !== `Api-Key ${key}`)) {
      stream.end(`HTTP/1.1 ${stranger ? '403 Forbidden' : '401 Unauthorized'}\r\nConnection: close\r\n\r\n`);
      return;
    }
    sockets.handleUpgrade(request, stream, head, (socket) => {
      // The policy remembers what it has seen, which is one robot's.
      if (client !== undefined) {
        socket.close(1013, 'another client is being served');
        return;
      }
      client = socket;
      socket.once('close', () => {
        client = undefined;
      });
      serveClient(socket, options);
    });
  });
  await listening(http, options.port, host);
  const { port } = http.address() as AddressInfo;
  return {
    url: `ws://${host.includes(':') ? `[${host}]` : host}:${port}`,
    async close() {
      client?.terminate();
      sockets.close();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}

function serveClient(socket: WebSocket, { policy, seed = 0, metadata = {} }: PolicyServerOptions): void {
  const { family, horizon, action_dim, n_action_steps, rate_hz, observation_dims, image_shapes } =
    policy.spec;
  policy.reset(seed);
  const says: Wire = {
    family,
    action_horizon: horizon,
    action_dim,
    n_action_steps,
    ...(rate_hz === undefined ? {} : { rate_hz: new Float(rate_hz) }),
    observation: { ...observation_dims, ...image_shapes },
    ...metadata,
  };
  socket.send(packNumpy(says));
  let previous_ms: number | undefined;
  // One after the other, in order, as openpi's server works.
  let turn = Promise.resolve();
  socket.on('message', (data: Buffer, binary) => {
    turn = turn.then(async () => {
      const began = performance.now();
      try {
        if (!binary)
          throw new TendonError('input_invalid', 'expected a binary frame, msgpack with numpy arrays');
        const observation = observationOf(unpackNumpy(data), policy.spec, began * NS_PER_MS);
        const chunk = await policy.infer(observation);
        const infer_ms = performance.now() - began;
        socket.send(
          packNumpy({
            actions: NdArray.of(chunk.actions, [chunk.horizon, chunk.action_dim]),
            server_timing: {
              infer_ms: new Float(infer_ms),
              ...(previous_ms === undefined ? {} : { prev_total_ms: new Float(previous_ms) }),
            },
            policy_timing: { infer_ms: new Float(chunk.timing.total_ns / NS_PER_MS) },
          }),
        );
        previous_ms = performance.now() - began;
      } catch (caught) {
        // As openpi does it: a text frame with what went wrong, which its client raises, and the end.
        socket.send(asTendonError(caught, 'inference').message);
        socket.close(1011, 'Internal server error. Traceback included in previous frame.');
      }
    });
  });
  socket.on('error', () => socket.terminate());
}

function listening(http: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    http.once('error', (cause) =>
      reject(new TendonError('config_invalid', `cannot listen on ${host}:${port}: ${cause.message}`)),
    );
    http.listen(port, host, resolve);
  });
}
