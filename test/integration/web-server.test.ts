// The page's server over real sockets: what it serves, whom it refuses, and that a slow page costs nobody anything.

import { request } from 'node:http';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import type { LivePoses, LiveScene } from '../../src/types/live.js';
import { decodeFrame, type PageMessage } from '../../src/web/frames.js';
import { startWebServer, type WebServer } from '../../src/web/index.js';
import { FakeSource } from '../browser/fake-source.js';

let source: FakeSource;
let server: WebServer;

beforeAll(async () => {
  source = new FakeSource();
  const metrics = async () => ({ type: 'text/plain; version=0.0.4', body: 'up 1\n' });
  const broken = async () => {
    throw new Error('no such luck');
  };
  server = await startWebServer(source, { extra: { '/metrics': metrics, '/healthz': broken } });
});

afterAll(async () => {
  source.close();
  await server.close();
});

interface Answer {
  readonly status: number;
  readonly headers: Record<string, unknown>;
  readonly body: string;
}

function ask(path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port: server.port, path, headers, method, agent: false };
    const asked = request(options, async (response) => {
      let body = '';
      for await (const part of response.setEncoding('utf8')) body += part;
      resolve({ status: response.statusCode!, headers: response.headers, body });
    });
    asked.on('error', reject).end();
  });
}

async function open(options: { origin?: string; path?: string } = {}) {
  const headers = options.origin === undefined ? {} : { Origin: options.origin };
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}${options.path ?? '/live'}`, { headers });
  socket.binaryType = 'arraybuffer';
  const messages: PageMessage[] = [];
  socket.on('message', (data, binary) => {
    messages.push(decodeFrame(binary ? (data as ArrayBuffer) : String(Buffer.from(data as ArrayBuffer))));
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
  const reply = (id: number) =>
    vi.waitFor(() => {
      const found = messages.find((message) => message.kind === 'reply' && message.id === id);
      expect(found).toBeDefined();
      return found!;
    });
  return { socket, messages, reply };
}

describe('files', () => {
  test('the page, its scripts and its libraries are all there', async () => {
    const page = await ask('/');
    expect(page.status).toBe(200);
    expect(page.headers['content-type']).toMatch(/^text\/html/);
    const map = JSON.parse(/<script type="importmap">([\s\S]*?)<\/script>/.exec(page.body)![1]!) as {
      imports: Record<string, string>;
    };
    const seen = new Set<string>();
    const waiting = ['/page/main.js', '/base.css', '/favicon.svg', '/vendor/uplot/uPlot.min.css'];
    while (waiting.length > 0) {
      const path = waiting.pop()!;
      if (seen.has(path)) continue;
      seen.add(path);
      const { status, body } = await ask(path);
      expect(status, path).toBe(200);
      if (!path.endsWith('.js')) continue;
      for (const [, name] of body.matchAll(/^\s*(?:import|export)[^'"`;]*?from\s*['"]([^'"]+)['"]/gm))
        waiting.push(resolveImport(name!, path, map.imports));
    }
    expect(seen).toContain('/vendor/three/three.core.js');
    expect(seen).toContain('/frames.js');
  });

  test('nothing else is', async () => {
    for (const path of [
      '/package.json',
      '/page/../../package.json',
      '/%2e%2e/package.json',
      '/page/',
      '/toString',
    ])
      expect((await ask(path)).status, path).toBe(404);
  });

  test('scripts run only from here', async () => {
    const policy = String((await ask('/')).headers['content-security-policy']);
    expect(policy).toContain("default-src 'none'");
    expect(policy).toMatch(/script-src 'self' 'sha256-[A-Za-z0-9+/=]{44}';/);
    expect(policy).not.toContain('unsafe');
  });

  test('an unchanged file is not sent again', async () => {
    const { headers } = await ask('/base.css');
    const again = await ask('/base.css', { 'If-None-Match': String(headers.etag) });
    expect([again.status, again.body]).toEqual([304, '']);
  });

  test('only GET, and only under a name of this machine', async () => {
    expect((await ask('/', {}, 'POST')).status).toBe(405);
    expect((await ask('/', { Host: 'evil.example' })).status).toBe(421);
  });

  test('extra routes answer, and their errors stay theirs', async () => {
    expect(await ask('/metrics')).toMatchObject({ status: 200, body: 'up 1\n' });
    expect(await ask('/healthz')).toMatchObject({
      status: 500,
      body: expect.stringContaining('no such luck'),
    });
  });

  test('a taken port is an error that names it', async () => {
    await expect(startWebServer(source, { port: server.port })).rejects.toMatchObject({
      code: 'config_invalid',
      message: expect.stringContaining(String(server.port)),
    });
  });
});

