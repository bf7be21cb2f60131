// The socket under a WebSocket: opened so that nothing waits in it, and ended so that nothing in it is delivered.

import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { packageWhenNeeded } from '../../types/index.js';

const nodeNet = packageWhenNeeded<typeof import('node:net')>('node:net');
const nodeTls = packageWhenNeeded<typeof import('node:tls')>('node:tls');

export interface SocketOptions {
  readonly host?: string;
  readonly port?: number | string;
  servername?: string;
}

/** The socket that the WebSocket writes to, and the TCP socket under it: two where there is TLS between. */
export function openSocket(options: SocketOptions, secure: boolean): readonly [Duplex, Socket] {
  const { host = 'localhost', port = 80 } = options;
  const raw = nodeNet().connect({ host, port: Number(port) });
  raw.setNoDelay(true);
  if (!secure) return [raw, raw];
  const servername = options.servername || (nodeNet().isIP(host) ? '' : host);
  const outer = nodeTls().connect({ ...options, servername, socket: raw, path: undefined } as object);
  raw.on('error', (caught) => outer.destroy(caught));
  return [outer, raw];
}

/**
 * Ends a connection so that what lies in its buffers is not delivered any more: a close would still send it. What the
 * peer's own machine has received already cannot be taken back.
 */
export function reset(socket: WebSocket, raw: Socket | undefined): void {
  if (raw !== undefined && !raw.destroyed) raw.resetAndDestroy();
  socket.terminate();
}
