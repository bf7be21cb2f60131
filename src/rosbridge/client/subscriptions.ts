// What this client wants to hear: subscribed now and after every reconnect. Nothing in rosbridge is acknowledged, so
// silence is watched for, and a compression that yields nothing is given up.

import type { Nanoseconds } from '../../types/index.js';
import { unpackRaw } from '../codec/cdr.js';
import type { Compression } from '../codec/decoder.js';
import { canonicalType, type Message, type Op } from '../codec/protocol.js';
import type { Channel, Link } from './channels.js';
import { chooseCompression } from './dialects.js';

export interface SubscribeOptions {
  readonly throttle_rate?: number;
  readonly queue_length?: number;
  readonly fragment_size?: number;
  readonly compression?: Compression;
  readonly qos?: Readonly<Record<string, unknown>> | undefined;
  readonly channel?: Channel;
  /** Nothing in rosbridge is acknowledged: `on_silence` is called when no message came for this long. */
  readonly no_data_ms?: number;
  readonly on_silence?: (silent_ms: number) => void;
}

/** Messages that may wait on a topic on which each counts: a stop that is let go again at once is a stop. */
export const SAID_ONCE = 100;

export type Listener = (msg: Message, arrived_ns: Nanoseconds) => void;

interface Wanted {
  readonly id: string;
  readonly topic: string;
  readonly type: string;
  readonly listener: Listener;
  readonly options: SubscribeOptions;
  compression: Compression;
  heard_ns: Nanoseconds;
  heard: boolean;
}

export class Subscriptions {
  /** Times a compression was given up because nothing came. */
  fallbacks = 0;
  private readonly wanted = new Map<string, Set<Wanted>>();

  constructor(private readonly link: Link) {}

  /** Returns the way to stop. */
  add(topic: string, type: string, listener: Listener, options: SubscribeOptions): () => void {
    const { link } = this;
    const wanted: Wanted = {
      id: crypto.randomUUID(),
      topic,
      type: canonicalType(type),
      listener,
      options,
      compression: options.compression ?? 'none',
      heard_ns: link.now_ns(),
      heard: false,
    };
    const others = this.wanted.get(topic);
    if (others === undefined) this.wanted.set(topic, new Set([wanted]));
    else others.add(wanted);
    const channel = options.channel ?? 'data';
    if (link.ready(channel)) this.send(wanted);
    return () => {
      const all = this.wanted.get(topic);
      all?.delete(wanted);
      if (all?.size === 0) this.wanted.delete(topic);
      if (link.ready(channel)) link.op(channel, { op: 'unsubscribe', id: wanted.id, topic });
    };
  }

  /** Subscribes again what `channels` carry. */
  renew(channels: readonly Channel[]): void {
    for (const wanted of this.all()) {
      wanted.heard = false;
      wanted.heard_ns = this.link.now_ns();
      if (channels.includes(wanted.options.channel ?? 'data')) this.send(wanted);
    }
  }

  /** `held_ms`: how long ago the message came. */
  receive(op: Op<'publish'>, held_ms: number): void {
    const all = this.wanted.get(op.topic);
    if (all === undefined) return;
    const arrived_ns = this.link.now_ns() - Math.round(held_ms * 1e6);
    let msg: Message | undefined;
    const failed: unknown[] = [];
    for (const wanted of all) {
      wanted.heard = true;
      wanted.heard_ns = arrived_ns;
      try {
        msg ??= unpackRaw(op.msg, wanted.type, this.link.dialect()?.serialisation ?? 'cdr');
        wanted.listener(msg, arrived_ns);
      } catch (caught) {
        failed.push(caught);
      }
    }
    // One that cannot read it keeps it from nobody else; the connection counts it as malformed.
    if (failed.length > 0) throw failed[0];
  }

  /** Looks for silence. */
  look(now_ns: Nanoseconds): void {
    for (const wanted of this.all()) {
      const { no_data_ms, on_silence } = wanted.options;
      const silent_ms = (now_ns - wanted.heard_ns) / 1e6;
      if (no_data_ms === undefined || silent_ms < no_data_ms) continue;
      if (!wanted.heard && wanted.compression !== 'none') {
        ++this.fallbacks;
        wanted.compression = 'none';
        wanted.heard_ns = now_ns;
        this.send(wanted);
      } else on_silence?.(silent_ms);
    }
  }

  private *all(): Iterable<Wanted> {
    for (const set of this.wanted.values()) yield* set;
  }

  private send(wanted: Wanted): void {
    const { throttle_rate, queue_length, fragment_size, qos, channel } = wanted.options;
    const dialect = this.link.dialect();
    const sure = dialect !== undefined && this.link.sure();
    if (sure) wanted.compression = chooseCompression(dialect, wanted.compression, wanted.type);
    const op: Op<'subscribe'> = {
      op: 'subscribe',
      id: wanted.id,
      topic: wanted.topic,
      type: wanted.type,
      throttle_rate: throttle_rate ?? 0,
      queue_length: queue_length ?? 1,
      compression: sure ? wanted.compression : 'none',
    };
    if (fragment_size !== undefined) op.fragment_size = fragment_size;
    if (qos !== undefined) op.qos = { ...qos };
    this.link.op(channel ?? 'data', op);
  }
}
