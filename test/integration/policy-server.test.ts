// A policy behind openpi's wire, over a real socket: the frames are those that openpi's client sends and reads.

import type { Socket } from 'node:net';
import { expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { loadPolicy } from '../../src/policies/index.js';
import { NdArray, packNumpy, servePolicy, unpackNumpy } from '../../src/serve/index.js';
import type { ActionChunk, Observation, Policy } from '../../src/types/index.js';
import { closedAfterEach } from './support.js';

const closers = closedAfterEach();

/** What the client does: waits for the metadata, then asks and waits, one at a time. */
async function client(url: string, headers: Record<string, string> = {}) {
  const socket = new WebSocket(url, { headers });
  closers.push(() => socket.terminate());
  const heard: (Buffer | string)[] = [];
  let wake = (): void => undefined;
  socket.on('message', (data: Buffer, binary) => {
    heard.push(binary ? data : String(data));
    wake();
  });
  let closed: number | undefined;
  socket.on('close', (code) => {
    closed = code;
    wake();
  });
  const next = async (): Promise<Buffer | string> => {
    while (heard.length === 0) {
      if (closed !== undefined) throw new Error(`closed with ${closed}`);
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    return heard.shift()!;
  };
  await new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
  const map = (frame: Buffer | string) => {
    expect(typeof frame).not.toBe('string');
    return unpackNumpy(frame as Buffer) as Record<string, unknown>;
  };
  return { socket, next, map, metadata: map(await next()), code: () => closed };
}

test('the arm’s policy answers as it does here', async () => {
  const policy = await loadPolicy('models/arm', { compute: { precision: 'f32', threads: 1 } });
  const server = await servePolicy({ policy, port: 0, seed: 4, metadata: { place: 'here' } });
  closers.push(() => server.close());
  const { observation_dims, horizon, action_dim } = policy.spec;
  const { socket, next, map, metadata } = await client(server.url);
  expect(metadata).toMatchObject({ family: 'edm', action_horizon: horizon, action_dim, place: 'here' });
  const values = Object.fromEntries(
    Object.entries(observation_dims).map(([key, n]) => [
      key,
      Float32Array.from({ length: n }, (_, i) => 0.1 * Math.sin(i)),
    ]),
  );
  // Under slashes, as openpi's keys are, and in double precision, as numpy makes them.
  const frame = Object.fromEntries(
    Object.entries(values).map(([key, v]) => [key.replaceAll('.', '/'), NdArray.of(Float64Array.from(v))]),
  );
  const answers = [];
  for (let i = 0; i < 2; i++) {
    socket.send(packNumpy({ ...frame, prompt: 'pick it up' }));
    answers.push(map(await next()));
  }
  const here = await loadPolicy('models/arm', { compute: { precision: 'f32', threads: 1 } });
  here.reset(4);
  for (const { actions, server_timing, policy_timing } of answers) {
    expect(actions).toBeInstanceOf(NdArray);
    expect((actions as NdArray).shape).toEqual([horizon, action_dim]);
    const want = (await here.infer({ stamp_ns: 0, values })).actions;
    expect((actions as NdArray).numbers()).toEqual(want);
    expect(Object.keys(server_timing as object)).toContain('infer_ms');
    expect(Object.keys(policy_timing as object)).toEqual(['infer_ms']);
  }
  expect(Object.keys(answers[1]!.server_timing as object)).toContain('prev_total_ms');
});

test('pictures come with channels first or last; nested keys are one name', async () => {
  let seen: Observation | undefined;
  const watching = {
    spec: {
      family: 'watching',
      n_obs_steps: 1,
      horizon: 1,
      n_action_steps: 1,
      action_dim: 1,
      observation_dims: { state: 2 },
      image_shapes: { 'images.high': [3, 2, 4], 'images.low': [3, 2, 4] },
      goal_dims: {},
      rate_hz: 10,
    },
    reset: () => undefined,
    close: () => undefined,
    async infer(window: readonly Observation[]): Promise<ActionChunk> {
      [seen] = window;
      const timing = { queue_ns: 0, observe_ns: 0, denoise_ns: 0, total_ns: 5e6 };
      const actions = Float32Array.of(1);
      return {
        stamp_ns: 0,
        period_ns: 1,
        horizon: 1,
        action_dim: 1,
        actions,
        n_candidates: 1,
        chosen: 0,
        timing,
      };
    },
  } as unknown as Policy;
  const server = await servePolicy({ policy: watching, port: 0 });
  closers.push(() => server.close());
  const { socket, next, map } = await client(server.url);
  const pixels = Uint8Array.from({ length: 24 }, (_, i) => i);
  const turned = Uint8Array.from({ length: 24 }, (_, i) => pixels[(i % 8) * 3 + Math.floor(i / 8)]!);
  const images = { high: NdArray.of(pixels, [2, 4, 3]), low: NdArray.of(turned, [3, 2, 4]) };
  socket.send(packNumpy({ state: NdArray.of(Float32Array.of(1, 2)), images }));
  expect(map(await next()).policy_timing).toEqual({ infer_ms: 5 });
  const image = { height: 2, width: 4, channels: 3, data: pixels };
  expect(seen!.images).toEqual({ 'images.high': image, 'images.low': image });
  expect(seen!.values.state).toEqual(Float32Array.of(1, 2));
});

test('what is wrong is said in a text frame, and ends the connection; the next client is served', async () => {
  const policy = await loadPolicy('models/arm', { compute: { precision: 'f32', threads: 1 } });
  const server = await servePolicy({ policy, port: 0 });
  closers.push(() => server.close());
  for (const [frame, why] of [
    [packNumpy({ prompt: 'please' }), 'the policy needs observation.state'],
    [packNumpy({ 'observation/state': NdArray.of(new Float32Array(3)) }), 'expected 12 values, got 3'],
    [Buffer.from([0xc1, 0xff]), 'msgpack'],
    ['hello', 'expected a binary frame'],
  ] as const) {
    const { socket, next } = await client(server.url);
    socket.send(frame);
    expect(await next()).toContain(why);
    await expect(next()).rejects.toThrow('closed with 1011');
  }
});

test('one client at a time; a token where strangers could come; no page of a browser', async () => {
  const policy = await loadPolicy('models/arm', { compute: { precision: 'f32', threads: 1 } });
  await expect(servePolicy({ policy, port: 0, host: '0.0.0.0' })).rejects.toThrow('without a token');
  const server = await servePolicy({ policy, port: 0, token: 'open-sesame' });
  closers.push(() => server.close());
  await expect(client(server.url)).rejects.toThrow('401');
  const key = { authorization: 'Api-Key open-sesame' };
  await expect(client(server.url, { ...key, origin: 'http://evil.example' })).rejects.toThrow('403');
  const first = await client(server.url, key);
  // Power failed at the robot: the same token is the same robot, come back.
  const second = await client(server.url, key);
  await vi.waitFor(() => expect(first.code()).toBe(4001));
  expect(second.code()).toBeUndefined();
  const open = await servePolicy({ policy, port: 0 });
  closers.push(() => open.close());
  await client(open.url);
  await expect(client(open.url)).rejects.toThrow('closed with 1013');
  const health = await fetch(`${server.url.replace('ws', 'http')}/healthz`);
  expect([health.status, await health.text()]).toEqual([200, 'OK\n']);
});

test('a client that vanished frees its place; one that asks on without waiting is cut off', async () => {
  let infer = (): void => undefined;
  const slow = {
    ...(await loadPolicy('models/arm', { compute: { precision: 'f32', threads: 1 } })),
    spec: {
      family: 'slow',
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
    infer: () => new Promise<ActionChunk>((_, reject) => (infer = () => reject(new Error('too late')))),
  } as unknown as Policy;
  const server = await servePolicy({ policy: slow, port: 0, ping_ms: 50 });
  closers.push(() => server.close());
  const vanished = await client(server.url);
  // A machine without power answers nothing, pings included, and closes nothing.
  (vanished.socket as unknown as { _socket: Socket })._socket.pause();
  await vi.waitFor(async () => {
    const next = await client(server.url);
    expect(next.code()).toBeUndefined();
    const frame = packNumpy({ state: NdArray.of(Float32Array.of(1)) });
    for (let i = 0; i < 10; i++) next.socket.send(frame);
    await vi.waitFor(() => expect(next.code()).toBe(1008));
  }, 10_000);
  infer();
});

/** A policy that looks at three moments, 100 ms apart, and answers with what it was given. */
function looking(rate_hz: number | undefined) {
  const windows: (readonly Observation[])[] = [];
  const states: unknown[] = [];
  const policy = {
    spec: {
      family: 'looking',
      n_obs_steps: 3,
      horizon: 1,
      n_action_steps: 1,
      action_dim: 1,
      observation_dims: { 'observation.state': 2 },
      image_shapes: { 'observation.image': [3, 2, 4] },
      goal_dims: {},
      rate_hz,
    },
    reset: () => undefined,
    infer(window: readonly Observation[], options: { state?: object }): Promise<ActionChunk> {
      windows.push(window);
      states.push('state' in options ? options.state : 'remembers');
      const timing = { queue_ns: 0, observe_ns: 0, denoise_ns: 0, total_ns: 0 };
      return Promise.resolve({
        stamp_ns: 0,
        period_ns: 1e8,
        horizon: 1,
        action_dim: 1,
        actions: Float32Array.of(windows.length),
        n_candidates: 1,
        chosen: 0,
        timing,
        state: { asked: windows.length },
      });
    },
    close: () => undefined,
  } as unknown as Policy;
  return { policy, windows, states };
}
const picture = (...shape: number[]) =>
  new NdArray('|u1', shape, new Uint8Array(shape.reduce((a, b) => a * b, 1)).fill(9));

test('a client that sends a history is heard: state and pictures with a leading dim of time', async () => {
  const { policy, windows, states } = looking(undefined);
  const server = await servePolicy({ policy, port: 0 });
  closers.push(() => server.close());
  const { socket, next, map, metadata } = await client(server.url);
  expect(metadata).toMatchObject({ n_obs_steps: 3 });
  for (const state of [
    NdArray.of(Float32Array.of(1, 2, 3, 4, 5, 6), [3, 2]),
    NdArray.of(Float64Array.of(1, 2, 3, 4, 5, 6), [1, 3, 2]),
  ]) {
    socket.send(packNumpy({ 'observation/state': state, 'observation/image': picture(3, 2, 4, 3) }));
    map(await next());
    expect(windows.at(-1)!.map(({ values }) => [...values['observation.state']!])).toEqual([
      [1, 2],
      [3, 4],
      [5, 6],
    ]);
    expect(windows.at(-1)!.every(({ images }) => images!['observation.image']!.data.length === 24)).toBe(
      true,
    );
  }
  // What the policy carried on comes back to it.
  expect(states).toEqual([undefined, { asked: 1 }]);
  // One moment says nothing of those before, and nobody knows how far apart they are.
  socket.send(
    packNumpy({
      'observation/state': NdArray.of(Float32Array.of(1, 2)),
      'observation/image': picture(2, 4, 3),
    }),
  );
  expect(await next()).toMatch(
    /looks at 3 observations, got 1, .*send a history of 3, or start with --policy-hz/,
  );
});

test('moments that do not belong together are refused', async () => {
  const { policy } = looking(10);
  const server = await servePolicy({ policy, port: 0 });
  closers.push(() => server.close());
  const { socket, next } = await client(server.url);
  socket.send(
    packNumpy({
      'observation/state': NdArray.of(new Float32Array(6), [3, 2]),
      'observation/image': picture(2, 2, 4, 3),
    }),
  );
  expect(await next()).toMatch(/expected 3 moments, as other features have, got 2/);
});

test('a client that asks once a period fills the window by time; one that asks rarely is told', async () => {
  const { policy, windows } = looking(10);
  const server = await servePolicy({ policy, port: 0 });
  closers.push(() => server.close());
  const { socket, next, map } = await client(server.url);
  let unfilled = 0;
  const ask = async (x: number): Promise<number[]> => {
    // int64, as numpy makes of whole numbers.
    const state = NdArray.of(BigInt64Array.of(BigInt(x), 0n));
    socket.send(packNumpy({ 'observation/state': state, 'observation/image': picture(3, 2, 4) }));
    unfilled = map(await next()).windows_unfilled as number;
    return windows.at(-1)!.map(({ values }) => values['observation.state']![0]!);
  };
  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  expect(await ask(1)).toEqual([1, 1, 1]);
  expect(unfilled).toBe(0);
  // Asked again at once: the moments before are still those of the beginning, not of 3 ms ago.
  expect((await ask(2)).at(-1)).toBe(2);
  // Much later than a window is long, what was seen then is no part of it.
  await pause(1000);
  const late = await ask(3);
  expect(late.at(-1)).toBe(3);
  expect(unfilled).toBe(1);
});
