// The thread of one socket: reads and decodes as fast as the server sends, whatever the process is doing, and hands over
// when the process has taken what it was given before. Pictures are made plain here, so that the process need not.

import type { IncomingHttpHeaders } from 'node:http';
import { parentPort, workerData } from 'node:worker_threads';
import type { Serialisation } from '../codec/cdr.js';
import { IMAGE_TYPE, withPlainImage } from '../codec/images.js';
import { canonicalType, type Op } from '../codec/protocol.js';
import type { ConnectionCounters, ConnectionOptions } from './connecting.js';
import { Connection } from './connection.js';
import { Held, type HeldOp } from './held.js';

/** What a socket's thread is made of: everything of a connection that can be sent to a thread. */
export type SocketData = Omit<
  ConnectionOptions,
  'on_open' | 'on_op' | 'on_down' | 'on_malformed' | 'on_round_trip'
>;

export type ToSocket =
  /** `look`: is anybody there? Any answer says so. */
  | { readonly kind: 'start' | 'stop' | 'taken' | 'look' }
  | { readonly kind: 'unpack'; readonly serialisation: Serialisation }
  | { readonly kind: 'send'; readonly frame: string | Uint8Array; readonly expires_ms?: number | undefined };

export interface SocketState {
  readonly open: boolean;
  readonly cause: string;
  readonly buffered_bytes: number;
  readonly round_trip_ms: number;
  readonly counters: ConnectionCounters;
}

export type FromSocket = { readonly state: SocketState } & (
  | { readonly kind: 'state' }
  | { readonly kind: 'ops'; readonly ops: readonly HeldOp[] }
  | { readonly kind: 'opened'; readonly headers: IncomingHttpHeaders }
  | { readonly kind: 'down' | 'malformed'; readonly cause: string }
  | { readonly kind: 'round_trip'; readonly ms: number }
);

/** How a subscription begins: it says how many of its messages may wait, here as with the server. */
const SUBSCRIBE = '{"op":"subscribe"';
/** How often the process hears how much waits in the socket, ms. */
const STATE_MS = 20;

function serve(port: NonNullable<typeof parentPort>, data: SocketData): void {
  const held = new Held();
  const cameras = new Set<string>();
  let serialisation: Serialisation = 'cdr';
  let taken = true;
  const connection = new Connection({
    ...data,
    on_op(op, _, memory) {
      held.add(op, performance.timeOrigin + performance.now(), memory);
      handOver();
    },
    on_open: (headers) => say({ kind: 'opened', headers: { ...headers } }),
    on_down: (cause) => say({ kind: 'down', cause }),
    on_malformed: (cause) => say({ kind: 'malformed', cause }),
    on_round_trip: (ms) => say({ kind: 'round_trip', ms }),
  });
  const state = (): SocketState => {
    const { open, cause, buffered_bytes, round_trip_ms, counters } = connection;
    return {
      open,
      cause,
      buffered_bytes,
      round_trip_ms,
      counters: { ...counters, overtaken: held.overtaken },
    };
  };
  type Said = FromSocket extends infer One ? (One extends unknown ? Omit<One, 'state'> : never) : never;
  const say = (what: Said, memory: readonly ArrayBuffer[] = []): void =>
    port.postMessage({ ...what, state: state() }, memory);
  /** Only what is handed over is worth the work: of a fast camera most pictures are overtaken. */
  const plain = (one: HeldOp): HeldOp => {
    const { op, at_ms, memory } = one;
    if (op.op !== 'publish' || !cameras.has(op.topic)) return one;
    const msg = withPlainImage(op.msg, serialisation);
    return { op: { ...op, msg }, at_ms, memory: alone(msg.data) ?? memory };
  };
  const handOver = (): void => {
    if (!taken || held.empty) return;
    taken = false;
    const all = held.take().map(plain);
    const memory = new Set(all.flatMap((one) => one.memory ?? []));
    try {
      say({ kind: 'ops', ops: all.map(({ op, at_ms }) => ({ op, at_ms })) }, [...memory]);
    } catch (caught) {
      // What cannot be copied to the other thread is lost; what comes after it is not.
      taken = true;
      connection.counters.malformed++;
      say({ kind: 'malformed', cause: `cannot be handed over: ${caught}` });
    }
  };
  let told = '';
  setInterval(() => {
    const now = JSON.stringify(state());
    if (now === told) return;
    told = now;
    say({ kind: 'state' });
  }, STATE_MS);
  port.on('message', (message: ToSocket) => {
    if (message.kind === 'start') connection.start();
    else if (message.kind === 'unpack') serialisation = message.serialisation;
    else if (message.kind === 'look') say({ kind: 'state' });
    else if (message.kind === 'send') {
      if (typeof message.frame === 'string' && message.frame.startsWith(SUBSCRIBE)) {
        const { topic, type, queue_length } = JSON.parse(message.frame) as Op<'subscribe'>;
        held.want(topic, queue_length ?? 1);
        if (type !== undefined && canonicalType(type) === IMAGE_TYPE) cameras.add(topic);
      }
      // The frame may have waited for this thread: what expired meanwhile is not written.
      connection.send(message.frame as string | Buffer, message.expires_ms);
    } else if (message.kind === 'taken') {
      taken = true;
      handOver();
    } else {
      connection.stop();
      // What was being closed has half a second to close.
      setTimeout(() => process.exit(), 600);
    }
  });
}

/** The memory of bytes that have it for themselves. */
function alone(data: unknown): ArrayBuffer | undefined {
  const mine = data instanceof Uint8Array && data.byteLength === data.buffer.byteLength;
  return mine ? (data.buffer as ArrayBuffer) : undefined;
}

if (parentPort !== null) serve(parentPort, workerData as SocketData);
