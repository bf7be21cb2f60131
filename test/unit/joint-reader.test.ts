// JointStates of several drivers on one topic: whose they are, how they are merged, and what is never mixed.

import { describe, expect, test } from 'vitest';
import { parseRobotFile } from '../../src/robot/robot-file.js';
import { jointState, type Message } from '../../src/rosbridge/index.js';
import { Stream } from '../../src/rosbridge/robot/streams.js';
import { Random } from '../../src/sim/random.js';

const MS = 1e6;
const head = { stamp: { sec: 1, nanosec: 0 }, frame_id: '' };
const say = (names: readonly string[], positions: readonly number[]): Message =>
  jointState(head, names, positions);

function streamOf(
  joint_names: readonly string[],
  features = `joint_position: { length: ${joint_names.length} }`,
) {
  const ones = joint_names.map(() => 1);
  const file = parseRobotFile(
    `
name: arm
bridge: { url: 'ws://127.0.0.1:9090' }
rate_hz: 50
joint_names: [${joint_names}]
limits: { lower: [${ones.map(() => -9)}], upper: [${ones.map(() => 9)}], velocity: [${ones}] }
observation:
  - { topic: /joint_states, type: sensor_msgs/JointState, features: { ${features} } }
command: { topic: /command, type: std_msgs/Float64MultiArray }
`,
    'arm.yaml',
    { onNotice: () => undefined },
  );
  return new Stream(file.observation[0]!, file);
}

describe('a topic with several publishers', () => {
  test('messages without any of our joints are somebody else’s: counted, and the robot stays as it is', () => {
    const stream = streamOf(['a', 'b']);
    stream.add(say(['a', 'b'], [1, 2]), 10 * MS, 10 * MS);
    for (let i = 0; i < 50; i++) {
      const at_ns = (11 + i) * MS;
      expect(stream.add(say(['wheel_left', 'wheel_right'], [i, Number.NaN]), at_ns, at_ns)).toBe(false);
    }
    expect(stream.refused).toBe('');
    expect(stream.counters).toMatchObject({ samples: 1, foreign: 50, refused: 0 });
    expect([...stream.newest!.values.joint_position!]).toEqual([1, 2]);
  });

  test('those that together hold them are merged by name; the fuller one sets the pace', () => {
    const stream = streamOf(['a', 'b', 'c', 'g']);
    const random = new Random(11);
    let [arm, grip] = [0, 0];
    let newest: number[] = [];
    for (let at_ms = 0; at_ms < 2000; at_ms += 5) {
      const at_ns = at_ms * MS;
      if (random.next() < 0.4) {
        grip = at_ms;
        expect(stream.add(say(['g', 'g_mimic'], [grip, 0]), at_ns, at_ns)).toBe(false);
      } else {
        arm = at_ms;
        const made = stream.add(say(['c', 'x', 'a', 'b'], [arm + 3, 9, arm + 1, arm + 2]), at_ns, at_ns);
        if (made) newest = [arm + 1, arm + 2, arm + 3, grip];
      }
      if (newest.length > 0) expect([...stream.newest!.values.joint_position!]).toEqual(newest);
    }
    expect(stream.counters.samples).toBeGreaterThan(150);
    expect(stream.counters.refused).toBe(0);
  });

  test('each joint has its own age: a gripper that fell silent is not told as fresh', () => {
    const stream = streamOf(['a', 'g']);
    stream.add(say(['g'], [5]), 0, 0);
    stream.add(say(['a'], [1]), 1 * MS, 1 * MS);
    let last = 0;
    for (let at_ms = 2; at_ms < 1000; at_ms += 10)
      if (stream.add(say(['a'], [at_ms]), at_ms * MS, at_ms * MS)) last = at_ms;
    // freshness_ms is 200.
    expect(last).toBeLessThanOrEqual(200);
    expect(stream.trouble('', 1000)).toMatch(/joint g .* is not among a/);
  });

  test('a message of one driver may be older than the newest of another', () => {
    const stream = streamOf(['a', 'b', 'g']);
    stream.add(say(['a', 'b'], [1, 2]), 20 * MS, 20 * MS);
    stream.add(say(['g'], [3]), 15 * MS, 21 * MS);
    expect(stream.add(say(['a', 'b'], [4, 5]), 30 * MS, 30 * MS)).toBe(true);
    expect([...stream.newest!.values.joint_position!]).toEqual([4, 5, 3]);
    // What comes out of order changes nothing.
    stream.add(say(['g'], [9]), 10 * MS, 31 * MS);
    stream.add(say(['a', 'b'], [6, 7]), 40 * MS, 40 * MS);
    expect([...stream.newest!.values.joint_position!]).toEqual([6, 7, 3]);
  });

  test('of a message with a number missing nothing is taken, and it is counted', () => {
    const stream = streamOf(['a', 'b']);
    stream.add(say(['a', 'b'], [1, 2]), 10 * MS, 10 * MS);
    expect(stream.add(say(['a', 'b'], [7, Number.NaN]), 20 * MS, 20 * MS)).toBe(false);
    expect(stream.add(say(['a', 'b'], [7]), 30 * MS, 30 * MS)).toBe(false);
    expect(stream.counters.refused).toBe(2);
    expect(stream.refused).toMatch(/joint_position\[1\] is NaN.*joint b/);
    expect([...stream.newest!.values.joint_position!]).toEqual([1, 2]);
  });

  test('a list of 80 KB of names is cut', () => {
    const stream = streamOf(['a', 'b']);
    const names = Array.from({ length: 4000 }, (_, i) => `some_other_joint_${i}`);
    stream.add(
      say(
        names,
        names.map(() => 0),
      ),
      10 * MS,
      10 * MS,
    );
    expect(stream.trouble('', 1000)).toMatch(
      /joint a, b .* is not among some_other_joint_0, .* and 3976 more/,
    );
    expect(stream.trouble('', 1000).length).toBeLessThan(2000);
  });
});

