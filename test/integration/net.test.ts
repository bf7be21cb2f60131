// Everything that listens, over real sockets: the page, /metrics, the policy server and the embedded bridge. Whoever
// connects, and however they leave, the process goes on, and a person who wants to stop the robot gets in.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { type LoopMetrics, serveMetrics } from '../../src/metrics/index.js';
import { readToken } from '../../src/net/index.js';
import { RosbridgeServer } from '../../src/rosbridge/index.js';
import { servePolicy } from '../../src/serve/index.js';
import type { Policy } from '../../src/types/index.js';
import { startWebServer } from '../../src/web/index.js';
import { FakeSource } from '../browser/fake-source.js';
import { closedAfterEach } from './support.js';

const closers = closedAfterEach();
const TOKEN = 'correct-horse-battery';

const policy: Policy = {
  spec: {
    family: 'still',
    n_obs_steps: 1,
    horizon: 1,
    n_action_steps: 1,
    action_dim: 1,
    observation_dims: { state: 1 },
    image_shapes: {},
    goal_dims: {},
    rate_hz: 10,
  },
  reset: () => undefined,
  close: () => undefined,
  infer: () => Promise.reject(new Error('never asked here')),
};
const metrics = { content_type: 'text/plain', text: async () => 'up 1\n' } as unknown as LoopMetrics;

interface Options {
  readonly host?: string;
  readonly token?: string;
}

/** Each gives its port. */
const listeners: Record<string, (options: Options) => Promise<number>> = {
  'the page': async (options) => {
    const source = new FakeSource();
    const server = await startWebServer(source, options).catch((caught) => {
      source.close();
      throw caught;
    });
    closers.push(() => {
      source.close();
      return server.close();
    });
    return server.port;
  },
  metrics: async (options) => {
    const server = await serveMetrics(metrics, options);
    closers.push(() => server.close());
    return Number(new URL(server.url).port);
  },
  'the policy server': async (options) => {
    const server = await servePolicy({ policy, port: 0, ...options });
    closers.push(() => server.close());
    return Number(new URL(server.url).port);
  },
  'the embedded rosbridge server': async (options) => {
    const server = await RosbridgeServer.start(options);
    closers.push(() => server.close());
    return server.port;
  },
};

