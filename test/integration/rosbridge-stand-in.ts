// A stand-in for rosbridge_suite: its answers as observed on real servers (docs/protocol.md), with a rosapi that may be
// slow, absent or there, and topics with publishers and subscribers of their own. It writes no stamps that it is not given.

import type { AddressInfo } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';
import type { Message } from '../../src/rosbridge/index.js';

export interface StandInOptions {
  readonly ros: 1 | 2;
  /** `absent`: calls are refused. A number: answered so many ms later. */
  rosapi: 'absent' | number;
  /** By topic who publishes and subscribes beside the clients of this server. */
  readonly publishers?: Record<string, string[]>;
  readonly subscribers?: Record<string, string[]>;
  /** What `get_time` is ahead of this machine's clock, ms. */
  ahead_ms?: number;
  /** Services that it forgets to offer. */
  readonly deaf_services?: readonly string[];
}

const NODE = '/rosbridge_websocket';

export async function standIn(options: StandInOptions) {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', maxPayload: 1 << 28 });
  await new Promise((resolve) => server.once('listening', resolve));
  const subscribed = new Map<string, Set<WebSocket>>();
  const advertised = new Map<string, Set<WebSocket>>();
  const services = new Map<string, { type: string; socket: WebSocket }>();
  const heard: Message[] = [];
  const commands: Message[] = [];
  const answers: Record<string, (args: Message) => Message> = {
    get_time: () => {
      const now_ms = performance.timeOrigin + performance.now() + (options.ahead_ms ?? 0);
      const [s, ns] = [Math.floor(now_ms / 1e3), Math.floor((now_ms % 1e3) * 1e6)];
      return { time: options.ros === 1 ? { secs: s, nsecs: ns } : { sec: s, nanosec: ns } };
    },
    publishers: ({ topic }) => ({
      publishers: [
        ...(options.publishers?.[String(topic)] ?? []),
        ...(advertised.get(String(topic))?.size ? [NODE] : []),
      ],
    }),
    subscribers: ({ topic }) => ({
      subscribers: [
        ...(options.subscribers?.[String(topic)] ?? []),
        ...(subscribed.get(String(topic))?.size ? [NODE] : []),
      ],
    }),
    service_type: ({ service }) => ({ type: services.get(String(service))?.type ?? '' }),
  };
  const join = (map: Map<string, Set<WebSocket>>, name: string, socket: WebSocket): void => {
    map.set(name, (map.get(name) ?? new Set()).add(socket));
  };
  server.on('connection', (socket) => {
    socket.on('error', () => socket.terminate());
    socket.on('close', () => {
      for (const map of [subscribed, advertised]) for (const sockets of map.values()) sockets.delete(socket);
      for (const [name, one] of services) if (one.socket === socket) services.delete(name);
    });
    socket.on('message', (data) => {
      const op = JSON.parse(String(data)) as Record<string, string & Message>;
      heard.push(op);
      if (op.op === 'subscribe') join(subscribed, op.topic!, socket);
      else if (op.op === 'advertise') join(advertised, op.topic!, socket);
      else if (op.op === 'publish') commands.push(op.msg!);
      else if (op.op === 'advertise_service' && !options.deaf_services?.includes(op.service!))
        services.set(op.service!, { type: op.type!, socket });
      else if (op.op === 'call_service') {
        const say = (values: unknown, result: boolean): void => {
          if (socket.readyState === WebSocket.OPEN)
            socket.send(
              JSON.stringify({ op: 'service_response', id: op.id, service: op.service, values, result }),
            );
        };
        const answer = answers[String(op.service).replace('/rosapi/', '')];
        if (options.rosapi === 'absent' || answer === undefined)
          say(`Service ${op.service} does not exist`, false);
        else setTimeout(() => say(answer(op.args ?? {}), true), options.rosapi);
      }
    });
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `ws://127.0.0.1:${port}`,
    port,
    options,
    heard,
    /** What was published, by whichever topic. */
    commands,
    subscribed: (topic: string): number => subscribed.get(topic)?.size ?? 0,
    /** A frame as it is, to everybody who subscribed to `topic`. */
    frame(topic: string, frame: string | Buffer): void {
      for (const socket of subscribed.get(topic) ?? []) socket.send(frame, { binary: false });
    },
    publish(topic: string, msg: Message): void {
      this.frame(topic, JSON.stringify({ op: 'publish', topic, msg }));
    },
    /** A JointState of now, or of `age_ms` ago, as this server's ROS writes it. */
    joints(topic: string, name: readonly string[], position: readonly number[], age_ms = 0): void {
      const now_ms = performance.timeOrigin + performance.now() + (options.ahead_ms ?? 0) - age_ms;
      const [s, ns] = [Math.floor(now_ms / 1e3), Math.floor((now_ms % 1e3) * 1e6)];
      const stamp = options.ros === 1 ? { secs: s, nsecs: ns } : { sec: s, nanosec: ns };
      this.publish(topic, { header: { stamp, frame_id: '' }, name, position, velocity: [], effort: [] });
    },
    close(): void {
      for (const socket of server.clients) socket.terminate();
      server.close();
    },
  };
}
export type StandIn = Awaited<ReturnType<typeof standIn>>;
