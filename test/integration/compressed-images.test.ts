// A camera that publishes sensor_msgs/CompressedImage over a real socket: what is decoded, what is refused and counted,
// and that the event loop is free meanwhile.

import sharp, { type Sharp } from 'sharp';
import { describe, expect, it } from 'vitest';
import { parseRobotFile } from '../../src/robot/robot-file.js';
import {
  epochStamp,
  header,
  jointState,
  type Message,
  RosbridgeRobot,
  RosbridgeServer,
} from '../../src/rosbridge/index.js';
import { decodeCompressed, NewestFirst } from '../../src/rosbridge/robot/compressed.js';
import type { RobotStatus } from '../../src/types/index.js';
import { closedAfterEach, now_ns, until } from './support.js';

const closers = closedAfterEach();

const [H, W] = [24, 32];
/** (24, 32, channels): the left half red, or dark; the right half blue, or light. */
const halves = (channels: 1 | 3, height = H, width = W) => {
  const data = Buffer.alloc(height * width * channels);
  for (let at = 0; at < height * width; ++at) {
    const right = at % width >= width / 2;
    if (channels === 1) data[at] = right ? 200 : 40;
    else data.set(right ? [10, 20, 220] : [220, 20, 10], at * 3);
  }
  return sharp(data, { raw: { width, height, channels } });
};
const grey = () => halves(1).toColourspace('b-w');
const stripes = { rgb: halves(3), grey: grey() };
const compressed = (format: string, data: Uint8Array): Message => ({ header: header(), format, data });