const upgrade = (port: number, path: string, more = ''): string =>
  `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
  `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n${more}\r\n`;

async function dial(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  closers.push(() => socket.destroy());
  await new Promise((resolve) => socket.once('connect', resolve));
  return socket;
}

/** The first line of the answer to `request`. */
async function statusOf(port: number, request: string): Promise<string> {
  const socket = await dial(port);
  socket.write(request);
  const data = await new Promise<string>((resolve) => {
    socket.once('data', (bytes) => resolve(String(bytes)));
    socket.once('close', () => resolve(''));
  });
  socket.destroy();
  return data.split('\r\n', 1)[0]!;
}

const HOSTILE: ((port: number) => string)[] = [
  (port) => upgrade(port, '/nowhere'),
  (port) => upgrade(port, '//'),
  (port) => upgrade(port, '///%zz?token=%'),
  (port) => upgrade(port, 'http://[/live'),
  (port) => upgrade(port, '/live', 'Origin: http://evil.example\r\n'),
  (port) => upgrade(port, '/live', 'Origin: null\r\n'),
  (port) => upgrade(port, '/live').replace(`127.0.0.1:${port}`, 'evil.example'),
  (port) => upgrade(port, '/live').replace('Sec-WebSocket-Version: 13', 'Sec-WebSocket-Version: 99'),
  (port) => upgrade(port, '/live', 'Authorization: Bearer wrong\r\nCookie: tendon=; x\r\n'),
  () => 'GET // HTTP/1.1\r\nHost: [\r\n\r\n',
  () => '\x16\x03\x01 no HTTP at all\r\n\r\n',
];

describe.each(Object.entries(listeners))('%s', (name, open) => {
  test.each([undefined, TOKEN])('lives through whoever asks and resets, token: %s', async (token) => {
    const port = await open(token === undefined ? {} : { token });
    for (let round = 0; round < 20; round++)
      for (const request of HOSTILE) {
        const socket = await dial(port);
        socket.write(request(port));
        if (round % 2 === 0) await new Promise((resolve) => setImmediate(resolve));
        socket.resetAndDestroy();
      }
    // An uncaught exception would have failed the run; and it still answers.
    expect(await statusOf(port, `GET /x HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`)).toMatch(
      /^HTTP\/1.1 4\d\d/,
    );
  });

  test('asks for a token beyond loopback, and compares it whole', async () => {
    await expect(open({ host: '0.0.0.0' })).rejects.toMatchObject({
      code: 'config_invalid',
      message: expect.stringMatching(new RegExp(`^${name}: on 0\\.0\\.0\\.0 .*TENDON_TOKEN`)),
    });
    const port = await open({ host: '0.0.0.0', token: TOKEN });
    const scheme = name === 'the policy server' ? 'Api-Key' : 'Bearer';
    const path = name === 'metrics' ? '/metrics' : '/';
    const get = (header: string): Promise<string> =>
      statusOf(port, `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${header}\r\n`);
    for (const wrong of ['', `${scheme} ${TOKEN.slice(1)}`, `${scheme} ${TOKEN}x`, `Basic ${TOKEN}`])
      expect(await get(wrong === '' ? '' : `Authorization: ${wrong}\r\n`), wrong).toContain('401');
    expect(await get(`Authorization: ${scheme} ${TOKEN}\r\n`)).not.toContain('401');
    expect(await statusOf(port, upgrade(port, '/live'))).toContain('401');
    if (name !== 'metrics')
      expect(await statusOf(port, upgrade(port, '/live', `Authorization: ${scheme} ${TOKEN}\r\n`))).toContain(
        '101',
      );
  });

  test('closes at once beside half-open requests and silent sockets, and says why it cannot listen', async () => {
    const port = await open({});
    await expect(open({ port } as Options)).rejects.toMatchObject({
      message: expect.stringMatching(new RegExp(`${port}: the port is taken`)),
    });
    const sockets = [await dial(port), await dial(port)];
    sockets[1]!.write('GET / HTTP/1.1\r\nHost: ');
    const gone = Promise.all(
      sockets.map((socket) => new Promise((resolve) => socket.once('close', resolve))),
    );
    await closers.splice(
      closers.findIndex((close) => String(close).includes('server.close')),
      1,
    )[0]!();
    await gone;
  });
});

describe('a person who wants to stop the robot', () => {
  async function page(port: number, headers: Record<string, string> = {}) {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/live`, { headers });
    closers.push(() => socket.terminate());
    await new Promise((resolve, reject) => {
      socket.once('open', resolve);
      socket.once('error', reject);
    });
    return socket;
  }

  async function served() {
    const source = new FakeSource();
    const server = await startWebServer(source, {});
    closers.push(() => {
      source.close();
      return server.close();
    });
    return { source, server };
  }

  test('gets in past hundreds of idle sockets', async () => {
    const { source, server } = await served();
    for (let i = 0; i < 300; i++) {
      const socket = await dial(server.port);
      if (i % 2 === 0) socket.write('GET / HTTP/1.1\r\n');
    }
    const mine = await page(server.port);
    mine.send('{"id":1,"intent":{"kind":"stop"}}');
    await vi.waitFor(() => expect(source.intents).toEqual([{ kind: 'stop' }]));
  });

  test('gets in past pages that are left open, and not in the place of one who drives', async () => {
    const { source, server } = await served();
    const driving = await page(server.port);
    driving.send('{"id":1,"intent":{"kind":"teleop","engaged":true,"values":[0,0,0,0]}}');
    await vi.waitFor(() => expect(source.intents.length).toBe(1));
    const idle: WebSocket[] = [];
    for (let i = 0; i < 31; i++) idle.push(await page(server.port));
    const gone = new Promise<number>((resolve) => idle[0]!.once('close', resolve));
    const mine = await page(server.port);
    expect(await gone).toBe(1013);
    mine.send('{"id":1,"intent":{"kind":"stop"}}');
    await vi.waitFor(() => expect(source.intents.at(-1)).toEqual({ kind: 'stop' }));
    expect(driving.readyState).toBe(WebSocket.OPEN);
  });

  test('opens the page with the token once; the browser keeps a cookie that is not the token', async () => {
    const port = await listeners['the page']!({ host: '0.0.0.0', token: TOKEN });
    const first = await fetch(`http://127.0.0.1:${port}//evil.example?token=${TOKEN}`, {
      redirect: 'manual',
    });
    expect([first.status, first.headers.get('location')]).toEqual([303, '/']);
    const cookie = first.headers.get('set-cookie')!;
    expect(cookie).toMatch(/HttpOnly; SameSite=Strict$/);
    expect(cookie).not.toContain(TOKEN);
    const headers = { cookie: cookie.split(';')[0]! };
    expect((await fetch(`http://127.0.0.1:${port}/`, { headers })).status).toBe(200);
    await page(port, headers);
    expect((await fetch(`http://127.0.0.1:${port}/`, { headers: { cookie: 'tendon_1=x' } })).status).toBe(
      401,
    );
  });

  test('may ask by a name that is allowed, and is told how to allow another', async () => {
    const source = new FakeSource();
    const server = await startWebServer(source, { hosts: ['Robot.local'] });
    closers.push(() => {
      source.close();
      return server.close();
    });
    const get = (host: string): Promise<string> =>
      statusOf(server.port, `GET / HTTP/1.1\r\nHost: ${host}:${server.port}\r\n\r\n`);
    expect(await get('robot.local')).toContain('200');
    expect(await get('other.local')).toContain('421');
  });
});

describe('a token', () => {
  test('comes from a file or the environment and has to be one', () => {
    const folder = mkdtempSync(join(tmpdir(), 'tendon-token-'));
    closers.push(() => rmSync(folder, { recursive: true }));
    const file = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    expect(readToken(undefined, {})).toBeUndefined();
    expect(readToken(undefined, { TENDON_TOKEN: TOKEN })).toBe(TOKEN);
    expect(readToken(file('good', `${TOKEN}\nmore\n`), { TENDON_TOKEN: 'other-than-this' })).toBe(TOKEN);
    expect(() => readToken(file('short', 'abc\n'), {})).toThrow('at least 8 characters');
    expect(() => readToken(file('spaces', 'two words here'), {})).toThrow('visible ASCII');
    expect(() => readToken(file('long', 'x'.repeat(10_000)), {})).toThrow('10000 bytes');
    expect(() => readToken(folder, {})).toThrow('expected a file with a secret: a regular file');
    expect(() => readToken('/dev/zero', {})).toThrow('expected a file with a secret: a regular file');
    expect(() => readToken(join(folder, 'none'), {})).toThrow('cannot be read');
  });
});
