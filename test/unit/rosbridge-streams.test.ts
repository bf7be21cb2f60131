// Streams, their joining in time, clocks, and messages as servers really send them.

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { loadRobotFile, parseRobotFile } from '../../src/robot/robot-file.js';
import { deserialise, serialise } from '../../src/rosbridge/codec/cdr.js';
import { readImage } from '../../src/rosbridge/codec/images.js';
import { SCHEMAS } from '../../src/rosbridge/codec/schemas.js';
import { readTime } from '../../src/rosbridge/codec/time.js';
import {
  ClockOffset,
  header,
  jointState,
  type Message,
  odometry,
  RosbridgeRobot,
  readBytes,
  readNumbers,
} from '../../src/rosbridge/index.js';
import { Stream } from '../../src/rosbridge/robot/streams.js';
import { Synchroniser } from '../../src/rosbridge/robot/synchroniser.js';

const MS = 1e6;

function streams(more = '', slower = '') {
  const file = parseRobotFile(
    `
name: two
bridge: { url: 'ws://127.0.0.1:1' }
rate_hz: 50
joint_names: [a, b]
limits: { lower: [-3, -3], upper: [3, 3], velocity: [1, 1] }
observation:
  - { topic: /slow, type: std_msgs/Float64MultiArray, features: { x: { length: 1 } } ${slower} }
  - { topic: /fast, type: std_msgs/Float64MultiArray, features: { y: { length: 1 }, z: { length: 1 } }, freshness_ms: 50 ${more} }
command: { topic: /command, type: std_msgs/Float64MultiArray }
`,
    'two.yaml',
  );
  const [slow, fast] = file.observation.map((spec) => new Stream(spec, file)) as [Stream, Stream];
  const joined = new Synchroniser([slow, fast]);
  const add = (stream: Stream, ms: number, ...data: number[]) =>
    stream.add({ data }, ms * MS, ms * MS) && joined.update();
  const now = () => {
    const { stamp_ns, values } = joined.latest ?? { stamp_ns: Number.NaN, values: {} };
    return { ms: stamp_ns / MS, x: values.x?.[0], y: values.y?.[0] };
  };
  return { slow, fast, joined, add, now };
}

describe('joining topics', () => {
  it('takes the latest sample before the first topic’s stamp, if it is fresh', () => {
    const { slow, fast, joined, add, now } = streams();
    add(slow, 100, 1);
    expect(joined.latest).toBeUndefined();
    for (const ms of [40, 60, 90, 110]) add(fast, ms, ms, 0);
    expect(now()).toEqual({ ms: 100, x: 1, y: 90 });
    add(slow, 130, 2);
    expect(now()).toEqual({ ms: 130, x: 2, y: 110 });
    add(slow, 161, 3);
    expect(now()).toEqual({ ms: 130, x: 2, y: 110 });
    add(fast, 150, 150, 0);
    expect(now()).toEqual({ ms: 161, x: 3, y: 150 });
  });

  // Joints at 500 Hz; pictures at 20 Hz that are 60 ms on their way.
  it.each([
    ['pictures first', 0, ''],
    ['joints first', 1, ''],
    ['pictures first, matched within 10 ms', 0, ', max_skew_ms: 10'],
    ['joints first, matched within 10 ms', 1, ', max_skew_ms: 10'],
  ])('joins fast joints with a camera that is late: %s', (_, first, more) => {
    const { slow: pictures, fast: joints } = first === 0 ? streams(more) : streams('', more);
    const joined = new Synchroniser(first === 0 ? [pictures, joints] : [joints, pictures]);
    let times = 0;
    let last = Number.NEGATIVE_INFINITY;
    const add = (stream: Stream, ms: number, arrived_ms: number) => {
      stream.add({ data: stream === joints ? [ms, 0] : [ms] }, ms * MS, arrived_ms * MS);
      if (!joined.update()) return;
      times++;
      const { stamp_ns, values } = joined.latest!;
      expect(stamp_ns).toBeGreaterThanOrEqual(last);
      last = stamp_ns;
      expect(Math.abs(values.x![0]! - values.y![0]!)).toBeLessThanOrEqual(more === '' ? 200 : 10);
    };
    for (let ms = 0; ms < 1000; ms += 2) {
      add(joints, ms, ms);
      if (ms % 50 === 10 && ms >= 60) add(pictures, ms - 60, ms);
    }
    expect(times).toBeGreaterThanOrEqual(18);
    expect(last / MS).toBeGreaterThan(880);
  });

  it('with max_skew_ms joins only samples of the same moment, in whichever order they come', () => {
    const { slow, fast, add, now } = streams(', max_skew_ms: 2');
    add(fast, 100, 1, 0);
    add(slow, 100, 1);
    expect(now()).toEqual({ ms: 100, x: 1, y: 1 });
    add(slow, 120, 2);
    expect(now()).toEqual({ ms: 100, x: 1, y: 1 });
    add(fast, 121, 2, 0);
    expect(now()).toEqual({ ms: 120, x: 2, y: 2 });
  });

  it('keeps the same object until there is a newer one, and drops repeats, old ones and wrong lengths', () => {
    const { slow, fast, joined, add } = streams();
    add(fast, 100, 1, 2);
    add(slow, 101, 1);
    const before = joined.latest;
    expect(joined.update()).toBe(false);
    expect(add(slow, 101, 7)).toBe(false);
    expect(add(slow, 90, 7)).toBe(false);
    expect(fast.add({ data: [1, 2] }, 200 * MS, 251 * MS)).toBe(false);
    expect(add(fast, 120, 1)).toBe(false);
    expect(fast.refused).toBe(
      '/fast: expected 2 values for y + z (from the robot file), got 1. Check observation in the file, or the robot.',
    );
    expect(slow.counters).toMatchObject({ samples: 1, refused: 0, stale: 0, out_of_order: 2, dropped: 0 });
    expect(fast.counters).toMatchObject({ samples: 1, refused: 1, stale: 1, out_of_order: 0, dropped: 0 });
    expect(joined.latest).toBe(before);
  });
});