describe('a compressed picture', () => {
  const size = [H, W, 3] as const;

  it.each(['jpeg', 'jpg', 'rgb8; jpeg compressed bgr8', 'bgr8; jpeg compressed bgr8'])(
    '%s',
    async (format) => {
      const picture = await decodeCompressed(compressed(format, await stripes.rgb.jpeg().toBuffer()), size);
      expect(picture).toMatchObject({ height: H, width: W, channels: 3 });
      expect(picture.data.length).toBe(H * W * 3);
      // Red first, whatever the encoder was handed; JPEG's quantisation moves a flat colour by a few levels.
      const [left, right] = [picture.data.slice(0, 3), picture.data.slice((W - 1) * 3, W * 3)];
      for (const [got, want] of [
        [left, [220, 20, 10]],
        [right, [10, 20, 220]],
      ] as const)
        want.forEach((value, c) => {
          expect(Math.abs(got[c]! - value)).toBeLessThan(8);
        });
    },
  );

  it.each([
    ['PNG is exact', (p: Sharp) => p.png()],
    ['alpha is dropped', (p: Sharp) => p.ensureAlpha(0.5).png()],
    ['a palette is looked up', (p: Sharp) => p.png({ palette: true, dither: 0 })],
    ['interlacing is undone', (p: Sharp) => p.png({ progressive: true })],
  ])('%s', async (_, encode) => {
    const png = await encode(halves(3)).toBuffer();
    const { data } = await decodeCompressed(compressed('rgb8; png compressed bgr8', png), size);
    expect(Buffer.from(data).equals(await halves(3).raw().toBuffer())).toBe(true);
  });

  it('keeps one channel where there is one', async () => {
    const want = await grey().raw().toBuffer();
    const png = compressed('mono8; png compressed ', await grey().png().toBuffer());
    expect(Buffer.from((await decodeCompressed(png, [H, W, 1])).data).equals(want)).toBe(true);
    const jpeg = compressed('mono8; jpeg compressed ', await grey().jpeg({ quality: 100 }).toBuffer());
    const { channels, data } = await decodeCompressed(jpeg, [H, W, 1]);
    expect([channels, data.length]).toEqual([1, H * W]);
  });

  it.each(['16UC1; compressedDepth', '32FC1; compressedDepth png', 'h264', 'theora', '', 'png8', 'tiff'])(
    'refuses format "%s" by name',
    async (format) => {
      const png = await stripes.rgb.png().toBuffer();
      await expect(decodeCompressed(compressed(format, png), size)).rejects.toMatchObject({
        code: 'unsupported',
        message: expect.stringContaining(`"${format}"`),
      });
    },
  );

  it('refuses what its own header says is of another size, before it decodes anything', async () => {
    // The size fields of a small PNG and JPEG, made enormous: decoding them would need 12 GB.
    const png = await stripes.rgb.png().toBuffer();
    png.writeUInt32BE(65_000, 16);
    png.writeUInt32BE(65_000, 20);
    const jpeg = await stripes.rgb.jpeg().toBuffer();
    const frame = jpeg.indexOf(Buffer.from([0xff, 0xc0]));
    jpeg.writeUInt16BE(65_000, frame + 5);
    jpeg.writeUInt16BE(65_000, frame + 7);
    for (const [format, file] of [
      ['png', png],
      ['jpeg', jpeg],
    ] as const)
      await expect(decodeCompressed(compressed(format, file), size)).rejects.toMatchObject({
        code: 'input_invalid',
        message: expect.stringContaining('expected 24×32×3 (from the robot file), got a'),
        fields: { got: [65_000, 65_000, 3] },
      });
    const mono = compressed('jpeg', await stripes.grey.jpeg().toBuffer());
    await expect(decodeCompressed(mono, size)).rejects.toThrow('got a jpeg of 24×32×1');
  });

  it('a second frame header cannot ask for more than the first', async () => {
    const small = await stripes.rgb.jpeg().toBuffer();
    const large = await halves(3, 2000, 3000).jpeg().toBuffer();
    const frame = small.subarray(small.indexOf(Buffer.from([0xff, 0xc0])));
    const header = frame.subarray(0, 2 + frame.readUInt16BE(2));
    const both = Buffer.concat([large.subarray(0, 2), header, large.subarray(2)]);
    await expect(decodeCompressed(compressed('jpeg', both), size)).rejects.toThrow('a damaged jpeg');
  });

  it('refuses deep PNGs, wrong names, ends and damage', async () => {
    const deep = await halves(3).toColourspace('rgb16').png().toBuffer();
    await expect(decodeCompressed(compressed('16UC3; png compressed ', deep), size)).rejects.toThrow(
      '16 bits',
    );
    const [png, jpeg] = [await stripes.rgb.png().toBuffer(), await stripes.rgb.jpeg().toBuffer()];
    await expect(decodeCompressed(compressed('jpeg', png), size)).rejects.toThrow('not a JPEG');
    await expect(decodeCompressed(compressed('png', jpeg), size)).rejects.toThrow('not a PNG');
    for (const [format, file] of [
      ['png', png],
      ['jpeg', jpeg],
    ] as const)
      for (let end = 0; end < file.length - 12; end += 7)
        await expect(
          decodeCompressed(compressed(format, file.subarray(0, end)), size),
          `${format} of ${end} bytes`,
        ).rejects.toMatchObject({ code: 'input_invalid' });
  });
});

describe('newest first', () => {
  it('works on one at a time, keeps the newest of those that wait and counts the others', async () => {
    const begun: number[] = [];
    const finish: (() => void)[] = [];
    let dropped = 0;
    const newest = new NewestFirst<number>(
      (item) => {
        begun.push(item);
        return new Promise((resolve) => finish.push(resolve));
      },
      () => ++dropped,
    );
    for (const item of [1, 2, 3, 4]) newest.take(item);
    expect([begun, dropped]).toEqual([[1], 2]);
    finish.shift()!();
    await until('the next', () => begun.length === 2);
    expect(begun).toEqual([1, 4]);
    newest.take(5);
    newest.forget();
    finish.shift()!();
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect([begun, dropped]).toEqual([[1, 4], 3]);
  });
});

