// Which sockets a client has, by what they carry, and how each is opened.

import { TendonError } from '../../types/index.js';
import { CHANNELS, type Channel } from './channels.js';
import type { Connecting, ConnectionOptions } from './connecting.js';
import { Connection } from './connection.js';
import type { ClientOptions } from './options.js';
import { ThreadedConnection } from './socket-thread.js';

/** Of `separate_connections: true`. */
const ALONE: readonly Channel[] = ['images', 'commands', 'services'];
/** What is sent or must be heard at once stays in this process: a thread between would only add a way to be late. */
const NEVER_THREADED: readonly Channel[] = ['commands', 'safety'];

/** The channels of each socket. */
export function socketsOf({
  separate_connections: own = false,
}: ClientOptions): readonly (readonly Channel[])[] {
  const alone = own === true ? ALONE : own === false ? [] : own;
  const shared = CHANNELS.filter((channel) => !alone.includes(channel));
  return [shared, ...alone.map((channel) => [channel])];
}

/** The socket of `mine`, not yet started. */
export function openConnection(
  options: ClientOptions,
  mine: readonly Channel[],
  on: Pick<ConnectionOptions, 'on_open' | 'on_op' | 'on_down' | 'on_malformed' | 'on_round_trip'>,
): Connecting {
  const { socket_thread } = options;
  const wanted = socket_thread === true || (socket_thread === 'images' && mine.includes('images'));
  const threaded = wanted && !mine.every((channel) => NEVER_THREADED.includes(channel));
  const max_payload = options.max_payload ?? 64 * 1024 * 1024;
  const Kind = threaded ? ThreadedConnection : Connection;
  return new Kind({
    url: options.url,
    headers: options.token === undefined ? {} : { authorization: `Bearer ${options.token}` },
    tls: options.tls ?? {},
    max_payload,
    max_frame: Math.max(...mine.map((channel) => options.max_frame?.[channel] ?? max_payload)),
    lifetime_ms: mine.includes('commands') ? options.lifetime_ms : undefined,
    max_buffered: options.max_buffered ?? 256 * 1024,
    ping_ms: options.ping_ms ?? 500,
    ping_timeout_ms: options.ping_timeout_ms ?? 2000,
    connect_timeout_ms: options.connect_timeout_ms ?? 5000,
    backoff_ms: options.backoff_ms ?? [50, 2000],
    ...on,
  });
}

/** Throws `config_invalid` for what is no WebSocket address, with what it should have been. */
export function checkAddress(url: string): void {
  if (/^wss?:\/\//i.test(url) && URL.canParse(url)) return;
  const guess = `ws://${url.replace(/^\w+:\/\//, '')}`;
  throw new TendonError(
    'config_invalid',
    `The bridge's address: expected ws://HOST:PORT or wss://HOST:PORT, got "${url}".${URL.canParse(guess) ? ` Did you mean ${guess}?` : ''}`,
    { url },
  );
}
