// Limits from a URDF: what is taken, what is refused, and how a robot file narrows it.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { loadRobotFile } from '../../src/robot/robot-file.js';
import { readUrdfLimits } from '../../src/robot/urdf.js';

const URDF = `<?xml version="1.0"?>
<robot name="two"><!-- <joint name="shoulder" type="fixed"/> -->
  <link name="base"/>
  <joint name="shoulder" type="revolute">
    <parent link="base"/><child link="upper"/>
    <limit lower="-1.5" upper='1.5' effort="10" velocity="2"/>
    <safety_controller soft_lower_limit="-1.4" soft_upper_limit="1.6" k_velocity="1"/>
  </joint>
  <joint name="wrist" type="continuous"><limit effort="1" velocity="4"/></joint>
  <joint name="base_joint" type="fixed"/>
  <joint name="slide" type="prismatic"><limit lower="0" upper="0.3" velocity="0.5" effort="1"/></joint>
  <joint name="finger" type="prismatic"><limit lower="0" upper="0.3" velocity="0.5"/><mimic joint="slide"/></joint>
  <transmission name="t"><joint name="shoulder"><hardwareInterface>x</hardwareInterface></joint></transmission>
</robot>`;
const read = (names: string[], text = URDF) => readUrdfLimits(text, names, 'two.urdf');

describe('a URDF', () => {
  test('gives the limits in the order asked for, the soft ones where they are tighter', () => {
    expect(read(['slide', 'shoulder'])).toEqual({
      lower: [0, -1.4],
      upper: [0.3, 1.5],
      velocity: [0.5, 2],
    });
  });

  const swap = (from: string, to: string) => URDF.replace(from, to);
  test.each([
    ['an unknown joint', ['elbow'], URDF, /no joint elbow; there are shoulder, wrist/],
    ['a fixed joint', ['base_joint'], URDF, /base_joint is fixed/],
    ['a joint that mimics', ['finger'], URDF, /finger mimics slide/],
    ['NaN', ['shoulder'], swap('-1.5', 'nan'), /shoulder: expected a number as limit lower, got nan/],
    ['nothing', ['shoulder'], swap('lower="-1.5"', ''), /limit lower, got nothing/],
    ['an empty number', ['shoulder'], swap('"-1.5"', '" "'), /limit lower/],
    ['infinity', ['slide'], swap('upper="0.3"', 'upper="Infinity"'), /limit upper, got Infinity/],
    [
      'a negative speed',
      ['shoulder'],
      swap('velocity="2"', 'velocity="-2"'),
      /positive limit velocity, got -2/,
    ],
    ['inverted limits', ['slide'], swap('lower="0"', 'lower="1"'), /lower below upper, got 1 and 0\.3/],
    ['a soft limit that is none', ['shoulder'], swap('"-1.4"', '"x"'), /soft limit, got "x"/],
    ['xacro', ['slide'], swap('<robot', '<robot xmlns:xacro="x"'), /xacro robot\.xacro > robot\.urdf/],
    ['another root', ['slide'], '<sdf></sdf>', /<robot> as its only root/],
    ['an end without a beginning', ['slide'], `${URDF}</robot>`, /<robot> as its only root/],
  ])('with %s is refused by name', (_, names, text, message) => {
    expect(() => read(names, text)).toThrow(message);
  });
});

describe('a robot file with a URDF', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tendon-urdf-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'two.urdf'), URDF);
  const load = (limits: string, joints = '[shoulder, slide]') => {
    const path = join(folder, 'two.yaml');
    writeFileSync(
      path,
      `{ name: two, bridge: { url: 'ws://127.0.0.1:9' }, rate_hz: 50, joint_names: ${joints}, limits: ${limits},
         observation: [{ topic: /j, type: sensor_msgs/JointState, features: { position: { length: 2 } } }],
         command: { topic: /c, type: std_msgs/Float64MultiArray } }`,
    );
    return loadRobotFile(path).limits;
  };

  test('takes from it what it does not say itself, and may only be tighter', () => {
    expect(load('{ urdf: two.urdf }')).toEqual({ lower: [-1.4, 0], upper: [1.5, 0.3], velocity: [2, 0.5] });
    expect(load('{ urdf: two.urdf, velocity: [1, 0.1], acceleration: [5, 5] }')).toEqual({
      lower: [-1.4, 0],
      upper: [1.5, 0.3],
      velocity: [1, 0.1],
      acceleration: [5, 5],
    });
    expect(() => load('{ urdf: two.urdf, velocity: [3, 0.1] }')).toThrow(
      /velocity: shoulder has 3, wider than 2/,
    );
    expect(() => load('{ urdf: two.urdf, lower: [-2, 0] }')).toThrow(
      /lower: shoulder has -2, wider than -1\.4/,
    );
    expect(() => load('{ urdf: two.urdf, lower: [1.5, 0] }')).toThrow(/shoulder has 1\.5 not below 1\.5/);
  });

  test('gives the range of a joint that turns without end', () => {
    expect(() => load('{ urdf: two.urdf }', '[shoulder, wrist]')).toThrow(/wrist turns without end/);
    expect(load('{ urdf: two.urdf, lower: [-1, -3], upper: [1, 3] }', '[shoulder, wrist]')).toEqual({
      lower: [-1, -3],
      upper: [1, 3],
      velocity: [2, 4],
    });
  });

  test('says when it is not there, or when there is neither', () => {
    expect(() => load('{ urdf: three.urdf }')).toThrow(/three\.urdf cannot be read\. Its path is relative/);
    expect(() => load('{ lower: [0, 0], upper: [1, 1] }')).toThrow(/limits\.velocity: .*or limits\.urdf/);
  });
});