/** A robot of one joint and one camera of `height`×`width`, as RosbridgeRobot sees it. */
async function withCamera(height: number, width: number) {
  const server = await RosbridgeServer.start({ port: 0 });
  closers.push(() => server.close());
  const joints = server.advertise('/joint_states', 'sensor_msgs/JointState');
  const camera = server.advertise('/camera/compressed', 'sensor_msgs/CompressedImage');
  const file = parseRobotFile(
    `
name: seeing
bridge: { url: '${server.url}' }
rate_hz: 50
joint_names: [a]
limits: { lower: [-3], upper: [3], velocity: [1] }
observation:
  - { topic: /joint_states, type: sensor_msgs/msg/JointState, features: { joint_position: { length: 1 } }, freshness_ms: 5000 }
  - { topic: /camera/compressed, type: sensor_msgs/msg/CompressedImage, images: { observation.image: [${height}, ${width}, 3] }, freshness_ms: 5000, max_skew_ms: 5000 }
command: { topic: /command, type: std_msgs/Float64MultiArray }
deadlines: { no_data_ms: 5000, freshness_ms: 5000, connect_ms: 5000 }
`,
    'seeing.yaml',
  );
  const robot = new RosbridgeRobot(file, { now_ns }, { backoff_ms: [5, 20] });
  closers.push(() => robot.close());
  const statuses: RobotStatus[] = [];
  robot.onStatus((status) => statuses.push(status));
  const counters = () => robot.streamCounters()['/camera/compressed']!;
  return { server, robot, statuses, counters, joints, camera };
}

describe('a camera on a socket', () => {
  it('its frames are part of the observation; damage is refused, counted, said, and over when it is over', async () => {
    const { robot, statuses, counters, joints, camera } = await withCamera(H, W);
    const jpeg = await stripes.rgb.jpeg().toBuffer();
    const timer = setInterval(() => {
      joints(jointState(header(), ['a'], [1]));
      camera(compressed('rgb8; jpeg compressed bgr8', jpeg));
    }, 10);
    await robot.connect().finally(() => clearInterval(timer));
    const image = robot.latest()!.images!['observation.image']!;
    expect(image).toMatchObject({ height: H, width: W, channels: 3 });
    expect(image.data[0]! - image.data[2]!).toBeGreaterThan(150);

    // The joints are well all the time: what is said is the camera's.
    const alive = setInterval(() => joints(jointState(header(), ['a'], [1])), 10);
    try {
      const { refused } = counters();
      camera(compressed('jpeg', jpeg.subarray(0, jpeg.length - 20)));
      await until('the refusal', () => counters().refused === refused + 1);
      await until('that it is said', () => !statuses.at(-1)!.connected);
      expect(statuses.at(-1)!.cause).toMatch(/^\/\w+.*a damaged jpeg/);
      camera(compressed('16UC1; compressedDepth', jpeg));
      await until('the next refusal', () => counters().refused === refused + 2);
      await until('that it is said', () => statuses.at(-1)!.cause.includes('compressedDepth'));
      camera(compressed('jpeg', jpeg));
      await until('recovery', () => statuses.at(-1)!.connected);
    } finally {
      clearInterval(alive);
    }
  });

  it('the newest frame wins over those that came while one was decoded, and the event loop turns meanwhile', async () => {
    const [height, width] = [1600, 2000];
    const { robot, counters, joints, camera } = await withCamera(height, width);
    const jpeg = await halves(3, height, width).jpeg().toBuffer();
    const last = await halves(3, height, width).flop().jpeg().toBuffer();
    const send = (data: Buffer, stamp = epochStamp()) => {
      joints(jointState(header('', stamp), ['a'], [1]));
      camera({ ...compressed('jpeg', data), header: header('', stamp) });
    };
    const timer = setInterval(() => send(jpeg), 50);
    await robot.connect().finally(() => clearInterval(timer));

    let turns = 0;
    const count = () => {
      ++turns;
      turning = setImmediate(count);
    };
    let turning = setImmediate(count);
    const { samples, dropped } = counters() as { samples: number; dropped: number };
    const start = epochStamp();
    for (let i = 0; i < 30; ++i)
      send(i === 29 ? last : jpeg, { ...start, nanosec: start.nanosec + i * 1000 });
    const blueFirst = () => robot.latest()!.images!['observation.image']!.data[2]! > 150;
    await until('the last frame', blueFirst);
    clearImmediate(turning);
    const after = counters() as { samples: number; dropped: number };
    expect(after).toMatchObject({ refused: 0 });
    expect(after.dropped).toBeGreaterThan(dropped);
    // A decode on the event loop would let it turn a few times per frame; off it, it turns all the time.
    expect(turns / (after.samples - samples)).toBeGreaterThan(20);
    expect(robot.latest()!.images!['observation.image']!.data.length).toBe(height * width * 3);
  });
});
