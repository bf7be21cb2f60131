// Poses in the frame that the policy counts in: told by the robot in others, by way of the transforms of the robot file and
// of /tf_static, on real sockets. Expected places are worked out by hand or by matrices, which the bridge does not use.

import { describe, expect, test } from 'vitest';
import { MonotonicClock } from '../../src/control/index.js';
import { parseRobotFile } from '../../src/robot/robot-file.js';
import {
  header,
  type Message,
  odometry,
  poseStamped,
  RosbridgeRobot,
  RosbridgeServer,
} from '../../src/rosbridge/index.js';
import { FrameTree } from '../../src/rosbridge/robot/frame-tree.js';
import { Random } from '../../src/sim/random.js';
import { closedAfterEach, until } from './support.js';

const closers = closedAfterEach();
const HALF = Math.SQRT1_2;
/** A quarter turn to the left, x y z w. */
const LEFT = [0, 0, HALF, HALF] as const;

const robotFile = (url: string, frames: string, stream: string) =>
  parseRobotFile(
    `
name: one
bridge: { url: '${url}' }
rate_hz: 50
joint_names: [linear.x]
limits: { lower: [-9], upper: [9], velocity: [1] }
frames: ${frames}
observation:
  - { topic: /pose, freshness_ms: 2000, ${stream} }
command: { topic: /command, type: std_msgs/Float64MultiArray }
deadlines: { no_data_ms: 5000 }`,
    'one.yaml',
  );
const POSE = 'type: geometry_msgs/PoseStamped, features: { pose: { length: 7 } }';

/** A robot that says `msg` again and again, and the causes of its not being there. */
async function robot(frames: string, stream: string, type: string, msg: () => Message) {
  const server = await RosbridgeServer.start();
  closers.push(() => server.close());
  const publish = server.advertise('/pose', type);
  const timer = setInterval(() => publish(msg()), 5);
  closers.push(() => clearInterval(timer));
  const it = new RosbridgeRobot(robotFile(server.url, frames, stream), new MonotonicClock());
  closers.push(() => it.close());
  const causes: string[] = [];
  it.onStatus(({ cause }) => causes.push(cause));
  return { server, robot: it, causes };
}

async function seen(frames: string, stream: string, type: string, msg: () => Message) {
  const { robot: it } = await robot(frames, stream, type, msg);
  await it.connect();
  return it.latest()!.values;
}

const transform = (parent: string, child: string, [x, y, z]: readonly number[], q: readonly number[]) => ({
  header: header(parent),
  child_frame_id: child,
  transform: { translation: { x, y, z }, rotation: { x: q[0], y: q[1], z: q[2], w: q[3] } },
});

/** Equal to float32's seven digits. */
const close = (values: Iterable<number>, expected: readonly number[]) => {
  const got = [...values];
  expect(got).toHaveLength(expected.length);
  for (const [i, value] of expected.entries()) expect(got[i], `[${i}] of ${got}`).toBeCloseTo(value, 5);
};

const CAMERA =
  '{ transforms: [{ parent: base_link, child: camera, translation: [1, 2, 3], quaternion: [0, 0, 0.7071, 0.7071] }] }';

