// What subscriptions and offers know of the connections that carry them.

import type { Nanoseconds } from '../../types/index.js';
import type { Op } from '../codec/protocol.js';
import type { Dialect } from './dialects.js';

/** Sockets by what they carry; `separate_connections` says which of them are one. `safety` is for stops and heartbeats. */
export type Channel = 'data' | 'images' | 'commands' | 'services' | 'safety';
export const CHANNELS: readonly Channel[] = ['data', 'images', 'commands', 'services', 'safety'];

export interface Link {
  now_ns(): Nanoseconds;
  /** Undefined until known. */
  dialect(): Dialect | undefined;
  /** Whether that is certain. */
  sure(): boolean;
  /** Whether everything has been advertised and subscribed on this channel since it opened. */
  ready(channel: Channel): boolean;
  /** Sends now or not at all, as `frame` does. */
  op(channel: Channel, op: Op): boolean;
  frame(channel: Channel, frame: string | Buffer, expires_ms?: number): boolean;
  /** Counts a frame that was not even tried. */
  offline(channel: Channel): void;
}
