// A server that goes on writing and reads nothing any more: observations flow, so nothing looks wrong, and no command
// arrives. It is cut off, the reason is told and counted, and the client dials again.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { Liveness } from '../../src/rosbridge/client/liveness.js';
import type { ClientOptions } from '../../src/rosbridge/client/options.js';
import { serveDeaf } from './deaf-server.js';
import { closedAfterEach, now_ns, until, wait } from './support.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
// From the built program, which has the socket's thread as a file of its own.
const { BridgeClient } = (await import(
  join(root, 'dist/rosbridge/index.js')
)) as typeof import('../../src/rosbridge/index.js');
const closers = closedAfterEach();

async function connected(more: Partial<ClientOptions>) {
  const server = await serveDeaf('{"op":"publish","topic":"/joints","msg":{"data":1}}');
  closers.push(() => server.close());
  const client = new BridgeClient({
    url: server.url,
    now_ns,
    dialect: 'ros2-web-bridge',
    backoff_ms: [5, 20],
    ping_ms: 50,
    ping_timeout_ms: 300,
    ...more,
  });
  closers.push(() => client.close());
  const heard = { messages: 0, causes: [] as string[] };
  client.subscribe('/joints', 'demo/Joints', () => heard.messages++);
  client.onStatus(({ connected: up, cause }) => up || heard.causes.push(cause));
  await client.connect();
  return { server, client, heard };
}

describe.each([false, true])('with a socket thread: %s', (socket_thread) => {
  test('what waits for a server that reads nothing is its end', async () => {
    const { server, client, heard } = await connected({ socket_thread });
    const { publish } = client.advertise('/command', 'demo/Command');
    const msg = { filler: 'x'.repeat(100_000) };
    // Commands are dropped first, of which there is no end as long as the connection stands.
    await until('commands are dropped', () => {
      publish(msg);
      return client.counters().dropped_backlog > 3;
    });
    await until('it was cut off', () => client.counters().unread > 0);
    await until('it is dialled again', () => server.greeted > 1);
    expect(heard.causes[0]).toMatch(/has read nothing for \d+ ms of what waits for it/);
    expect(heard.messages).toBeGreaterThan(50);
    expect(client.counters().silent).toBe(0);
  });

  test('commands that the network’s own buffers hold are no less unread', async () => {
    const { server, client, heard } = await connected({ socket_thread });
    await until('it is dialled again', () => server.greeted > 1);
    expect(heard.causes[0]).toMatch(/writes, but has answered no ping for 1500 ms/);
    expect(client.counters().dropped_backlog).toBe(0);
    expect(client.counters().unread).toBeGreaterThan(0);
    const before = heard.messages;
    await wait(100);
    expect(heard.messages).toBeGreaterThan(before);
  });
});

describe('a server that lives', () => {
  const limits = { ping_ms: 500, ping_timeout_ms: 2000 };

  test('on a slow line, one that takes a little now and then stays', () => {
    const liveness = new Liveness(limits, 0);
    for (let at_ms = 500; at_ms < 60_000; at_ms += 500) {
      liveness.heard(at_ms);
      if (at_ms % 4000 === 0) liveness.ponged(at_ms);
      // A thousand bytes leave every 1.5 s, and always 200,000 wait.
      const handed = 200_000 + 1000 * Math.floor(at_ms / 1500);
      expect(liveness.look(at_ms, handed, 200_000)).toBeUndefined();
    }
  });

  test('a long frame that leaves as one has the time of a slow line', () => {
    const liveness = new Liveness(limits, 0);
    const ended = (size: number) => {
      for (let at_ms = 500; at_ms < 60_000; at_ms += 500) {
        liveness.ponged(at_ms);
        if (liveness.look(at_ms, size, size) !== undefined) return at_ms;
      }
      return undefined;
    };
    expect(ended(10e6)).toBeGreaterThan(15_000);
  });

  test('while this process was held up it had no way to answer', () => {
    const liveness = new Liveness(limits, 0);
    expect(liveness.look(500, 10, 10)).toBeUndefined();
    expect(liveness.look(60_000, 10, 10)).toBeUndefined();
    liveness.ponged(60_001);
    expect(liveness.look(60_500, 10, 0)).toBeUndefined();
    expect(liveness.look(61_400, 10, 0)).toBeUndefined();
    expect(liveness.look(62_300, 10, 0)?.kind).toBe('silent');
  });
});
