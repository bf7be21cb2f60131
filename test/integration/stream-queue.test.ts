// How many messages of a topic wait: by default the newest, or as many as the robot file says. The server throttles, so that
// messages published at once have to wait there.

import { describe, expect, test } from 'vitest';
import { MonotonicClock } from '../../src/control/index.js';
import { parseRobotFile } from '../../src/robot/robot-file.js';
import { header, jointState, RosbridgeRobot, RosbridgeServer } from '../../src/rosbridge/index.js';
import { closedAfterEach, until, wait } from './support.js';

const closers = closedAfterEach();
const THROTTLE_MS = 20;

const robotFile = (url: string, more: string) =>
  parseRobotFile(
    `
name: one
bridge: { url: '${url}' }
rate_hz: 50
joint_names: [a]
limits: { lower: [-9], upper: [9], velocity: [1] }
observation:
  - topic: /joint_states
    type: sensor_msgs/JointState
    stamps: arrival
    freshness_ms: 2000
    throttle_rate_ms: ${THROTTLE_MS}
    features: { joint_position: { length: 1 } }
    ${more}
command: { topic: /command, type: std_msgs/Float64MultiArray }
deadlines: { no_data_ms: 5000 }`,
    'one.yaml',
  );

/** Positions that the robot was seen at, of 1 to 5 published at once. */
async function seen(more: string, threads: boolean): Promise<number[]> {
  const server = await RosbridgeServer.start();
  closers.push(() => server.close());
  const publish = server.advertise('/joint_states', 'sensor_msgs/JointState', true);
  publish(jointState(header(), ['a'], [0]));
  const robot = new RosbridgeRobot(robotFile(server.url, more), new MonotonicClock(), {
    socket_thread: threads,
  });
  closers.push(() => robot.close());
  await robot.connect();
  await wait(2 * THROTTLE_MS);
  const positions: number[] = [];
  for (let position = 1; position <= 5; position++) publish(jointState(header(), ['a'], [position]));
  await until('the last', () => {
    const position = robot.latest()!.values.joint_position![0]!;
    if (position > 0 && position !== positions.at(-1)) positions.push(position);
    return position === 5;
  });
  expect(robot.streamCounters()['/joint_states']).toMatchObject({ out_of_order: 0, refused: 0 });
  return positions;
}

describe.each([false, true])('with a socket thread: %s', (threads) => {
  test('by default the newest of those that wait comes', async () => {
    expect(await seen('', threads)).toEqual([1, 5]);
  });

  test('with a queue_length all come, in their order', async () => {
    expect(await seen('queue_length: 4', threads)).toEqual([1, 2, 3, 4, 5]);
  });

  test('of more than that the oldest go', async () => {
    expect(await seen('queue_length: 2', threads)).toEqual([1, 4, 5]);
  });
});

test.each([0, 1.5, 1001, -1, 'many'])('queue_length: %s is refused', (wrong) => {
  expect(() => robotFile('ws://127.0.0.1:1', `queue_length: ${wrong}`)).toThrow(
    /observation\[0\]\.queue_length: .*got/,
  );
});
