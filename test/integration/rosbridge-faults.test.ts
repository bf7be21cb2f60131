// What servers do that is easily taken for something else: a proxy that refuses for a while, goals that ended badly and are
// reported as ended, a stop that is let go while this process is held up.

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { Held } from '../../src/rosbridge/client/held.js';
import { BridgeClient, RosbridgeServer } from '../../src/rosbridge/index.js';
import { closedAfterEach, now_ns, until } from './support.js';

const closers = closedAfterEach();

test('a bridge whose proxy answers 503 for a while is tried until it is there', async () => {
  let refused = 0;
  const proxy = createServer();
  proxy.on('upgrade', (_, socket) => {
    refused++;
    socket.end('HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nsoon');
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const { port } = proxy.address() as AddressInfo;
  const client = new BridgeClient({ url: `ws://127.0.0.1:${port}`, now_ns, backoff_ms: [5, 20] });
  closers.push(() => client.close());
  const causes: string[] = [];
  client.onStatus(({ cause }) => causes.push(cause));
  const connected = client.connect();
  await until('two refusals', () => refused >= 2);
  expect(causes.join()).toContain('refused the connection: 503');
  await new Promise((resolve) => proxy.close(resolve));
  const server = await RosbridgeServer.start({ port });
  closers.push(() => server.close());
  await connected;
});

test('a goal that was aborted has failed, whatever `result` says', async () => {
  const values = { error_code: -4, error_string: 'path tolerance' };
  const status = 6;
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  closers.push(() => void server.close());
  server.on('connection', (socket) =>
    socket.on('message', (data) => {
      const { op, id, action, service } = JSON.parse(String(data));
      if (op === 'call_service')
        socket.send(
          JSON.stringify({
            op: 'service_response',
            id,
            service,
            result: true,
            values: { time: { sec: 1, nanosec: 0 } },
          }),
        );
      if (op === 'send_action_goal')
        socket.send(JSON.stringify({ op: 'action_result', id, action, result: true, status, values }));
    }),
  );
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  const client = new BridgeClient({ url: `ws://127.0.0.1:${port}`, now_ns });
  closers.push(() => client.close());
  await client.connect();
  const { result } = client.sendGoal(
    '/follow',
    'control_msgs/FollowJointTrajectory',
    {},
    { timeout_ms: 5000 },
  );
  await expect(result).rejects.toThrow(/failed.*path tolerance/);
});

test('of a topic on which each message counts all are held, of one that flows the newest', () => {
  const held = new Held();
  held.want('/estop', 100);
  const publish = (topic: string, data: unknown, at_ms: number) =>
    held.add({ op: 'publish', topic, msg: { data } }, at_ms);
  publish('/estop', true, 1);
  publish('/joints', 1, 2);
  publish('/estop', false, 3);
  publish('/joints', 2, 4);
  const said = held.take().map(({ op }) => (op.op === 'publish' ? [op.topic, op.msg.data] : []));
  expect(said).toEqual([
    ['/estop', true],
    ['/estop', false],
    ['/joints', 2],
  ]);
  expect(held.overtaken).toBe(1);
  for (let i = 0; i < 150; i++) publish('/estop', i, i);
  expect(held.take()).toHaveLength(100);
});

test('an encoding that cannot write a message keeps it from nobody else', async () => {
  const server = await RosbridgeServer.start();
  closers.push(() => server.close());
  const publish = server.advertise('/counts', 'demo/Counts');
  const heard: Record<string, unknown[]> = { none: [], cbor: [] };
  for (const compression of ['none', 'cbor'] as const) {
    const client = new BridgeClient({ url: server.url, now_ns });
    closers.push(() => client.close());
    await client.connect();
    client.subscribe('/counts', 'demo/Counts', ({ count }) => heard[compression]!.push(count), {
      compression,
    });
  }
  await until('both are subscribed', () => {
    publish({ count: 1 });
    return heard.none!.length > 0 && heard.cbor!.length > 0;
  });
  // JSON would round it, so JSON does not say it.
  publish({ count: 2n ** 63n - 1n });
  publish({ count: 3 });
  await until('what comes after it', () => heard.none!.includes(3) && heard.cbor!.includes(3));
  expect(heard.cbor).toContain(2n ** 63n - 1n);
  expect(heard.none!.every((count) => count === 1 || count === 3)).toBe(true);
  expect(server.stats().unencodable).toBe(1);
});

test('what the server refuses is told, and so is what cannot be read', async () => {
  const server = await RosbridgeServer.start({ allow: { publish: ['/allowed'], offer: [] } });
  closers.push(() => server.close());
  const client = new BridgeClient({ url: server.url, now_ns });
  closers.push(() => client.close());
  const told: string[] = [];
  client.onComplaint((complaint) => told.push(complaint));
  await client.connect();
  client.advertise('/command', 'demo/Command');
  await until('it is told', () => told.some((one) => /lets? clients publish \/command/.test(one)));
  client.advertiseService('/stop', 'std_srvs/Trigger', () => ({}));
  await until('that too', () => told.some((one) => /offer \/stop/.test(one)));
  expect(client.last_complaint).toContain('/stop');
});

test.each(['localhost:9090', '192.168.1.20:9090', 'http://localhost:9090', ''])(
  '"%s" is no bridge’s address, and what it should be is said',
  (url) => {
    expect(() => new BridgeClient({ url, now_ns })).toThrow(/expected ws:\/\/HOST:PORT/);
    if (url !== '') expect(() => new BridgeClient({ url, now_ns })).toThrow('Did you mean ws://');
  },
);
