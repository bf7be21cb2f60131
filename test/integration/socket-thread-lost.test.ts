// The thread of a socket ends, killed or by a fault of its own: the client says so, counts it, and goes on with a new one.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { RosbridgeServer } from '../../src/rosbridge/index.js';
import { closedAfterEach, now_ns, until } from './support.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
// From the built program, which has the socket's thread as a file of its own.
const { BridgeClient } = (await import(
  join(root, 'dist/rosbridge/index.js')
)) as typeof import('../../src/rosbridge/index.js');
const closers = closedAfterEach();

/** A client with one thread, and what became of it; `threads` are those it ever had, the newest last. */
async function connected() {
  const threads: Worker[] = [];
  const remember = (worker: Worker) => threads.push(worker);
  process.on('worker', remember);
  closers.push(() => process.off('worker', remember));
  const server = await RosbridgeServer.start();
  closers.push(() => server.close());
  const publish = server.advertise('/joints', 'demo/Joints');
  let sequence = 0;
  const timer = setInterval(() => publish({ sequence: ++sequence }), 5);
  closers.push(() => clearInterval(timer));
  server.service('/never', 'demo/Never', () => new Promise(() => undefined));
  const client = new BridgeClient({ url: server.url, now_ns, socket_thread: true, backoff_ms: [5, 50] });
  closers.push(() => client.close());
  const heard = { newest: 0, causes: [] as string[] };
  client.subscribe('/joints', 'demo/Joints', (msg) => {
    heard.newest = Number(msg.sequence);
  });
  client.onStatus(({ connected: up, cause }) => heard.causes.push(up ? 'up' : cause));
  await client.connect();
  await until('messages come', () => heard.newest > 5);
  return { server, client, threads, heard, now: () => sequence };
}

test('killed: calls under way end, and a new thread subscribes again', async () => {
  const { server, client, threads, heard, now } = await connected();
  const asked = client.call('/never', 'demo/Never', {}, 10_000);
  const ended = expect(asked).rejects.toThrow(/not answered: the socket's thread ended/);
  await threads.at(-1)!.terminate();
  await ended;
  const lost_at = now();
  await until('messages come again', () => heard.newest > lost_at + 5);
  expect(heard.causes).toEqual(['up', "the socket's thread ended", 'up']);
  expect(client.counters()).toMatchObject({ threads_lost: 1, opened: 2, malformed: 0 });
  expect(threads).toHaveLength(2);
  await until('the old socket is gone', () => server.stats().clients === 1);
});

test('a fault in the thread is told with its own words, as often as it comes', async () => {
  const { client, threads, heard, now } = await connected();
  for (const times of [1, 2]) {
    // A frame that no caller can write.
    threads.at(-1)!.postMessage(null);
    await until('it is counted', () => client.counters().threads_lost === times);
    const lost_at = now();
    await until('messages come again', () => heard.newest > lost_at + 5);
  }
  expect(heard.causes.filter((cause) => /thread ended: .*null/.test(cause))).toHaveLength(2);
});

test('a listener that fails and bytes that are no message are counted, and end nothing', async () => {
  const { server, client, threads, heard } = await connected();
  client.subscribe('/joints', 'demo/Joints', () => {
    throw new Error('a fault of its own');
  });
  await until('it is told', () => client.last_malformed.includes('a fault of its own'));
  const publish = server.advertise('/raw', 'demo/Raw');
  client.subscribe('/raw', 'sensor_msgs/JointState', () => undefined, { compression: 'cbor' });
  await until('bytes come', () => {
    publish({ secs: 0, nsecs: 0, bytes: Uint8Array.of(9, 9, 9) });
    return client.last_malformed.includes('serialised ROS message');
  });
  const { newest } = heard;
  await until('messages go on', () => heard.newest > newest + 5);
  expect(client.counters().threads_lost).toBe(0);
  expect(client.counters().malformed).toBeGreaterThan(1);
  expect(threads).toHaveLength(1);
});

test('a client that was closed hires nobody', async () => {
  const { client, threads } = await connected();
  await client.close();
  await threads.at(-1)!.terminate();
  expect(threads).toHaveLength(1);
  expect(client.counters().threads_lost).toBe(0);
});