describe('by the robot file', () => {
  test('a pose told by a camera that looks to the left', async () => {
    const { pose } = await seen(CAMERA, `${POSE}, frame: base_link`, 'geometry_msgs/PoseStamped', () =>
      poseStamped(header('/camera'), [0.5, 0, 0.25], [0, 0, 0, 1]),
    );
    close(pose!, [1, 2.5, 3.25, ...LEFT]);
  });

  test('the other way round, and roll, pitch and yaw as a URDF has them', async () => {
    const frames =
      '{ transforms: [{ parent: camera, child: base_link, translation: [1, 2, 3], rpy: [0, 0, 1.5707963267948966] }] }';
    const { pose } = await seen(frames, `${POSE}, frame: base_link`, 'geometry_msgs/PoseStamped', () =>
      poseStamped(header('camera'), [1, 2.5, 3.25], LEFT),
    );
    close(pose!, [0.5, 0, 0.25, 0, 0, 0, 1]);
  });

  test('a pose that is told in that frame already stays as it is', async () => {
    const { pose } = await seen('{}', `${POSE}, frame: base_link`, 'geometry_msgs/PoseStamped', () =>
      poseStamped(header('base_link'), [1, 2, 3], LEFT),
    );
    close(pose!, [1, 2, 3, ...LEFT]);
  });

  test('without a frame nothing is asked of the header', async () => {
    const { pose } = await seen('{}', POSE, 'geometry_msgs/PoseStamped', () =>
      poseStamped(header('wherever'), [1, 2, 3], LEFT),
    );
    close(pose!, [1, 2, 3, ...LEFT]);
  });

  test('TransformStamped, and one of many in a TFMessage', async () => {
    const features = 'features: { pose: { length: 7 } }, frame: base_link';
    const tool = () => transform('camera', 'tool0', [0.5, 0, 0.25], [0, 0, 0, 1]);
    const one = await seen(
      CAMERA,
      `type: geometry_msgs/TransformStamped, ${features}`,
      'geometry_msgs/TransformStamped',
      tool,
    );
    close(one.pose!, [1, 2.5, 3.25, ...LEFT]);
    const many = await seen(
      CAMERA,
      `type: tf2_msgs/TFMessage, child: tool0, ${features}`,
      'tf2_msgs/TFMessage',
      () => ({
        transforms: [transform('camera', 'other', [9, 9, 9], LEFT), tool()],
      }),
    );
    close(many.pose!, [1, 2.5, 3.25, ...LEFT]);
  });

  test('of Odometry the pose, planar too; its twist is told in the child and stays', async () => {
    const map =
      '{ transforms: [{ parent: map, child: odom, translation: [10, 0, 0], quaternion: [0, 0, 1, 0] }] }';
    const stream =
      'type: nav_msgs/Odometry, frame: map, features: { place: { length: 3 }, whole: { length: 7 }, speed: { length: 1, field: velocity } }';
    const values = await seen(map, stream, 'nav_msgs/Odometry', () =>
      odometry(header('odom'), 'base_link', [2, 1, 0], LEFT, [0.75, 0, 0, 0, 0, 0]),
    );
    close(values.place!, [8, -1, -Math.PI / 2]);
    close(values.whole!.slice(0, 3), [8, -1, 0]);
    close(values.speed!, [0.75]);
  });
});

describe('by /tf_static', () => {
  test('transforms of several publishers are joined with those of the robot file, which stand', async () => {
    const frames =
      '{ tf_static: true, transforms: [{ parent: base_link, child: mast, translation: [0, 0, 1] }] }';
    const {
      server,
      robot: it,
      causes,
    } = await robot(frames, `${POSE}, frame: table`, 'geometry_msgs/PoseStamped', () =>
      poseStamped(header('camera'), [1, 0, 0], [0, 0, 0, 1]),
    );
    it.connect().catch(() => undefined);
    await until('it is missing', () =>
      causes.some((cause) => /from frame "camera" to frame "table"/.test(cause)),
    );
    expect(causes.join('\n')).toMatch(/\/pose: no static transform .* frames known: mast\./);
    const tell = server.advertise('/tf_static', 'tf2_msgs/TFMessage', true);
    tell({ transforms: [transform('mast', 'camera', [0, 0, 0.5], LEFT)] });
    tell({ transforms: [transform('base_link', 'table', [0, 1, 0], [0, 0, 0, 1])] });
    tell({ transforms: [transform('base_link', 'mast', [9, 9, 9], LEFT)] });
    await until('it is seen', () => it.latest() !== undefined);
    close(it.latest()!.values.pose!, [0, 0, 1.5, ...LEFT]);
  });

  test('a transform that turns nothing is told as malformed, and no pose moves by it', async () => {
    const {
      server,
      robot: it,
      causes,
    } = await robot('{ tf_static: /fixed }', `${POSE}, frame: base_link`, 'geometry_msgs/PoseStamped', () =>
      poseStamped(header('camera'), [1, 0, 0], [0, 0, 0, 1]),
    );
    it.connect().catch(() => undefined);
    server.advertise(
      '/fixed',
      'tf2_msgs/TFMessage',
      true,
    )({
      transforms: [transform('base_link', 'camera', [0, 0, 0], [0, 0, 0, 0])],
    });
    await until('it is counted', () => it.client.counters().malformed > 0);
    expect(it.client.last_malformed).toMatch(/tf_static, camera: expected .* a unit quaternion/);
    await until('it is missing', () => causes.some((cause) => /from frame "camera"/.test(cause)));
    expect(it.latest()).toBeUndefined();
  });
});