describe('frames and intents', () => {
  test('a new page hears the scene first, then everything else', async () => {
    const { socket, messages } = await open({ origin: `http://127.0.0.1:${server.port}` });
    await vi.waitFor(() => {
      for (const kind of ['scene', 'poses', 'status', 'chunk'])
        expect(messages.map((message) => message.kind)).toContain(kind);
    }, 10_000);
    expect(messages[0]).toEqual(source.scene());
    const poses = messages.find((message): message is LivePoses => message.kind === 'poses')!;
    expect(poses.poses.length).toBe(7 * (messages[0] as LiveScene).shapes.length);
    socket.close();
  });

  test('intents reach the source, and its answer comes back', async () => {
    const { socket, reply } = await open();
    socket.send('{"id":1,"intent":{"kind":"stop"}}');
    expect(await reply(1)).toMatchObject({ accepted: true });
    socket.send('{"id":2,"intent":{"kind":"resume"}}');
    expect(await reply(2)).toMatchObject({ accepted: false, reason: expect.stringContaining('latched') });
    socket.send('{"id":3,"intent":{"kind":"reset","seed":-1}}');
    expect(await reply(3)).toMatchObject({ accepted: false, reason: expect.stringContaining('seed') });
    socket.send('{"id":4,"intent":{"kind":"reset","seed":7}}');
    expect(await reply(4)).toMatchObject({ accepted: true });
    expect(source.intents.slice(-3)).toEqual([
      { kind: 'stop' },
      { kind: 'resume' },
      { kind: 'reset', seed: 7 },
    ]);
    socket.close();
  });

  test('a page that is lost while a person drives by it is a hold', async () => {
    const { socket, reply } = await open();
    socket.send('{"id":1,"intent":{"kind":"teleop","engaged":true,"values":[0,0,0,0]}}');
    await reply(1);
    socket.terminate();
    await vi.waitFor(() => expect(source.intents.at(-1)).toMatchObject({ kind: 'hold' }), 5000);
  });

  test('other origins, other paths and oversized messages are refused', async () => {
    const before = server.counters().refused;
    await expect(open({ origin: 'http://evil.example' })).rejects.toThrow('403');
    await expect(open({ path: '/other' })).rejects.toThrow('404');
    expect(server.counters().refused).toBe(before + 2);
    const { socket } = await open();
    const closed = new Promise<number>((resolve) => socket.once('close', resolve));
    socket.send(JSON.stringify({ id: 1, intent: { kind: 'task', task: 'x'.repeat(20_000) } }));
    expect(await closed).toBe(1009);
  });

  test('a page that does not read is owed one frame of each kind, and the rest is counted', async () => {
    const socket = connect(server.port, '127.0.0.1');
    const key = Buffer.alloc(16, 1).toString('base64');
    socket.write(
      `GET /live HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
    );
    await new Promise((resolve) => socket.once('data', resolve));
    socket.pause();
    const before = server.counters().frame_drops;
    const big: LivePoses = { kind: 'poses', stamp_ns: 1, poses: new Float32Array(7 * 9000) };
    const n = 200;
    for (let i = 0; i < n; i++) {
      source.send(big);
      await new Promise((resolve) => setImmediate(resolve));
    }
    // Kernel buffers of both ends take some megabytes, the server none beyond one frame.
    expect(server.counters().frame_drops - before).toBeGreaterThan(n / 4);
    socket.destroy();
    await vi.waitFor(() => expect(server.counters().clients).toBe(0), 8000);
  });
});

function resolveImport(name: string, from: string, imports: Record<string, string>): string {
  if (name.startsWith('.')) return new URL(name, `http://x${from}`).pathname;
  if (imports[name] !== undefined) return imports[name];
  const prefix = Object.keys(imports).find((key) => key.endsWith('/') && name.startsWith(key));
  if (prefix === undefined) throw new Error(`${from} imports ${name}, which the import map does not name`);
  return imports[prefix]! + name.slice(prefix.length);
}