describe('time', () => {
  it('reads both spellings; zero and nonsense are no time', () => {
    expect(readTime({ secs: 3, nsecs: 4 })).toEqual({ sec: 3, nanosec: 4 });
    expect(readTime({ sec: 3, nanosec: 4 })).toEqual({ sec: 3, nanosec: 4 });
    for (const none of [{ sec: 0, nanosec: 0 }, { sec: 'x' }, null, 5, {}])
      expect(readTime(none)).toBeUndefined();
  });

  it('the quickest answer sets the offset, exact to a nanosecond decades after 1970', () => {
    const clock = new ClockOffset();
    const sec = 1_795_000_000;
    clock.measured({ sec, nanosec: 500 }, 0, 2000);
    expect(clock.toLocal({ sec, nanosec: 501 }, 9e9)).toBe(1001);
    clock.measured({ sec, nanosec: 9000 }, 0, 50_000);
    expect(clock.toLocal({ sec: sec + 1, nanosec: 500 }, 9e9)).toBe(1_000_001_000);
    clock.measured({ sec, nanosec: 600 }, 1000, 1200);
    expect(clock.toLocal({ sec, nanosec: 600 }, 9e9)).toBe(1100);
    expect(clock.toServer(1100)).toEqual({ sec, nanosec: 600 });
  });

  it('without rosapi the quickest message counts as instantaneous', () => {
    const clock = new ClockOffset();
    expect(clock.toServer(0)).toBeUndefined();
    expect(clock.toLocal({ sec: 10, nanosec: 0 }, 5000)).toBe(5000);
    expect(clock.toLocal({ sec: 10, nanosec: 1000 }, 8000)).toBe(6000);
    expect(clock.toLocal({ sec: 10, nanosec: 2000 }, 6500)).toBe(6500);
    expect(clock.source).toBe('arrival');
  });
});