test('a pose whose own quaternion turns nothing is refused by name', async () => {
  const { robot: it, causes } = await robot(
    CAMERA,
    `${POSE}, frame: base_link`,
    'geometry_msgs/PoseStamped',
    () => poseStamped(header('camera'), [1, 0, 0], [0, 0, 0, 0.5]),
  );
  it.connect().catch(() => undefined);
  await until('it is refused', () =>
    causes.some((cause) => /\/pose, in camera: expected .* unit/.test(cause)),
  );
});

test('a line of frames at random is what matrices make of it, both ways', () => {
  const random = new Random(7);
  const number = () => random.uniform(-1, 1);
  type Matrix = readonly (readonly number[])[];
  const times = (a: Matrix, b: Matrix) =>
    a.map((row) => b[0]!.map((_, j) => row.reduce((sum, value, k) => sum + value * b[k]![j]!, 0)));
  const given = ['a', 'b', 'c', 'd'].map((child, i) => {
    const q = [number(), number(), number(), number()];
    const n = Math.hypot(...q);
    return {
      parent: ['world', 'a', 'b', 'world'][i]!,
      child,
      translation: [number(), number(), number()] as const,
      quaternion: q.map((v) => v / n) as unknown as readonly [number, number, number, number],
    };
  });
  const matrix = ({ translation: [x, y, z], quaternion: [i, j, k, r] }: (typeof given)[number]): Matrix => [
    [1 - 2 * (j * j + k * k), 2 * (i * j - k * r), 2 * (i * k + j * r), x],
    [2 * (i * j + k * r), 1 - 2 * (i * i + k * k), 2 * (j * k - i * r), y],
    [2 * (i * k - j * r), 2 * (j * k + i * r), 1 - 2 * (i * i + j * j), z],
    [0, 0, 0, 1],
  ];
  const [a, b, c, d] = given.map(matrix) as [Matrix, Matrix, Matrix, Matrix];
  const between = (from: string, to: string) => new FrameTree(given).between(from, to);
  const there = matrix({ parent: '', child: '', ...between('c', 'd') });
  // World from c is a·b·c; that is also d · (d from c).
  const [one, other] = [times(times(a, b), c), times(d, there)];
  const same = (got: Matrix, expected: Matrix) => {
    for (const [i, value] of expected.flat().entries()) expect(got.flat()[i]).toBeCloseTo(value, 12);
  };
  same(one, other);
  const back = times(there, matrix({ parent: '', child: '', ...between('d', 'c') }));
  same(
    back,
    back.map((row, i) => row.map((_, j) => Number(i === j))),
  );
});

test.each([
  [
    '{ transforms: [{ parent: a, child: b, quaternion: [0, 0, 0.7, 0.7] }] }',
    POSE,
    /transforms\[0\]\.quaternion: expected a unit quaternion/,
  ],
  [
    '{ transforms: [{ parent: a, child: b, quaternion: [0, 0, 0, 1], rpy: [0, 0, 0] }] }',
    POSE,
    /quaternion or rpy, not both/,
  ],
  [
    '{ transforms: [{ parent: a, child: b, translation: [.nan, 0, 0] }] }',
    POSE,
    /transforms\[0\]\.translation\[0\]: .*NaN/,
  ],
  [
    '{ transforms: [{ parent: a, child: b, rpy: [.inf, 0, 0] }] }',
    POSE,
    /transforms\[0\]\.rpy\[0\]: .*Infinity/,
  ],
  ['{ transforms: [{ parent: /a, child: b }] }', POSE, /transforms\[0\]\.parent: .*without a slash/],
  [
    '{ transforms: [{ parent: a, child: b }, { parent: c, child: b }] }',
    POSE,
    /under one parent, got b twice/,
  ],
  ['{ transforms: [{ parent: a, child: b }, { parent: b, child: a }] }', POSE, /a tree, got b under itself/],
  ['{ transforms: [{ parent: a, child: a }] }', POSE, /a tree, got a under itself/],
  [
    '{}',
    'type: sensor_msgs/JointState, features: { pose: { length: 1 } }, frame: a',
    /\.frame: expected none for sensor_msgs\/JointState/,
  ],
  [
    '{}',
    'type: tf2_msgs/TFMessage, features: { pose: { length: 7 } }',
    /\.child: expected the frame whose pose it is/,
  ],
  ['{}', `${POSE}, child: a`, /\.child: expected none for geometry_msgs\/PoseStamped/],
])('%s, %s is refused', (frames, stream, why) => {
  expect(() => robotFile('ws://127.0.0.1:1', frames, stream)).toThrow(why);
});
