// Raw pictures by way of a socket's thread, which makes them plain: the robot sees what it would see without the thread,
// whatever the encoding, the compression and the size.

import type { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { MonotonicClock } from '../../src/control/index.js';
import { parseRobotFile } from '../../src/robot/robot-file.js';
import { BridgeClient, header, RosbridgeRobot, RosbridgeServer } from '../../src/rosbridge/index.js';
import { closedAfterEach, now_ns, until, wait } from './support.js';

const closers = closedAfterEach();

/** Pixels of three colours, and the same picture as drivers send it. */
const SOURCES = {
  rgb8: [3, ([r, g, b]: number[]) => [r, g, b]],
  bgr8: [3, ([r, g, b]: number[]) => [b, g, r]],
  rgba8: [4, ([r, g, b]: number[]) => [r, g, b, 255]],
  bgra8: [4, ([r, g, b]: number[]) => [b, g, r, 255]],
  mono8: [1, ([r]: number[]) => [r]],
} as const;

function picture(
  encoding: keyof typeof SOURCES,
  width: number,
  height: number,
  padding: number,
  seed: number,
) {
  const [source, write] = SOURCES[encoding];
  const step = width * source + padding;
  const data = new Uint8Array(step * height).fill(7);
  const plain: number[] = [];
  for (let i = 0; i < width * height; i++) {
    const pixel = [(i * 3 + seed) % 256, (i * 5 + 1) % 256, (i * 7 + 2) % 256];
    data.set(write(pixel) as number[], Math.floor(i / width) * step + (i % width) * source);
    plain.push(...(source === 1 ? pixel.slice(0, 1) : pixel));
  }
  return { msg: { header: header('camera'), width, height, encoding, is_bigendian: 0, step, data }, plain };
}

async function watching(
  channels: 1 | 3,
  [width, height]: readonly [number, number],
  compression: string,
  threads: string,
) {
  const hired: Worker[] = [];
  const remember = (worker: Worker) => hired.push(worker);
  process.on('worker', remember);
  const server = await RosbridgeServer.start();
  closers.push(() => server.close());
  const file = parseRobotFile(
    `
name: one
bridge: { url: '${server.url}', socket_thread: ${threads} }
rate_hz: 50
joint_names: [a]
limits: { lower: [-1], upper: [1], velocity: [1] }
observation:
  - { topic: /camera, type: sensor_msgs/Image, images: { camera: [${height}, ${width}, ${channels}] }, compression: ${compression} }
command: { topic: /command, type: std_msgs/Float64MultiArray }`,
    'one.yaml',
  );
  const robot = new RosbridgeRobot(file, new MonotonicClock());
  closers.push(() => robot.close());
  // It is told a little later that it was hired.
  await wait(0);
  process.off('worker', remember);
  const publish = server.advertise('/camera', 'sensor_msgs/Image');
  return { robot, publish, threads: hired.length };
}

describe.each(['none', 'cbor', 'cbor-raw'])('compression %s', (compression) => {
  test.each(Object.keys(SOURCES) as (keyof typeof SOURCES)[])('%s', async (encoding) => {
    // The larger has memory of its own, two of the smaller lie in one chunk of the network.
    for (const size of [
      [5, 3],
      [160, 120],
    ] as const) {
      const { robot, publish, threads } = await watching(
        encoding === 'mono8' ? 1 : 3,
        size,
        compression,
        'auto',
      );
      expect(threads).toBe(1);
      const sent = [1, 2].map((seed) => picture(encoding, size[0], size[1], 6, seed));
      const timer = setInterval(() => {
        for (const { msg } of sent) publish({ ...msg, header: header('camera') });
      }, 10);
      closers.push(() => clearInterval(timer));
      await robot.connect();
      const expected = sent.map(({ plain }) => plain.join());
      for (let looked = 0; looked < 5; looked++) {
        const { images, stamp_ns } = robot.latest()!;
        expect(expected).toContain(images!.camera!.data.join());
        await until('the next picture', () => robot.latest()!.stamp_ns > stamp_ns);
      }
      expect(robot.streamCounters()['/camera']!.refused).toBe(0);
      clearInterval(timer);
    }
  });
});

test('a picture of another size is refused in the robot file’s words, and no thread stands by where there is no picture', async () => {
  const { robot, publish } = await watching(3, [8, 8], 'cbor', 'auto');
  const causes: string[] = [];
  robot.onStatus(({ cause }) => causes.push(cause));
  const timer = setInterval(() => publish(picture('bgr8', 4, 4, 0, 1).msg), 10);
  closers.push(() => clearInterval(timer));
  robot.connect().catch(() => undefined);
  await until('it is refused', () => causes.some((cause) => /to be 8×8×3 .* got 4×4×3/.test(cause)));
  expect((await watching(3, [8, 8], 'cbor', 'false')).threads).toBe(0);
});

test('what this process is handed is plain already and in memory of its own', async () => {
  const server = await RosbridgeServer.start();
  closers.push(() => server.close());
  const client = new BridgeClient({ url: server.url, now_ns, socket_thread: 'images' });
  closers.push(() => client.close());
  const publish = server.advertise('/camera', 'sensor_msgs/Image');
  const { msg, plain } = picture('bgra8', 160, 120, 8, 1);
  const timer = setInterval(() => publish(msg), 10);
  closers.push(() => clearInterval(timer));
  for (const compression of ['none', 'cbor', 'cbor-raw'] as const) {
    const heard: Record<string, unknown>[] = [];
    const stop = client.subscribe('/camera', 'sensor_msgs/Image', (one) => heard.push(one), { compression });
    await client.connect();
    await until('a picture', () => heard.length > 0);
    stop();
    expect(heard[0]).toMatchObject({ encoding: 'rgb8', step: 160 * 3, width: 160, height: 120 });
    const data = heard[0]!.data as Uint8Array;
    expect(data.buffer.byteLength).toBe(160 * 120 * 3);
    expect(data.join()).toBe(plain.join());
  }
});