describe('messages', () => {
  it('numbers from lists, typed arrays and BigInt; null is NaN; words are refused', () => {
    expect(readNumbers([1, null, 3n], 'x')).toEqual(Float64Array.of(1, Number.NaN, 3));
    expect(readNumbers(BigInt64Array.of(4n), 'x')).toEqual(Float64Array.of(4));
    expect(() => readNumbers(['1'], 'msg.data')).toThrow('msg.data[0]: expected a number, got string');
    expect(() => readNumbers('1', 'msg.data')).toThrow('msg.data: expected a list');
  });

  it('bytes from base64, lists and bytes', () => {
    for (const given of ['AQID', [1, 2, 3], Uint8Array.of(1, 2, 3)]) {
      expect(Array.from(readBytes(given, 'x'))).toEqual([1, 2, 3]);
    }
    expect(() => readBytes([256], 'x')).toThrow('0 to 255');
  });

  it('images: padding, bgr, alpha, grey; wrong sizes are refused', () => {
    const data = [1, 2, 3, 4, 5, 6, 0, 0, 7, 8, 9, 10, 11, 12, 0, 0];
    const picture = (encoding: string, more: Message = {}) =>
      Array.from(readImage({ width: 2, height: 2, step: 8, encoding, data, ...more }).data);
    expect(picture('rgb8')).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    expect(picture('bgr8')).toEqual([3, 2, 1, 6, 5, 4, 9, 8, 7, 12, 11, 10]);
    expect(picture('rgba8')).toEqual([1, 2, 3, 5, 6, 0, 7, 8, 9, 11, 12, 0]);
    expect(picture('mono8')).toEqual([1, 2, 7, 8]);
    expect(() => picture('rgb8', { height: 3 })).toThrow('16 bytes are not 3 rows');
    expect(() => picture('yuv422')).toThrow('got yuv422');
  });
});

describe('cbor-raw', () => {
  const sample = (type: string): unknown => {
    if (type === 'uint8[]') return Uint8Array.of(1, 2, 3);
    if (type.endsWith('[]')) return [sample(type.slice(0, -2)), sample(type.slice(0, -2))];
    if (type === 'string') return 'höi';
    if (type === 'time' || type === 'duration') return { sec: 12, nanosec: 34 };
    if (type.startsWith('float')) return 1.5;
    if (/^u?int/.test(type)) return 7;
    return Object.fromEntries(
      Object.entries(SCHEMAS[type] as object).map(([key, kind]) => [key, sample(kind)]),
    );
  };

  it.each(Object.keys(SCHEMAS))(
    '%s goes there and back in both serialisations, and a torn one is refused',
    (type) => {
      const msg = sample(type) as Message;
      for (const kind of ['cdr', 'ros1'] as const) {
        const bytes = serialise(type, msg, kind);
        expect(deserialise(type, bytes, kind)).toEqual(msg);
        for (let end = 0; end < bytes.length - 4; end += 3) {
          expect(() => deserialise(type, bytes.subarray(0, end), kind)).toThrow('serialised ROS message');
        }
      }
    },
  );

  it('is byte for byte what ROS writes', () => {
    // By hand from the CDR rules: encapsulation, stamp, "world" with its zero, padding to 4, count, padding to 8, doubles.
    const msg = {
      header: { stamp: { sec: 1, nanosec: 2 }, frame_id: 'world' },
      name: ['j'],
      position: [1],
      velocity: [],
      effort: [],
    };
    expect(serialise('sensor_msgs/msg/JointState', msg, 'cdr').toString('hex')).toBe(
      '00010000' +
        '01000000' +
        '02000000' +
        '06000000776f726c6400' +
        '0000' +
        '01000000' +
        '020000006a00' +
        '0000' +
        '01000000' +
        '00000000' +
        '000000000000f03f' +
        '00000000' +
        '00000000',
    );
    expect(serialise('sensor_msgs/JointState', msg, 'ros1').toString('hex')).toBe(
      '00000000' +
        '01000000' +
        '02000000' +
        '05000000776f726c64' +
        '01000000' +
        '010000006a' +
        '01000000' +
        '000000000000f03f' +
        '00000000' +
        '00000000',
    );
  });
});

