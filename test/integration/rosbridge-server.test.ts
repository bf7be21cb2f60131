// The embedded server over real sockets, as our client, roslib and a bare WebSocket see it.

import { connect, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { readImage } from '../../src/rosbridge/codec/images.js';
import {
  BridgeClient,
  float64MultiArray,
  header,
  image,
  jointState,
  RosbridgeServer,
} from '../../src/rosbridge/index.js';
import { connectRoslib, Service, Topic } from './roslib.js';
import { closedAfterEach, now_ns, until } from './support.js';

const closers = closedAfterEach();

async function start(options = {}) {
  const server = await RosbridgeServer.start(options);
  closers.push(() => server.close());
  return server;
}
async function client(url: string, options = {}) {
  const bridge = new BridgeClient({ url, now_ns, ...options });
  closers.push(() => bridge.close());
  await bridge.connect();
  return bridge;
}
/** A client that says and hears plain JSON. */
async function bare(url: string, options = {}) {
  const socket = new WebSocket(url, options);
  closers.push(() => socket.terminate());
  const heard: Record<string, unknown>[] = [];
  socket.on('message', (data) => heard.push(JSON.parse(String(data))));
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  return {
    socket,
    heard,
    say: (op: unknown) => socket.send(typeof op === 'string' ? op : JSON.stringify(op)),
  };
}

describe('roslib on the embedded server', () => {
  async function ros(url: string) {
    const connection = await connectRoslib(url);
    closers.push(() => connection.close());
    return connection;
  }

  it('topics both ways, in JSON, CBOR, PNG and fragments', async () => {
    const server = await start();
    const connection = await ros(server.url);
    const message = jointState(header('base'), ['a', 'b'], [0.5, -1], [0, 0], []);
    for (const compression of ['none', 'cbor', 'png']) {
      const topic = new Topic({
        ros: connection,
        name: `/${compression}`,
        messageType: 'sensor_msgs/JointState',
        compression,
      });
      const got: unknown[] = [];
      topic.subscribe((msg) => got.push(msg));
      const publish = server.advertise(`/${compression}`, 'sensor_msgs/msg/JointState');
      await until(`a ${compression} message`, () => {
        publish(message);
        return got.length > 0;
      });
      expect(got[0], compression).toEqual(message);
    }
    const heard: unknown[] = [];
    server.subscribe('/command', (msg) => heard.push(msg));
    const command = new Topic({
      ros: connection,
      name: '/command',
      messageType: 'std_msgs/Float64MultiArray',
    });
    command.publish(float64MultiArray([1, 2, 3]));
    await until('a command from roslib', () => heard.length > 0);
    expect(heard[0]).toEqual(float64MultiArray([1, 2, 3]));
  });

  it('services both ways and a failing one', async () => {
    const server = await start();
    const connection = await ros(server.url);
    server.service('/add', 'demo/Add', async ({ a, b }) => ({ sum: Number(a) + Number(b) }));
    server.service('/fail', 'demo/Fail', () => {
      throw new Error('no such seed');
    });
    const call = (name: string, request: object) =>
      new Promise((resolve, reject) =>
        new Service({ ros: connection, name, serviceType: 'demo/Add' }).callService(request, resolve, reject),
      );
    expect(await call('/add', { a: 2, b: 3 })).toEqual({ sum: 5 });
    await expect(call('/fail', {})).rejects.toBe('no such seed');
    await expect(call('/nowhere', {})).rejects.toContain('not offered');
    new Service({ ros: connection, name: '/twice', serviceType: 'demo/Twice' }).advertise(
      (request, response) => {
        response.y = 2 * Number(request.x);
        return true;
      },
    );
    const other = await client(server.url);
    const offered = async () =>
      (await other.call('/rosapi/services', 'rosapi/Services')).services as string[];
    while (!(await offered()).includes('/twice'));
    expect(await other.call('/twice', 'demo/Twice', { x: 21 })).toEqual({ y: 42 });
  });
});

describe('our client on the embedded server', () => {
  const data = Uint8Array.from({ length: 12 }, (_, i) => i);
  const picture = image(header('camera'), { width: 2, height: 2, channels: 3, data });

  it.each(['none', 'cbor', 'cbor-raw', 'png'] as const)('an image over %s', async (compression) => {
    const server = await start();
    const bridge = await client(server.url);
    server.advertise('/image', 'sensor_msgs/msg/Image', true)(picture);
    const got: Record<string, unknown>[] = [];
    bridge.subscribe('/image', 'sensor_msgs/Image', (msg) => got.push(msg), { compression });
    await until('an image', () => got.length > 0);
    expect(got[0]).toMatchObject({ encoding: 'rgb8', header: picture.header, step: 6 });
    expect(readImage(got[0]!)).toMatchObject({ width: 2, height: 2, channels: 3 });
    expect(Array.from(readImage(got[0]!).data)).toEqual(Array.from(data));
  });

  it('CBOR into the server, 64-bit integers and NaN unharmed', async () => {
    const server = await start();
    const bridge = await client(server.url);
    const heard: Record<string, unknown>[] = [];
    server.subscribe('/in', (msg) => heard.push(msg));
    const values = { big: 2n ** 60n, nan: Number.NaN, list: Float32Array.of(1, Number.NaN) };
    expect(bridge.advertise('/in', 'demo/Values', { cbor: true }).publish(values)).toBe(true);
    await until('the values', () => heard.length === 1);
    expect(heard[0]).toEqual(values);
  });

  it('several listeners of one topic each hear a message once', async () => {
    const server = await start();
    const bridge = await client(server.url);
    const heard = [0, 0];
    const stop = bridge.subscribe('/t', 'std_msgs/Int32', () => ++heard[0]!);
    bridge.subscribe('/t', 'std_msgs/Int32', () => ++heard[1]!);
    await bridge.call('/rosapi/get_time', 'rosapi/GetTime');
    const publish = server.advertise('/t', 'std_msgs/Int32');
    publish({ data: 1 });
    await until('the first', () => heard[1] === 1);
    stop();
    await bridge.call('/rosapi/get_time', 'rosapi/GetTime');
    publish({ data: 2 });
    await until('the second', () => heard[1] === 2);
    expect(heard).toEqual([1, 2]);
  });
});

describe('the server on its own', () => {
  it('accepts subscriptions before a publisher, and hands the latched message to late ones', async () => {
    const server = await start();
    const early = await bare(server.url);
    early.say({ op: 'subscribe', topic: '/goal' });
    await until('the subscription', () => server.stats().clients === 1);
    await new Promise((resolve) => setTimeout(resolve, 30));
    server.advertise('/goal', 'std_msgs/Float64', true)({ data: 4 });
    const late = await bare(server.url);
    late.say({ op: 'subscribe', topic: '/goal', type: 'std_msgs/msg/Float64' });
    await until('both', () => early.heard.length === 1 && late.heard.length === 1);
    expect(late.heard[0]).toEqual({ op: 'publish', topic: '/goal', msg: { data: 4 } });
  });

  it('throttles, and the last message still arrives', async () => {
    const server = await start();
    const peer = await bare(server.url);
    peer.say({ op: 'subscribe', topic: '/t', throttle_rate: 100 });
    const publish = server.advertise('/t', 'std_msgs/Int32');
    await new Promise((resolve) => setTimeout(resolve, 50));
    for (let i = 0; i <= 50; ++i) {
      publish({ data: i });
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    const data = () => peer.heard.map(({ msg }) => (msg as { data: number }).data);
    await until('the last', () => data().at(-1) === 50);
    expect(data().length).toBeLessThan(20);
    expect(server.stats().dropped).toBeGreaterThan(10);
  });

  it('keeps queue_length messages while throttled', async () => {
    const server = await start();
    const peer = await bare(server.url);
    peer.say({ op: 'subscribe', topic: '/t', throttle_rate: 20, queue_length: 3 });
    const publish = server.advertise('/t', 'std_msgs/Int32');
    await new Promise((resolve) => setTimeout(resolve, 50));
    for (let i = 0; i < 10; ++i) publish({ data: i });
    await until('four messages', () => peer.heard.length === 4);
    expect(peer.heard.map(({ msg }) => (msg as { data: number }).data)).toEqual([0, 7, 8, 9]);
  });

  it('says nothing about mistakes until set_level, and survives them', async () => {
    const server = await start();
    const peer = await bare(server.url);
    peer.say('{"op":');
    peer.say({ op: 'publish', topic: 7 });
    peer.socket.send(Buffer.from([0x9a, 0xff, 0xff, 0xff, 0xff]));
    await until('three mistakes', () => server.stats().malformed === 3);
    expect(peer.heard).toEqual([]);
    peer.say({ op: 'set_level', level: 'error' });
    peer.say({ op: 'subscribe', id: 's1' });
    await until('a remark', () => peer.heard.length === 1);
    expect(peer.heard[0]).toMatchObject({ op: 'status', level: 'error' });
    expect(peer.heard[0]?.msg).toContain('"topic"');
  });

  it('is not hurt by absurd numbers in a subscription or call', async () => {
    const server = await start();
    server.service('/never', 'demo/Never', () => new Promise(() => undefined));
    const peer = await bare(server.url);
    peer.say(
      '{"op":"subscribe","topic":"/t","throttle_rate":NaN,"queue_length":Infinity,"fragment_size":-5}',
    );
    peer.say('{"op":"call_service","id":"a","service":"/never","timeout":-Infinity}');
    peer.say({ op: 'call_service', id: 'b', service: '/rosapi/get_time', args: [1, 2], fragment_size: 1 });
    await until('the answer', () => peer.heard.length === 1);
    expect(peer.heard[0]).toMatchObject({ op: 'service_response', id: 'b', result: true });
    const publish = server.advertise('/t', 'std_msgs/Int32');
    publish({ data: 1 });
    await until('the message', () => peer.heard.length === 2);
    for (let i = 0; i < 5000; ++i) peer.say({ op: 'subscribe', topic: '/t', id: `s${i}` });
    for (let i = 0; i < 5000; ++i) peer.say({ op: 'subscribe', topic: `/t${i}` });
    peer.say({ op: 'call_service', id: 'c', service: '/rosapi/topics' });
    await until('the answer', () => peer.heard.some(({ id }) => id === 'c'));
    expect(server.stats().malformed).toBeGreaterThan(1000);
    publish({ data: 2 });
    await until('one copy', () => peer.heard.some(({ msg }) => (msg as { data?: number })?.data === 2));
    expect(peer.heard.filter(({ op }) => op === 'publish').length).toBe(2);
  });

  it('refuses other origins, wrong tokens, foreign hosts and the world without a token', async () => {
    const server = await start({ token: 'open sesame' });
    const refused = (url: string, options = {}) => expect(bare(url, options)).rejects.toThrow(/40[13]|421/);
    await refused(server.url);
    await refused(`${server.url}/?token=wrong`);
    await refused(`${server.url}/?token=open%20sesame`, { origin: 'https://evil.example' });
    await refused(`${server.url}/?token=open%20sesame`, { headers: { host: 'robot.evil.example' } });
    await bare(`${server.url}/?token=open%20sesame`, { origin: 'http://localhost:8080' });
    await client(server.url, { token: 'open sesame' });
    expect(server.stats().clients).toBe(2);
    await expect(RosbridgeServer.start({ host: '0.0.0.0' })).rejects.toThrow('without a token');
  });

  it('keeps to its allow list', async () => {
    const server = await start({ allow: { publish: ['/command*'], subscribe: ['/joint_states'], call: [] } });
    server.service('/reset', 'demo/Reset', () => ({}));
    const heard: string[] = [];
    server.subscribe('/command', () => heard.push('command'));
    server.subscribe('/secret', () => heard.push('secret'));
    const peer = await bare(server.url);
    peer.say({ op: 'publish', topic: '/secret', msg: {} });
    peer.say({ op: 'subscribe', topic: '/secret' });
    peer.say({ op: 'publish', topic: '/command', msg: {} });
    peer.say({ op: 'call_service', id: 'c', service: '/reset' });
    await until('an answer', () => peer.heard.length === 1);
    expect(peer.heard[0]).toMatchObject({ op: 'service_response', id: 'c', result: false });
    expect(heard).toEqual(['command']);
    expect(server.stats().malformed).toBe(2);
  });

  it('runs actions: feedback, result, cancel, and the loss of the one who ran it', async () => {
    const server = await start();
    server.action('/count', 'demo/Count', async ({ upto }, feedback, signal) => {
      for (let i = 0; i < Number(upto) && !signal.aborted; ++i) {
        feedback({ at: i });
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      return { finished: !signal.aborted };
    });
    const bridge = await client(server.url);
    const seen: unknown[] = [];
    const goal = bridge.sendGoal(
      '/count',
      'demo/Count',
      { upto: 3 },
      { timeout_ms: 5000, feedback: (v) => seen.push(v) },
    );
    expect(await goal.result).toEqual({ status: 4, values: { finished: true } });
    expect(seen).toEqual([{ at: 0 }, { at: 1 }, { at: 2 }]);
    const long = bridge.sendGoal('/count', 'demo/Count', { upto: 1e6 }, { timeout_ms: 5000 });
    await new Promise((resolve) => setTimeout(resolve, 20));
    long.cancel();
    expect(await long.result).toEqual({ status: 5, values: { finished: false } });
    const runner = await bare(server.url);
    runner.say({ op: 'advertise_action', action: '/fragile', type: 'demo/Fragile' });
    await new Promise((resolve) => setTimeout(resolve, 30));
    const fragile = bridge.sendGoal('/fragile', 'demo/Fragile', {}, { timeout_ms: 5000 });
    await until('the goal', () => runner.heard.length === 1);
    runner.socket.terminate();
    await expect(fragile.result).rejects.toThrow('disconnected');
  });

  it('a client that stops reading costs little memory, and gets fresh frames when it reads again', async () => {
    const server = await start();
    const port = new URL(server.url).port;
    const stalled: Socket = connect(Number(port), '127.0.0.1');
    closers.push(() => stalled.destroy());
    const frames = new WebSocket(server.url, { createConnection: () => stalled } as never);
    await new Promise((resolve) => frames.once('open', resolve));
    const heard: number[] = [];
    frames.on('message', (data) => heard.push(JSON.parse(String(data)).msg.sequence));
    frames.send(JSON.stringify({ op: 'subscribe', topic: '/camera' }));
    const publish = server.advertise('/camera', 'demo/Frame');
    const filler = 'x'.repeat(100_000);
    let sequence = 0;
    await until('a first frame', () => {
      publish({ sequence: ++sequence, filler });
      return heard.length > 0;
    });
    frames.pause();
    const before = heard.length;
    const memory = process.memoryUsage().rss;
    const end = performance.now() + 3000;
    while (performance.now() < end) {
      publish({ sequence: ++sequence, filler });
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    const stats = server.stats();
    expect(stats.unconfirmed_bytes).toBeLessThan(5e6);
    expect(stats.dropped).toBeGreaterThan(sequence / 2);
    expect(process.memoryUsage().rss - memory).toBeLessThan(100e6);
    const last = sequence;
    frames.resume();
    await until('the newest frame', () => heard.at(-1) === last);
    // Between the frames already under way when it stalled and the newest, nothing was kept.
    expect(heard.length - before).toBeLessThan(60);
  });
});
