// A rosbridge server that completes the handshake and writes, and may stop reading: a plain TCP socket, because every
// WebSocket library reads.

import { createHash } from 'node:crypto';
import { type AddressInfo, createServer, type Socket } from 'node:net';

/** RFC 6455, 1.3 */
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const SAY_MS = 5;

/** A text frame of up to 125 bytes, unmasked as servers write. */
function textFrame(text: string): Buffer {
  const data = Buffer.from(text);
  if (data.length > 125) throw new Error('a longer frame has another head');
  return Buffer.concat([Buffer.from([0x81, data.length]), data]);
}

export interface DeafServer {
  readonly url: string;
  /** Connections so far. */
  readonly greeted: number;
  close(): Promise<void>;
}

/** Says `text` every few ms on each connection and reads nothing after the handshake. */
export async function serveDeaf(text: string): Promise<DeafServer> {
  const sockets = new Set<Socket>();
  const frame = textFrame(text);
  let greeted = 0;
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('data', (request) => {
      socket.pause();
      const key = /sec-websocket-key: (.*)\r\n/i.exec(String(request))![1]!;
      const accept = createHash('sha1')
        .update(key + GUID)
        .digest('base64');
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
      );
      greeted++;
      const talk = setInterval(() => socket.write(frame), SAY_MS);
      socket.on('close', () => {
        clearInterval(talk);
        sockets.delete(socket);
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `ws://127.0.0.1:${port}`,
    get greeted() {
      return greeted;
    },
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}