describe('odometry', () => {
  const file = loadRobotFile('launch/diff-drive.yaml');
  const facing = (yaw: number) => [0, 0, Math.sin(yaw / 2), Math.cos(yaw / 2)] as const;

  it('is a planar pose and the axes that are commanded, joined into one state', () => {
    const [spec] = file.observation;
    const stream = new Stream(spec!, file);
    const joined = new Synchroniser([stream], file);
    const msg = odometry(header(), 'base', [1, 2, 0.5], facing(-2.5), [0.25, 7, 7, 7, 7, -0.5]);
    expect(stream.add(msg, MS, MS) && joined.update()).toBe(true);
    const { pose, velocity, 'observation.state': state } = joined.latest!.values;
    expect([...pose!.slice(0, 2)]).toEqual([1, 2]);
    expect(pose![2]).toBeCloseTo(-2.5, 6); // float32
    expect([...velocity!]).toEqual([0.25, -0.5]);
    expect([...state!]).toEqual([...pose!, ...velocity!]);
    const whole = { ...spec!, features: { pose: { length: 7, field: 'position' as const } } };
    const all = new Stream(whole, file);
    all.add(msg, MS, MS);
    expect([...all.newest!.values.pose!.slice(0, 5)]).toEqual([1, 2, 0.5, 0, 0]);
  });

  it('without a twist, or with NaN in it, is refused by name', () => {
    const stream = new Stream(file.observation[0]!, file);
    const msg = odometry(header(), 'base', [1, 2, 0], facing(0), [Number.NaN, 0, 0, 0, 0, 0]);
    expect(stream.add(msg, MS, MS)).toBe(false);
    expect(stream.refused).toMatch(/\/odom: velocity\[0\] is NaN/);
    expect(stream.add({ ...msg, twist: undefined }, 2 * MS, 2 * MS)).toBe(false);
    expect(stream.refused).toContain('/odom');
  });
});

/** A robot file with the units that its comment offers: the line of `units`, and `scale` and `offset` of the joints. */
function withUnits(path: string, by: (joint: string) => object): string {
  const text = readFileSync(path, 'utf8');
  const [, units = ''] = /\n# {3}(units: .*)\n/.exec(text) ?? [];
  const file = { ...parse(text), ...parse(units) };
  for (const [name, joint] of Object.entries<object>(file.joints)) Object.assign(joint, by(name));
  return stringify(file);
}

/** `scale: …, offset: …` that a comment of the file has between backquotes. */
function quoted(path: string): object[] {
  return [...readFileSync(path, 'utf8').matchAll(/`(scale: [^`]*)`/g)].map(([, text]) =>
    parse(`{ ${text} }`),
  );
}

it('ALOHA’s grippers in its datasets’ units: 0 closed, 1 open', () => {
  const file = parseRobotFile(
    withUnits('launch/aloha.yaml', (joint) =>
      joint.endsWith('gripper') ? quoted('launch/aloha.yaml')[0]! : {},
    ),
    'aloha.yaml',
  );
  const robot = new RosbridgeRobot(file, { now_ns: () => 0 });
  for (const [i, open] of [0, 1].entries()) {
    const { cmd } = robot.messages(new Float64Array(14).fill(open))['/follower_left/commands/joint_single']!;
    expect(cmd).toBeCloseTo([0.6197, 1.6214][i]!, 6);
  }
  expect([file.limits.lower[6], file.limits.upper[13]]).toEqual([0, expect.closeTo(1, 6)]);
});

it('an SO-101 in LeRobot’s units: degrees and per cent in, radians out', () => {
  const [gripper, others] = quoted('launch/so101.yaml');
  const file = parseRobotFile(
    withUnits('launch/so101.yaml', (joint) => (joint === 'gripper' ? gripper! : others!)),
    'so101.yaml',
  );
  // π of the file has six places, the limits five.
  expect(file.limits.upper[0]).toBeCloseTo((1.91986 * 180) / Math.PI, 2);
  expect(file.limits.lower[5]).toBeCloseTo(0, 6);
  expect(file.limits.upper[5]).toBeCloseTo(100, 2);
  expect(file.limits.velocity[0]).toBeCloseTo((0.5 * 180) / Math.PI, 2);
  const stream = new Stream(file.observation[0]!, file);
  const joined = new Synchroniser([stream], file);
  const radians = [0, -1, 1, 0.5, 0, 1.74533];
  expect(stream.add(jointState(header(), file.joint_names, radians), MS, MS) && joined.update()).toBe(true);
  const { joint_position: seen, 'observation.state': state } = joined.latest!.values;
  expect([...state!]).toEqual([...seen!]);
  expect(seen![1]).toBeCloseTo(-180 / Math.PI, 2);
  expect(seen![5]).toBeCloseTo(100, 2);
  const robot = new RosbridgeRobot(file, { now_ns: () => 0 });
  const { data } = robot.messages(Float64Array.from(seen!))['/follower/forward_controller/commands'] as {
    data: number[];
  };
  // There and back in float32.
  data.forEach((value, i) => {
    expect(value).toBeCloseTo(radians[i]!, 5);
  });
});