const top = (observation: string) => `
name: arm-and-gripper
bridge: { url: "ws://127.0.0.1:9090" }
rate_hz: 20
joint_names: [a, b, c, g]
limits: { lower: [0, 0, 0, 0], upper: [600, 600, 600, 600], velocity: [20, 20, 20, 20] }
observation:
${observation}
  - { topic: /state, type: std_msgs/Float64MultiArray, features: { observation.state: { length: 5 }, observation.environment_state: { length: 7 } } }
command: { topic: /cmd, type: std_msgs/Float64MultiArray }
`;
const CASES: Readonly<Record<string, string>> = {
  'two-drivers-one-topic.yaml': `${top(`  - { topic: /joint_states, type: sensor_msgs/JointState, joints: [a, b, c], features: { arm: { length: 3 } } }
  - { topic: /joint_states, type: sensor_msgs/JointState, joints: [g], features: { grip: { length: 1 } } }`)}join: { joint_position: [arm, grip] }\n`,
  'wheels-on-the-same-topic.yaml': top(
    '  - { topic: /joint_states, type: sensor_msgs/JointState, features: { joint_position: { length: 4 } } }',
  ),
};

describe('two drivers, and a base’s wheels, on /joint_states', () => {
  test.each(Object.entries(CASES))('%s', (name, text) => {
    const file = parseRobotFile(text, name, { onNotice: () => undefined });
    const streams = file.observation
      .filter(({ topic }) => topic === '/joint_states')
      .map((spec) => new Stream(spec, file));
    for (let at_ms = 0; at_ms < 1000; at_ms += 10) {
      const at_ns = at_ms * MS;
      for (const stream of streams) {
        stream.add(say(['a', 'b', 'c'], [1, 2, 3]), at_ns, at_ns);
        stream.add(say(['g'], [4]), at_ns + 1, at_ns + 1);
        stream.add(say(['wheel_l', 'wheel_r'], [0, 0]), at_ns + 2, at_ns + 2);
      }
    }
    for (const stream of streams) {
      expect(stream.counters.refused).toBe(0);
      expect(stream.counters.samples).toBeGreaterThan(90);
      expect(stream.counters.foreign).toBeGreaterThan(90);
    }
    const all = Object.assign({}, ...streams.map((stream) => stream.newest!.values));
    expect(Object.values(all).flatMap((one) => [...(one as Float32Array)])).toEqual([1, 2, 3, 4]);
  });
});
