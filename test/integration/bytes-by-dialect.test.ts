// uint8[] as each server takes it, wherever it is sent: messages, service arguments, answers of services, goals. The server
// is a plain WebSocket, so that what was written is seen as it was.

import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { DIALECTS } from '../../src/rosbridge/client/dialects.js';
import { BridgeClient } from '../../src/rosbridge/index.js';
import { closedAfterEach, now_ns, until } from './support.js';

const closers = closedAfterEach();
const BYTES = Uint8Array.of(1, 2, 255);
const SPELLED = { base64: 'AQL/', list: [1, 2, 255] } as const;
const EXPECTED = {
  embedded: 'base64',
  rosbridge_suite_ros1: 'base64',
  rosbridge_suite_ros2: 'base64',
  'ros2-web-bridge': 'list',
} as const;
type Frame = Record<string, unknown> & { op: string };

test.each(Object.keys(DIALECTS) as (keyof typeof DIALECTS)[])('%s', async (dialect) => {
  const frames: Frame[] = [];
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  closers.push(() => server.close());
  server.on('connection', (socket) =>
    socket.on('message', (data) => {
      const frame = JSON.parse(String(data)) as Frame;
      frames.push(frame);
      const { op, id, service } = frame;
      if (op === 'advertise_service')
        socket.send(JSON.stringify({ op: 'call_service', id: 'q', service: '/mine' }));
      if (op !== 'call_service') return;
      const time = dialect === 'rosbridge_suite_ros1' ? { secs: 1, nsecs: 0 } : { sec: 1, nanosec: 0 };
      socket.send(JSON.stringify({ op: 'service_response', id, service, result: true, values: { time } }));
    }),
  );
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  const client = new BridgeClient({ url: `ws://127.0.0.1:${port}`, now_ns, dialect });
  closers.push(() => client.close());
  await client.connect();
  const said = { key: 'k', nested: [{ data: BYTES }], floats: Float32Array.of(0.5) };
  const wanted = { key: 'k', nested: [{ data: SPELLED[EXPECTED[dialect]] }], floats: [0.5] };

  await client.call('/write', 'demo/Write', said);
  client.advertise('/out', 'demo/Out').publish(said);
  client.advertiseService('/mine', 'demo/Mine', () => said);
  const find = (op: string, more: object = {}) =>
    frames.find(
      (frame) => frame.op === op && Object.entries(more).every(([key, value]) => frame[key] === value),
    );
  await until('the answer', () => find('service_response') !== undefined);
  expect(find('call_service', { service: '/write' })!.args).toEqual(wanted);
  expect(find('publish')!.msg).toEqual(wanted);
  expect(find('service_response')!.values).toEqual(wanted);
  if (DIALECTS[dialect].actions) {
    client.sendGoal('/do', 'demo/Do', said, { timeout_ms: 5000 }).result.catch(() => undefined);
    await until('the goal', () => find('send_action_goal') !== undefined);
    expect(find('send_action_goal')!.args).toEqual(wanted);
  }
});
