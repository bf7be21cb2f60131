// A network in bad weather, message by message: it delays, duplicates, reorders and tears what passes, puts garbage
// between, and is cut.

import type { AddressInfo, Socket } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';
import type { Random } from '../../src/sim/random.js';

export interface NetworkOptions {
  /** Where the server listens now; asked for every connection. */
  readonly port: () => number;
  readonly random: Random;
  /** Whether nothing overtakes, as on one TCP connection. */
  readonly ordered?: boolean;
  readonly closers: (() => unknown)[];
  /** Told of every message as it leaves the client, before any weather. */
  readonly onLeave?: (text: string) => void;
  /** Told of every message of the client just before the server has it. */
  readonly onArrive?: (text: string, passage: Passage) => void;
}

/** A message on its way from client to server. */
export interface Passage {
  readonly connection: number;
  /** In the order in which the client sent them, from 1. */
  readonly number: number;
  /** How long this network kept it, ms. */
  readonly held_ms: number;
}

/** Stands before a server. `weather` may be changed at any time: chances from 0 to 1, and delays in ms. */
export async function network({ port, random, closers, onLeave, onArrive, ordered }: NetworkOptions) {
  let connections = 0;
  const near = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  const weather = { shortest_ms: 0, longest_ms: 0, twice: 0, torn: 0, garbage: 0 };
  const seen = { duplicated: 0, overtaken: 0, torn: 0, garbage: 0 };
  const links = new Set<{ client: WebSocket; far: WebSocket }>();
  const relay = (from: WebSocket, to: WebSocket, outward: boolean): void => {
    let [sequence, latest, free_ms, waiting] = [0, 0, 0, 0];
    const connection = ++connections;
    from.on('message', (data: Buffer, binary) => {
      const number = ++sequence;
      const came_ms = performance.now();
      const text = String(data);
      if (outward) onLeave?.(text);
      const say = (what: Buffer, as_binary: boolean): void => {
        if (to.readyState === WebSocket.OPEN) to.send(what, { binary: as_binary });
      };
      if (random.next() < weather.garbage) {
        seen.garbage++;
        say(bytes(random), random.next() < 0.5);
      }
      // Of what flows anyway a part may be lost; of everything else a torn copy comes besides.
      if (random.next() < weather.torn) {
        seen.torn++;
        say(data.subarray(0, Math.floor(random.next() * data.length)), binary);
        if (text.startsWith('{"op":"publish"')) return;
      }
      const pass = (): void => {
        if (number < latest) seen.overtaken++;
        latest = Math.max(latest, number);
        if (outward) onArrive?.(text, { connection, number, held_ms: performance.now() - came_ms });
        say(data, binary);
      };
      const copies = random.next() < weather.twice ? 2 : 1;
      seen.duplicated += copies - 1;
      for (let i = 0; i < copies; i++) {
        const delay_ms = weather.shortest_ms + random.next() ** 3 * weather.longest_ms;
        if (ordered !== true) {
          if (delay_ms === 0) pass();
          else setTimeout(pass, delay_ms);
          continue;
        }
        const waits_ms = Math.max(delay_ms, free_ms - came_ms);
        free_ms = came_ms + waits_ms;
        if (waits_ms <= 0 && waiting === 0) pass();
        else {
          waiting++;
          setTimeout(() => {
            waiting--;
            pass();
          }, waits_ms);
        }
      }
    });
  };
  near.on('connection', (client) => {
    const far = new WebSocket(`ws://127.0.0.1:${port() || 1}`, { perMessageDeflate: false });
    const link = { client, far };
    links.add(link);
    const early: [Buffer, boolean][] = [];
    const keep = (data: unknown, binary: boolean) => early.push([data as Buffer, binary]);
    client.on('message', keep);
    far.on('open', () => {
      client.off('message', keep);
      for (const [data, binary] of early) far.send(data, { binary });
      relay(client, far, true);
    });
    relay(far, client, false);
    for (const [end, other] of [
      [client, far],
      [far, client],
    ] as const) {
      end.on('error', () => end.terminate());
      end.on('close', () => {
        links.delete(link);
        other.terminate();
      });
    }
  });
  /** All of its lines, or the one that was opened as number `which` of those that stand, from 0. */
  const cut = (which?: number): void => {
    [...links].forEach(({ client }, i) => {
      if (which === undefined || i === which % links.size) client.terminate();
    });
  };
  /** Whether the near end reads what its clients send; what they have sent meanwhile lies in the kernel. */
  const read = (on: boolean): void => {
    for (const { client } of links) {
      const socket = Reflect.get(client, '_socket') as Socket | null;
      if (on) socket?.resume();
      else socket?.pause();
    }
  };
  await new Promise((listening) => near.once('listening', listening));
  closers.push(() => {
    cut();
    near.close();
  });
  /** Bytes that are no WebSocket frame, under the feet of one end. */
  const inject = (outward: boolean): void => {
    for (const { client, far } of links) {
      const socket = Reflect.get(outward ? far : client, '_socket') as Socket | null;
      socket?.write(Buffer.concat([Buffer.from([0xff]), bytes(random)]));
    }
  };
  const { port: near_port } = near.address() as AddressInfo;
  return { url: `ws://127.0.0.1:${near_port}`, weather, seen, cut, read, inject };
}

function bytes(random: Random): Buffer {
  return Buffer.from(Array.from({ length: 1 + Math.floor(random.next() * 40) }, () => random.next() * 256));
}
