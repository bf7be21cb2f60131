// What subscriptions and offers know of the connections that carry them.

import type { Nanoseconds } from '../../types/index.js';
import type { Op } from '../codec/protocol.js';
import type { Dialect } from './dialects.js';

/** Sockets by what they carry; all four are one socket unless `separate_connections` is set. */
export type Channel = 'data' | 'images' | 'commands' | 'services';
export const CHANNELS: readonly Channel[] = ['data', 'images', 'commands', 'services'];

export interface Link {
  now_ns(): Nanoseconds;
  /** Undefined until known. */
  dialect(): Dialect | undefined;
  /** Whether everything has been advertised and subscribed on this channel since it opened. */
  ready(channel: Channel): boolean;
  /** Sends now or not at all, as `frame` does. */
  op(channel: Channel, op: Op): boolean;
  frame(channel: Channel, frame: string | Buffer): boolean;
  /** Counts a frame that was not even tried. */
  offline(channel: Channel): void;
}
