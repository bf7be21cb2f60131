// Turning away a WebSocket that asks to come in. Node hands over the raw socket without an error listener: whoever asks
// and resets the connection would otherwise end the process with the answer to it.

import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Refusal } from './guard.js';

/** What does not leave within this time is cut. */
const FLUSH_MS = 1000;

export function refuseUpgrade(stream: Duplex, { status, text }: Refusal): void {
  stream.on('error', () => stream.destroy());
  const body = `${text}\n`;
  stream.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  setTimeout(() => stream.destroy(), FLUSH_MS).unref();
}
