// What a leader device publishes: by name, all of it or none of it, and a sentence that names both lists.

import { describe, expect, test } from 'vitest';
import { parseRobotFile } from '../../src/robot/robot-file.js';
import { header, jointState } from '../../src/rosbridge/index.js';
import { leaderReader } from '../../src/rosbridge/robot/leader-reader.js';
import { TendonError } from '../../src/types/index.js';

/** Cases 81: a follower of four joints whose last is a gripper. */
function readerOf(teleop: string) {
  const file = parseRobotFile(
    `
name: follower
bridge: { url: "ws://127.0.0.1:9090" }
rate_hz: 20
joint_names: [a, b, c, g]
limits: { lower: [0, 0, 0, 0], upper: [600, 600, 600, 600], velocity: [300, 300, 300, 300] }
observation:
  - { topic: /joint_states, type: sensor_msgs/JointState, features: { joint_position: { length: 4 } } }
command: { topic: /cmd, type: std_msgs/Float64MultiArray }
teleop: { topic: /leader, ${teleop} }
`,
    'follower.yaml',
    { onNotice: () => undefined },
  );
  return leaderReader(file.teleop!, file);
}

describe('a second arm', () => {
  const read = readerOf('type: sensor_msgs/JointState');
  const say = (names: string[], positions: number[]) => read(jointState(header(), names, positions)).values;

  test('more joints, in any order: by name', () => {
    expect(say(['lift', 'g', 'c', 'b', 'a'], [9, 4, 3, 2, 1])).toEqual([1, 2, 3, 4]);
  });

  test('a joint with another name is refused with both lists, and never taken by its place', () => {
    const refused = () => say(['a', 'b', 'c', 'gripper'], [1, 2, 3, 4]);
    expect(refused).toThrow(/expected the joints a, b, c, g .* got a, b, c, gripper: g is missing/);
    expect(refused).toThrow('teleop.joints');
  });

  test('a joint short, or a number short, or NaN: nothing is taken', () => {
    expect(() => say(['a', 'b', 'c'], [1, 2, 3])).toThrow('g is missing');
    expect(() => say(['a', 'b', 'c', 'g'], [1, 2, 3])).toThrow(/joint g is NaN/);
    expect(() => say(['a', 'b', 'c', 'g'], [1, Number.NaN, 3, 4])).toThrow(/joint b is NaN/);
  });

  test('teleop.joints says what the leader calls a joint', () => {
    const renamed = readerOf('type: sensor_msgs/JointState, joints: { g: gripper }');
    const msg = jointState(header(), ['gripper', 'a', 'b', 'c'], [4, 1, 2, 3]);
    expect(renamed(msg).values).toEqual([1, 2, 3, 4]);
  });
});

test('an array has a number for each joint, and a Joy the axes that are asked of it', () => {
  const array = readerOf('type: std_msgs/Float64MultiArray');
  expect(array({ data: [1, 2, 3, 4] }).values).toEqual([1, 2, 3, 4]);
  expect(() => array({ data: [1, 2, 3] })).toThrow(/expected 4 numbers, for a, b, c, g, got 3/);
  const joy = readerOf('type: sensor_msgs/Joy, mode: rate, axes: { a: axes.0, g: -axes.3 }');
  expect(joy({ axes: [0.5, 0, 0, 0.25], buttons: [] }).values).toEqual([0.5, 0, 0, -0.25]);
  expect(() => joy({ axes: [0.5, 0], buttons: [] })).toThrow(TendonError);
});
